"""The command line: finds the command's file, prints errors, sets the exit status.

Each command is a thin function in ``tutelage/commands``; what it needs is imported when it runs,
so that ``tutelage --help`` answers at once.
"""

from __future__ import annotations

import sys

import click

from tutelage.commands.terminal.help import WIDEST, Commands
from tutelage.core import __version__
from tutelage.core.errors import TutelageError

COMMANDS = {
    "init": "start",
    "load": "start",
    "import": "start",
    "annotate": "teacher",
    "up": "argilla",
    "down": "argilla",
    "annotators": "people",
    "push": "argilla",
    "rank": "argilla",
    "suspects": "look",
    "show": "look",
    "pull": "argilla",
    "export": "exchange",
    "import-review": "exchange",
    "train": "students",
    "evaluate": "students",
    "promote": "students",
    "rollback": "students",
    "predict": "predict",
    "serve-student": "predict",
    "export-student": "exchange",
    "status": "look",
    "report": "look",
    "retrain": "upkeep",
    "backup": "upkeep",
    "restore": "upkeep",
    "demo": "demo",
}
"""The commands in the order of the loop, and the file in ``tutelage/commands`` that holds each."""


@click.group(
    cls=Commands,
    files=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    epilog="tutelage COMMAND --help says what a command takes, with an example.",
)
@click.version_option(__version__, prog_name="tutelage")
def cli() -> None:
    """Turn an LLM's labels into a small model that people can trust."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        cli.main(prog_name="tutelage", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except TutelageError as error:
        sys.exit(f"tutelage: {error}")  # to standard error, status 1
    except (KeyboardInterrupt, click.Abort):
        click.echo("tutelage: interrupted; what was done is kept, run it again to go on", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: there is nobody to complain to
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(
            f"tutelage: {where}{error.strerror or error}; make room, or give a path that can be written, and retry"
        )
