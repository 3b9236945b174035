"""``demo``: the loop as a whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tutelage.commands.terminal.console import Console, command

if TYPE_CHECKING:
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
    from tutelage.commands.argilla import sign_in_words
    from tutelage.feedback.server.lifecycle import down, find_server, free_port, up
    from tutelage.steps.demo import import_libraries, make_workspace, run_demo

    console.say("This is a sample: sentences about companies that do not exist, with made-up votes and reasons.")
    found = find_server()
    with import_libraries():
        server = found or up(port=free_port(), on_progress=console.say)
    stays = bool(found) or sys.stdout.isatty()
    try:
        demo = run_demo(make_workspace(folder), server, console.say)
    finally:
        if not stays:
            down()
    end = (
        sign_in_words(server) if stays else "There is no terminal, so Argilla is stopped; tutelage up starts it again."
    )
    console.result(
        demo, f"\n{_demo_table(demo)}\n\nGo on in {demo.directory}; the worst records first:\n{demo.link}\n{end}"
    )


def _demo_table(demo: DemoResult) -> str:
    """Before and after, for people."""
    from tutelage.commands.terminal.tables import columns

    head = ("", f"right labels of {demo.records}", "student's accuracy", "95 %", "student's macro-F1", "95 %")
    rows = [head, _row("teacher's labels", demo.before), _row(f"after {demo.reviewed} reviews", demo.after)]
    note = (
        f"The student is linear, measured on {demo.holdout} sentences that nobody trained on; the 95 % intervals\n"
        "show how little so few sentences can say about a student."
    )
    return f"{columns(rows)}\n{note}"


def _row(name: str, measured: Measured) -> tuple[str, ...]:
    s = measured.student
    accuracy, f1 = (f"{s.accuracy:.3f}", str(s.accuracy_interval)), (f"{s.macro_f1:.3f}", str(s.macro_f1_interval))
    return (name, f"{measured.labels_right:.3f}", *accuracy, *f1)
