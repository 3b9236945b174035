"""``status`` and ``demo``: the loop as a whole."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tutelage.console import Console, command


@command("status")
def status_command(console: Console) -> None:
    """Say where the task stands."""
    from tutelage.status import status, words

    found = status(console.workspace)
    console.result(found, words(found))


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
    from feedback.server import down, find, free_port, up
    from tutelage.commands.argilla import sign_in_words
    from tutelage.demo import make_workspace, run_demo, table

    console.say("This is a sample: sentences about companies that do not exist, with made-up votes and reasons.")
    found = find()
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
    console.result(demo, f"\n{table(demo)}\n\nGo on in {demo.directory}; the worst records first:\n{demo.link}\n{end}")
