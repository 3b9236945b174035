"""How help reads: the commands by stage, whole sentences, and ``did you mean``; and what the shell completes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

STAGES = {
    "Start a task": ("init", "load", "import"),
    "Teacher": ("annotate",),
    "Review": ("up", "down", "annotators", "push", "rank", "suspects", "show", "pull", "export", "import-review"),
    "Train and measure": ("train", "evaluate", "promote", "rollback"),
    "Use": ("predict", "serve-student", "export-student"),
    "At any time": ("status", "report", "retrain", "backup", "restore", "demo"),
}
"""The commands by stage, in the order of the loop."""

OTHERS = "Others"
WIDEST = 100
"""Columns that help fills at most: longer lines are hard to read."""


class Commands(click.Group):
    """Imports a command's file when the command is asked for, and lists the commands by stage.

    Parameters
    ----------
    files
        The file in ``tutelage/commands`` that holds each command.
    """

    def __init__(self, *words: Any, files: dict[str, str], **options: Any) -> None:
        super().__init__(*words, **options)
        self._files = files

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Their names, stage by stage."""
        return [name for names in self.stages().values() for name in names]

    def stages(self) -> dict[str, list[str]]:
        """The names that there are, by stage."""
        known = {stage: [name for name in names if name in self._files] for stage, names in STAGES.items()}
        staged = {name for names in known.values() for name in names}
        others = [name for name in self._files if name not in staged]
        return known | ({OTHERS: others} if others else {})

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        if name not in self._files:
            return None
        module = import_module(f"tutelage.commands.{self._files[name]}")
        command: click.Command = getattr(module, f"{name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; close ones are named where there is none."""
        if args[0] in self._files or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        meant = did_you_mean(args[0], self._files)
        raise click.UsageError(f"There is no command {args[0]!r}{meant or '; tutelage --help lists them'}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each stage, with what each command does as a whole sentence."""
        for stage, names in self.stages().items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(stage):
                formatter.write_dl([(name, summary(command)) for name, command in commands if command], col_spacing=2)


def summary(command: click.Command) -> str:
    """What a command does: the first paragraph of its help."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` with the known words that are close; empty where none is."""
    names = list(known)
    close = [name for name in names if name.startswith(word)] or get_close_matches(word, names, n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(close)}?" if close else ""


# What the shell completes


def student_ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The students of the task directory, and ``champion``."""
    return _completed(["champion", *_folders(ctx, "students", "student.json")], incomplete)


def snapshot_ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The snapshots of the task directory."""
    return _completed(_folders(ctx, "snapshots", "manifest.json"), incomplete)


def student_kinds(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The kinds of students that have a name."""
    return _completed(["auto", "linear", "setfit"], incomplete)


def _completed(words: Sequence[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _folders(ctx: click.Context, folder: str, complete: str) -> list[str]:
    """The complete ones in the task's folder, by their names only; none where they cannot be read."""
    try:
        root = Path(ctx.params.get("directory") or ".") / folder
        return sorted(path.parent.name for path in root.glob(f"[!.]*/{complete}"))
    except OSError:
        return []
