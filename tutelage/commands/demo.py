"""``demo``: the whole loop on the shipped sample."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tutelage.commands.terminal.console import Console, command
from tutelage.core.records import Progress

if TYPE_CHECKING:
    from tutelage.feedback.server.lifecycle import Server
    from tutelage.steps.demo import DemoResult, Measured


@command("demo", example="tutelage demo --dir try")
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
    from tutelage.feedback.server.lifecycle import down, find_server, up
    from tutelage.feedback.server.listening import free_port
    from tutelage.steps.demo import dataset_names, import_libraries, make_workspace, run_demo

    console.say("This is a sample: sentences about companies that do not exist, with made-up votes and reasons.")
    console.progress(Progress("starting Argilla"))
    found = find_server()
    with import_libraries():
        server = found or up(port=free_port(), on_progress=console.say)
    stays = bool(found) or sys.stdout.isatty()
    try:
        demo = run_demo(make_workspace(folder, dataset_names(server)), server, console.say, console.progress)
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
        f"{first}Read the report: open\n  {demo.report}\nGo on as the reviewer: open\n  {demo.link}\n"
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


def _demo_table(demo: DemoResult) -> str:
    """Before and after, for people."""
    from tutelage.commands.terminal.tables import columns, compared

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
