"""What every command shares: ``--task`` and ``--json``, words on standard error, the result on standard output."""

from __future__ import annotations

import functools
import json
import re
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


_UNSEEN = re.compile("[\x7f-\x9f]")
"""Control characters that JSON leaves as they are."""


class Console:
    """Where a command runs and how it speaks."""

    def __init__(self, directory: Path, *, as_json: bool) -> None:
        self.directory, self._as_json = directory, as_json
        self._shown_at = self._began = 0.0
        self._step = ""
        self._said: str | None = None

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
        self._said = words
        if self._as_json:
            data = asdict(data) if is_dataclass(data) and not isinstance(data, type) else data
            words = _UNSEEN.sub(
                lambda found: f"\\u{ord(found[0]):04x}", json.dumps(data, ensure_ascii=False, default=str)
            )
        click.echo(words)

    def say_next(self, *words: str) -> None:
        """After the command of these words: the one that comes next, and the link where people's review comes first.

        Nothing with ``--json``, where the command had no result, and where there is no task to look at.
        """
        if self._as_json or self._said is None:
            return
        try:
            step, link = self.project.step_after(*words)
        except Exception:  # the command is done; what ails the task is said by the next one
            return
        if step.review and link and link not in self._said:
            self.say(f"review: {link}")
        self.say(f"next: {step.command(self.directory)}")


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


def command(name: str, *, example: str = "") -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a command that takes ``--task`` and ``--json`` and gets a ``Console`` first.

    When it has ended, what comes next is said. ``example`` is shown at the end of its help.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(directory: Path, *, as_json: bool, **options: Any) -> None:
            console = Console(directory, as_json=as_json)
            function(console, **options)
            if name not in _END_BY_THEMSELVES:
                console.say_next(name, *(["--plan"] if options.get("only_plan") else []))

        made = click.command(name, epilog=as_epilog(example))(run)
        made.params += [task_option(), json_option()]
        return made

    return decorate


_END_BY_THEMSELVES = {"status", "demo", "serve-student"}
"""Commands that say what comes next in their own words, or never end."""


def as_epilog(example: str) -> str | None:
    """The end of a command's help."""
    return f"\b\nExample:\n  {example}" if example else None


def task_option() -> click.Option:
    """``--task``, which every command takes."""
    where = click.Path(path_type=Path, file_okay=False)
    said = "The task directory (default: the current one)."
    return click.Option(["--task", "directory"], type=where, default=".", metavar="DIR", help=said)


def json_option() -> click.Option:
    """``--json``, which every command takes, the last in its help."""
    return click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object on standard output.")
