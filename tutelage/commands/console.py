"""What every command shares: ``--task`` and ``--json``, words on standard error, the result on standard output."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tutelage.core.records import Progress
    from tutelage.project.project import Project


class Console:
    """Where a command runs and how it speaks."""

    def __init__(self, directory: Path, *, as_json: bool) -> None:
        self.directory, self._as_json = directory, as_json
        self._shown_at = self._began = 0.0
        self._step = ""

    @functools.cached_property
    def project(self) -> Project:
        """The task directory and the steps on it."""
        from tutelage.project.project import Project

        return Project(self.directory, progress=self.progress, say=self.say)

    def say(self, words: str) -> None:
        """Tell the person something by the way."""
        click.echo(words, err=True)

    def progress(self, state: Progress) -> None:
        """Show how far a step is; on a terminal only, at most ten times a second."""
        now = time.monotonic()
        if state.step != self._step:
            self._step, self._began = state.step, now
        if sys.stderr.isatty() and now - self._shown_at > 0.1:
            click.echo(f"\r\x1b[K{progress_line(state, now - self._began)}", err=True, nl=False)
            self._shown_at = now

    def result(self, data: Any, words: str) -> None:
        """Print the outcome: ``words`` for people, one JSON object of ``data`` with ``--json``."""
        if self._shown_at:
            click.echo("\r\x1b[K", err=True, nl=False)
        if self._as_json:
            data = asdict(data) if is_dataclass(data) and not isinstance(data, type) else data
            words = json.dumps(data, ensure_ascii=False, default=str)
        click.echo(words)


def progress_line(state: Progress, seconds: float) -> str:
    """A step as one line, ``seconds`` after it began: with what is left where the total is known."""
    if not state.done:
        return state.step
    count = f"{state.done} of {state.total}" if state.total else str(state.done)
    line = f"{state.step}: {count} {state.unit}".rstrip()
    if not state.total or seconds < 1:
        return line
    left = seconds * max(0, state.total - state.done) / state.done
    return f"{line}, {int(left // 60)}:{int(left % 60):02d} left"


def command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a command that takes ``--task`` and ``--json`` and gets a ``Console`` first."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(directory: Path, *, as_json: bool, **options: Any) -> None:
            function(Console(directory, as_json=as_json), **options)

        run = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(run)
        run = click.option(
            "--task",
            "directory",
            type=click.Path(path_type=Path, file_okay=False),
            default=".",
            help="The task directory (default: the current one).",
        )(run)
        return click.command(name)(run)

    return decorate
