"""``status`` and ``demo``: the loop as a whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tutelage.commands.console import Console, command

if TYPE_CHECKING:
    from tutelage.project.demo import DemoResult, Measured
    from tutelage.project.status import Status


@command("status")
def status_command(console: Console) -> None:
    """Say where the task stands."""
    from tutelage.project.status import status

    found = status(console.workspace)
    console.result(found, _status_words(found))


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
    from tutelage.commands.argilla import sign_in_words
    from tutelage.feedback.server.lifecycle import down, find_server, free_port, up
    from tutelage.project.demo import make_workspace, run_demo

    console.say("This is a sample: sentences about companies that do not exist, with made-up votes and reasons.")
    found = find_server()
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


def _status_words(found: Status) -> str:
    """The status for people."""
    reviewed = ", ".join(f"{count} {name}" for name, count in found.by_status.items()) or "none"
    lines = [
        f"{found.task}: {found.records} records ({reviewed})",
        f"votes: {found.votes}, {found.abstentions} of them abstentions",
        f"suggestions: {found.without_suggestion} records without one, {found.ties} ties",
        f"ranked: {found.ranked}",
        f"newest snapshot: {found.snapshot or 'none'}",
        f"students: {len(found.students) or 'none'}; champion: {found.champion or 'none'}",
    ]
    lines += [_student(row, found.champion) for row in found.students]
    lines += [_spent(row) for row in found.spent]
    return "\n".join(lines)


def _student(row: dict[str, Any], champion: str | None) -> str:
    mark = "*" if row["id"] == champion else " "
    of = f" of {row['model']}" if row["model"] else ""
    return f"{mark} {row['id']}{of}, {row['rows']} rows of snapshot {row['snapshot']}, {row['created_at'][:16]}"


def _spent(row: dict[str, Any]) -> str:
    words = f"asked: {row['teacher']} {row['prompt']} vote {row['vote']}: {row['calls']} records"
    words += f", {row['tokens_in']} tokens in, {row['tokens_out']} out"
    return words + (f", {row['cost']:.4f} USD, {row['cost'] / row['priced']:.6f} a record" if row["priced"] else "")


def _demo_table(demo: DemoResult) -> str:
    """Before and after, for people."""
    from tutelage.commands.tables import columns

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
