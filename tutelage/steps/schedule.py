"""The periodic job on a schedule of its own, for machines without cron: each run in a process of its own.

A run that is killed, or that the system ends because memory is short, ends neither the schedule nor what it did.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import IO, Any

from tutelage.core.workspace import Workspace
from tutelage.steps.results import Retrained
from tutelage.steps.retrain import conclude
from tutelage.views.history import read_history

QUIET, PATIENCE = 300.0, 7200.0
"""Seconds without an answer before a run that is due begins, and for which it is put off at most."""
_LOOK, _TICK, _GRACE = 60.0, 0.2, 5.0
_CLOCK = 60.0  # a clock that is put right a little was not put back
_ASK = 3.0
"""Seconds that Argilla has to say when it saw the last answer."""


class Schedule:
    """Runs of the job at an interval.

    Parameters
    ----------
    every
        Seconds from the beginning of one run to that of the next. The last line of ``history.jsonl`` says when the
        last one began, whoever began it, so that a restart changes nothing.
    activity
        What Argilla says of its last answer; another text after each one.
    options
        Those of ``tutelage retrain`` for each run, and ``once`` for the first one.
    on_run
        Called with what came of each run.
    stop
        Ends the schedule, and a run as a kill does; it is then due at once when the schedule begins again.
    """

    def __init__(
        self,
        workspace: Workspace,
        every: float,
        *,
        activity: Callable[[], str],
        options: Sequence[str] = (),
        once: Sequence[str] = (),
        on_run: Callable[[dict[str, Any]], None],
        stop: Event,
    ) -> None:
        self._workspace, self._every, self._activity = workspace, every, activity
        self._options, self._once, self._on_run, self._stop = options, once, on_run, stop
        self._quiet, self._patience = min(QUIET, every / 4), min(PATIENCE, every / 4)
        self._began = 0.0

    def run(self) -> None:
        """Until it is stopped."""
        while self._await_turn():
            self._began = time.time()
            result = self._run()
            if result is None:
                return
            self._once = ()
            self._on_run(result)

    def due(self) -> float:
        """When the next run is due, in seconds since 1970; 0 where none was yet, or the clock was put back since."""
        lines = read_history(self._workspace.root)
        moments = (epoch_seconds(lines[-1]["at"]) if lines else 0.0, self._began)
        began = max((moment for moment in moments if moment <= time.time() + _CLOCK), default=0.0)
        return began + self._every if began else 0.0

    def _await_turn(self) -> bool:
        """Wait until a run is due and nobody is at work; False where it is stopped."""
        calm = _Calm(self._activity)
        while not self._stop.is_set():
            left = self.due() - time.time()
            if left > self._quiet:
                self._stop.wait(min(left - self._quiet, _LOOK))
            elif left <= -self._patience or (calm.seconds() >= self._quiet and left <= 0):
                return True
            else:
                self._stop.wait(self._quiet / 10)
        return False

    def _run(self) -> dict[str, Any] | None:
        """What came of a run; None where it was stopped."""
        root = self._workspace.root
        words = ["retrain", "--json", "--task", str(root), *self._options, *self._once]
        before, at = len(read_history(root)), datetime.now(UTC).isoformat(timespec="seconds")
        with TemporaryFile() as out:
            status = self._wait([sys.executable, "-m", "tutelage", *words], out)
            said = _said(out)
        lines = read_history(root)[before:]
        if said or lines or status is None:
            return said or next(iter(lines), None)
        job = Retrained(at=at, message=f"the run ended before it was done ({_ending(status)}); the next one goes on")
        conclude(Workspace(root), job)  # the task file may be another one by now
        return asdict(job)

    def _wait(self, command: Sequence[str], out: IO[bytes]) -> int | None:
        """The exit status of a command; None where it was stopped, and ended with all that it had started."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, start_new_session=True)
        try:
            while process.poll() is None and not self._stop.wait(_TICK):
                pass
            return process.poll()
        finally:
            if process.poll() is None:
                _end(process)


class _Calm:
    """For how long nobody has answered, as far as Argilla says."""

    def __init__(self, activity: Callable[[], str]) -> None:
        self._activity = activity
        self._seen, self._since = "", 0.0

    def seconds(self) -> float:
        """By Argilla's clock at the first look, by ours later; without end where it says nothing."""
        text, now = ask(self._activity), time.monotonic()
        if text is None:
            return math.inf
        if not self._seen:
            self._since = now - max(0.0, time.time() - epoch_seconds(text.split(" ")[0]))
        elif text != self._seen:
            self._since = now
        self._seen = text
        return now - self._since


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            return


def ask(activity: Callable[[], str]) -> str | None:
    """What Argilla says; None where it does not say it soon: the run will say what ails it."""
    found = list[str]()

    def look() -> None:
        with suppress(Exception):
            found.append(activity())

    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(_ASK)
    return found[0] if found else None


def _said(out: IO[bytes]) -> dict[str, Any] | None:
    out.seek(0)
    try:
        return dict(json.loads(out.read()))
    except (ValueError, TypeError):
        return None


def _ending(status: int) -> str:
    return f"signal {-status}: {signal.strsignal(-status)}" if status < 0 else f"exit status {status}"


def epoch_seconds(moment: str) -> float:
    """A moment in ISO 8601, of UTC where it does not say otherwise, in seconds since 1970; 0 for anything else."""
    try:
        found = datetime.fromisoformat(moment)
    except (ValueError, TypeError):
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
