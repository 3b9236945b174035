"""``status`` and ``demo``: the loop as a whole."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Self

import click

from tutelage.commands.console import Console, command
from tutelage.core.records import Progress

if TYPE_CHECKING:
    from tutelage.feedback.server.lifecycle import Server
    from tutelage.loaders.teacher.teacher_ledger import Spent
    from tutelage.project.demo import DemoResult, Measured
    from tutelage.project.status import Status, StudentSummary


@command("status")
def status_command(console: Console) -> None:
    """Say where the task stands."""
    status = console.project.status()
    console.result(status, _status_words(status))


@command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo",
    show_default=True,
    help="Where to make the task directory.",
)
def demo_command(console: Console, *, folder: Path) -> None:
    """Show the whole loop on the shipped sample; a person goes on at the printed link."""
    from tutelage.feedback.server.lifecycle import down, find_server, free_port, up
    from tutelage.project.demo import dataset_names, import_libraries, make_workspace, run_demo

    with Ticker(console) as ticker:
        ticker.say("This is a sample: sentences about companies that do not exist, with made-up votes and reasons.")
        ticker.progress(Progress("starting Argilla"))
        found = find_server()
        with import_libraries():
            server = found or up(port=free_port(), on_progress=ticker.say)
        stays = bool(found) or sys.stdout.isatty()
        try:
            demo = run_demo(make_workspace(folder, dataset_names(server)), server, ticker.say, ticker.progress)
        finally:
            if not stays:
                down()
    console.result(demo, f"\n{_demo_table(demo)}\n\n{_go_on(demo, server, stays=stays)}")


def _go_on(demo: DemoResult, server: Server, *, stays: bool) -> str:
    """What a person may do next, and how to stop."""
    task = f"--task {shlex.quote(os.path.relpath(demo.directory))}"
    name, port = _program(), server.url.rpartition(":")[2]
    again = f"Argilla is stopped, as there is no terminal; start it again with: {name} up --port {port}\n"
    first = "" if stays else again
    last = f"Argilla goes on running; stop it with: {name} down (all that is in it stays)" if stays else ""
    return (
        f"{first}Go on as the reviewer: open\n  {demo.link}\n"
        f"  and sign in as {server.annotator} with password {server.annotator_password}\n"
        "  Enter accepts the suggestion; a digit and then Enter chooses another label.\n"
        f"Then bring your answers home, and train and use a student of them:\n"
        f"  {name} pull {task}\n  {name} train {task}\n  {name} predict texts.csv labelled.csv {task}\n{last}"
    ).rstrip()


def _program() -> str:
    """How this program is called here: ``make demo`` leaves it in .venv/bin, where no shell looks."""
    called = Path(sys.argv[0])
    if shutil.which("tutelage"):
        return "tutelage"
    return os.path.relpath(called) if called.name == "tutelage" else f"{shlex.quote(sys.executable)} -m tutelage"


def _status_words(status: Status) -> str:
    """The status for people."""
    reviewed = ", ".join(f"{count} {name}" for name, count in status.by_status.items()) or "none"
    lines = [
        f"{status.task}: {status.records} records ({reviewed})",
        f"votes: {status.votes}, {status.abstentions} of them abstentions",
        f"suggestions: {status.without_suggestion} records without one, {status.ties} ties",
        f"ranked: {status.ranked}",
        f"newest snapshot: {status.snapshot or 'none'}",
        f"students: {len(status.students) or 'none'}; champion: {status.champion or 'none'}",
    ]
    lines += [_student_line(student, status.champion) for student in status.students]
    lines += [_spending_line(spending) for spending in status.spent]
    return "\n".join(lines)


def _student_line(student: StudentSummary, champion: str | None) -> str:
    mark = "*" if student.id == champion else " "
    of = f" of {student.model}" if student.model else ""
    at = student.created_at[:16]
    return f"{mark} {student.id}{of}, {student.rows} rows of snapshot {student.snapshot}, {at}"


def _spending_line(spent: Spent) -> str:
    words = f"asked: {spent.teacher} {spent.prompt} vote {spent.vote}: {spent.calls} records"
    words += f", {spent.tokens_in} tokens in, {spent.tokens_out} out"
    return words + (f", {spent.cost:.4f} USD, {spent.cost / spent.priced:.6f} a record" if spent.priced else "")


def _demo_table(demo: DemoResult) -> str:
    """Before and after, for people."""
    from tutelage.commands.tables import columns, compared

    head = ("", f"right labels of {demo.records}", "student's accuracy", "95 %", "student's macro-F1", "95 %")
    rows = [head, _row("teacher's labels", demo.before), _row(f"after {demo.reviewed} reviews", demo.after)]
    note = (
        f"Both students are linear, measured on the same {demo.holdout} sentences, which nobody trained on.\n"
        f"The one after the review is right on {demo.comparison.only_first} that the first had wrong, and wrong on"
        f" {demo.comparison.only_second} that it had right."
    )
    return f"{columns(rows)}\n{note}\n{compared(demo.comparison, 'The student after the review', 'the one before')}"


def _row(name: str, measured: Measured) -> tuple[str, ...]:
    s = measured.student
    accuracy, f1 = (f"{s.accuracy:.3f}", str(s.accuracy_interval)), (f"{s.macro_f1:.3f}", str(s.macro_f1_interval))
    return (name, f"{measured.labels_right:.3f}", *accuracy, *f1)


class Ticker:
    """Says on a terminal what is being done, and for how long, while nothing else is said."""

    def __init__(self, console: Console) -> None:
        self._console, self._over, self._drawing = console, Event(), Lock()
        self._state, self._since = Progress(""), time.monotonic()
        self._thread = Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            self._clear()

    def say(self, words: str) -> None:
        """Tell the person something."""
        with self._drawing:
            self._clear()
            self._console.say(words)

    def progress(self, state: Progress) -> None:
        """Take what is being done now."""
        with self._drawing:
            if state.step != self._state.step:
                self._since = time.monotonic()
            self._state = state
            self._console.progress(state)

    def _tick(self) -> None:
        while not self._over.wait(0.5):
            with self._drawing:
                seconds = time.monotonic() - self._since
                if seconds >= 1 and not self._state.done:
                    words = f"{self._state.step}, {seconds:.0f} s"
                    self._console.progress(replace(self._state, step=words))

    def _clear(self) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)
