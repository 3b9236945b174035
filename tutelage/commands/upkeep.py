"""``retrain``, ``backup``, ``restore``: what keeps a task going for months."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from tutelage.commands.terminal.console import Console, command

if TYPE_CHECKING:
    from tutelage.steps.results import RetrainPlan


class Duration(click.ParamType[float]):
    """A time such as 30m, 24h or 7d, in seconds."""

    name = "time"
    _units: ClassVar = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value).strip())
        seconds = float(found[1]) * self._units[found[2]] if found else 0.0
        if not seconds:
            self.fail(f"{value!r} is no time; write a number and s, m, h or d, such as 30m, 24h or 7d", param, ctx)
        return seconds


@command("retrain", example="tutelage retrain --task news --json")
@click.option("--dry-run", is_flag=True, help="Say what a run would do, and write nothing.")
@click.option("--every", type=Duration(), help="Go on running, at this interval (30m, 24h, 7d), until stopped.")
@click.option("--time-limit", type=Duration(), help="End a run that takes longer where nothing is lost.")
@click.option("--another-argilla", is_flag=True, help="Go on though people answer in another dataset than last time.")
def retrain_command(
    console: Console, *, dry_run: bool, every: float | None, time_limit: float | None, another_argilla: bool
) -> None:
    """Take in new texts and answers, train a challenger, and promote it if it is better on the holdout.

    For cron: a second call while one runs ends at once, and the next call finishes what a killed one left.
    Without cron: --every 24h runs it at that interval, when nobody is at work; with --json one line for each run.
    """
    if dry_run and every:
        raise click.UsageError("--dry-run says what one run would do; leave out --every")
    if dry_run:
        _show_plan(console, console.project.plan_retrain(another_argilla=another_argilla))
    elif every:
        _run_on_schedule(console, every, another_argilla=another_argilla, time_limit=time_limit)
    else:
        _show_run(console, asdict(console.project.retrain(another_argilla=another_argilla, time_limit=time_limit)))


def _show_plan(console: Console, plan: RetrainPlan) -> None:
    for words in (*plan.problems, *(f"would delete {name}" for name in plan.removes)):
        console.say(f"tutelage: {words}")
    console.result(plan, plan.message + ("; a run is at work now" if plan.busy else ""))


def _show_run(console: Console, done: Mapping[str, Any]) -> None:
    for problem in done["problems"]:
        console.say(f"tutelage: {problem}")
    console.result(done, f"{done['outcome']}: {done['message']}")
    if done["outcome"] == "failed":
        raise SystemExit(1)


def _run_on_schedule(console: Console, every: float, **options: Any) -> None:
    """Until SIGTERM or SIGINT, which also the first process of a container gets only if it asks for them."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    console.say(f"a run every {timedelta(seconds=every)}; SIGTERM or Ctrl+C ends this")

    def show(done: Mapping[str, Any]) -> None:
        with suppress(SystemExit):
            _show_run(console, done)
        at = datetime.now(UTC) + timedelta(seconds=max(0.0, every - done["took_s"]))
        again = ", which tries again" if done["outcome"] == "failed" else ""
        console.say(f"next run: {at.isoformat(timespec='seconds')}{again}")

    console.project.retrain_every(every, on_run=show, stop=stop, **options)
    console.say("tutelage: stopped; a run that was at work is due again at the next start")
    raise SystemExit(0)


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
