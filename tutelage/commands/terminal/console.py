"""What every command shares: ``--task`` and ``--json``, words on standard error, the result on standard output."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tutelage.core.compute import is_main
from tutelage.core.errors import TutelageError

if TYPE_CHECKING:
    from tutelage.core.records import Progress
    from tutelage.project import Project


TICK = 1.0
"""Seconds between two looks at the clock."""

_UNSEEN = re.compile("[\x7f-\x9f]")
"""Control characters that JSON leaves as they are."""


class Console:
    """Where a command runs and how it speaks."""

    def __init__(self, directory: Path, *, as_json: bool) -> None:
        self.directory, self._as_json = directory, as_json
        self._line = ProgressLine()
        self._said: str | None = None

    @functools.cached_property
    def project(self) -> Project:
        """The task directory and the steps on it."""
        from tutelage.project import Project

        return Project(self.directory, progress=self.progress, say=self.say)

    def say(self, words: str) -> None:
        """Tell the person something by the way."""
        self._line.clear()
        click.echo(words, err=True)
        self._line.wait()

    def progress(self, state: Progress) -> None:
        """Show how far a step is; on a terminal only."""
        self._line.show(state)

    def result(self, data: Any, words: str) -> None:
        """Print the outcome: ``words`` for people, one JSON object of ``data`` with ``--json``."""
        self._line.stop()
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
            with self.at_work("looking at what comes next"):
                step, link = self.project.step_after(*words)
        except Exception:  # the command is done; what ails the task is said by the next one
            return
        if step.review and link and link not in self._said:
            self.say(f"review: {link}")
        self.say(f"next: {step.command(self.directory)}")

    @contextmanager
    def at_work(self, words: str = "loading") -> Iterator[None]:
        """While something goes on: a line on a terminal that says what, from the first second on."""
        self._line.start(words)
        try:
            yield
        finally:
            self._line.stop()


class ProgressLine:
    """One line on a terminal that is written again and again; nothing elsewhere.

    It is written when a step says how far it is, and each second by a thread, so that one sees that the command
    is alive while a library computes.
    """

    def __init__(self) -> None:
        self._on = sys.stderr.isatty() and is_main()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ended.set()
        self._state: tuple[str, int, int | None, str] = ("", 0, None, "")
        self._began = self._shown_at = self._counted_at = 0.0
        self._is_there = False

    def start(self, words: str) -> None:
        """Begin with a step of this name."""
        if not self._on:
            return
        self.stop()
        self._began, self._state = time.monotonic(), (words, 0, None, "")
        self._ended = threading.Event()
        threading.Thread(target=self._tick, args=[self._ended], daemon=True).start()

    def _tick(self, ended: threading.Event) -> None:
        while not ended.wait(TICK):
            self._write(unless=ended)

    def show(self, state: Progress) -> None:
        """Show how far a step is, at most ten times a second."""
        if not self._on or self._ended.is_set():
            return
        now = time.monotonic()
        if self._is_another(state):
            self._began, self._shown_at = now, 0.0
        if state.done != self._state[1]:
            self._counted_at = now
        self._state = (state.step, state.done, state.total, state.unit)
        if now - self._shown_at > 0.1:
            self._write(unless=self._ended)

    def _is_another(self, state: Progress) -> bool:
        """Whether a step begins; the name of a step may hold a figure that changes, such as the epoch."""
        step, done, total, unit = self._state
        counts_on = bool(total) and (state.total, state.unit) == (total, unit) and state.done >= done
        return state.step != step and not counts_on

    def _write(self, unless: threading.Event) -> None:
        with self._lock:
            if unless.is_set():
                return
            self._shown_at = time.monotonic()
            seconds = (self._shown_at - self._began, max(0.0, self._counted_at - self._began))
            line = progress_line(*self._state, seconds=seconds[0], counted=seconds[1])
            click.echo(f"\r\x1b[K{_shortened(line, _columns() - 1)}", err=True, nl=False)  # a full line would wrap
            self._is_there = True

    def wait(self) -> None:
        """The step is over, and nothing is known of the next one."""
        self._began, self._state = time.monotonic(), ("waiting", 0, None, "")

    def clear(self) -> None:
        """Take the line away, for other words; it comes back."""
        with self._lock:
            if self._is_there:
                click.echo("\r\x1b[K", err=True, nl=False)
            self._is_there = False

    def stop(self) -> None:
        """Take the line away for good."""
        self._ended.set()
        self.clear()


def progress_line(
    step: str, done: int = 0, total: int | None = None, unit: str = "", *, seconds: float, counted: float = 0.0
) -> str:
    """A step as one line, ``seconds`` after it began; ``done`` was counted at second ``counted``.

    With what is left where the total is known, and with the time that it has taken where it is not, or where it
    takes longer than it should.
    """
    count = f"{done} of {total}" if total else str(done)
    line = f"{step}: {count} {unit}".rstrip() if done else step
    if seconds < 1:
        return line
    counted = counted or seconds
    left = counted * (total - done) / done - (seconds - counted) if total and done else 0.0
    return f"{line}, {_clock(left)} left" if left > 0 else f"{line}, {_clock(seconds)}"


def _shortened(line: str, width: int) -> str:
    """The line, without its middle where it is too long: a figure stands at the end."""
    begin = width // 3
    return line if len(line) <= width else f"{line[:begin]}…{line[len(line) - (width - begin - 1) :]}"


def _columns() -> int:
    """Of the terminal that standard error is; standard output may go elsewhere."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def command(name: str, *, example: str = "") -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a command that takes ``--task`` and ``--json`` and gets a ``Console`` first.

    When it has ended, what comes next is said. ``example`` is shown at the end of its help.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(directory: Path, *, as_json: bool, **options: Any) -> None:
            console = Console(directory, as_json=as_json)
            with naming_task(directory), console.at_work():
                function(console, **options)
            if name not in _END_BY_THEMSELVES:
                console.say_next(name, *(["--plan"] if options.get("only_plan") else []))

        made = click.command(name, epilog=as_epilog(example))(run)
        made.params += [task_option(), json_option()]
        return made

    return decorate


_ON_TASK = re.compile(
    r"\b(tutelage (?:annotate|annotators \w+|evaluate|export|import|load"
    r"|promote|pull|push|rank|retrain|suspects|train))\b"
)
"""Commands in a message that are about the same task."""


@contextmanager
def naming_task(directory: Path) -> Iterator[None]:
    """An error that says what to type next says it of this task, where that is not the current directory."""
    try:
        yield
    except TutelageError as error:
        if directory != Path():
            task = shlex.join(["--task", str(directory)])
            error.args = (_ON_TASK.sub(lambda found: f"{found[1]} {task}", str(error)),)
        raise


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
