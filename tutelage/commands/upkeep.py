"""``retrain``, ``backup``, ``restore``: what keeps a task going for months."""

from __future__ import annotations

from pathlib import Path

import click

from tutelage.commands.terminal.console import Console, command


@command("retrain", example="tutelage retrain --task news --json")
@click.option("--another-argilla", is_flag=True, help="Go on though people answer in another dataset than last time.")
def retrain_command(console: Console, *, another_argilla: bool) -> None:
    """Take in new texts and answers, train a challenger, and promote it if it is better on the holdout.

    For cron: a second call while one runs ends at once, and the next call finishes what a killed one left.
    """
    done = console.project.retrain(another_argilla=another_argilla)
    for problem in done.problems:
        console.say(f"tutelage: {problem}")
    console.result(done, f"{done.outcome}: {done.message}")
    if done.outcome == "failed":
        raise SystemExit(1)


@command("backup", example="tutelage backup news.tar.gz --task news")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def backup_command(console: Console, file: Path, *, force: bool) -> None:
    """Write the task and the embedded Argilla's data to FILE (.tar.gz), while people work.

    FILE holds passwords and keys; only its owner can read it.
    """
    done = console.project.backup(file, force=force)
    what = "task and Argilla" if done.argilla else "task"
    console.result(done, f"{what} of {done.created_at} in {done.file}: {done.files} files, {done.bytes / 1e6:.1f} MB")


@command("restore", example="tutelage restore news.tar.gz --task news-again")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore_command(console: Console, file: Path) -> None:
    """Bring back a task directory (--task, new or empty) from FILE, and the embedded Argilla's data if it has none."""
    done = console.project.restore(file)
    words = f"{done.directory} restored"
    words += "; the embedded Argilla too: start it with tutelage up" if done.argilla else ""
    if done.argilla_kept:
        words += "; the embedded Argilla holds data already and was left as it is"
    console.result(done, words)
