"""The periodic job: new texts and answers in, a challenger trained, the champion changed only for a better one."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tutelage.core.errors import TutelageError
from tutelage.core.locks import locked
from tutelage.core.records import ProgressCallback, unreported
from tutelage.core.task import FILE_NAME, load_task
from tutelage.core.workspace import Workspace
from tutelage.steps.night import Night, OpenLoop, OutOfTimeError, TimeLimit
from tutelage.steps.results import Retrained
from tutelage.views.history import HISTORY, append_history, check_writable

LOCK = "retrain.lock"
NOTIFY_SECONDS = 60
_STDERR = 2


class _BusyError(Exception):
    """Another process holds the lock."""


def retrain(
    workspace: Workspace,
    open_loop: OpenLoop,
    *,
    another_argilla: bool = False,
    time_limit: float | None = None,
    progress: ProgressCallback = unreported,
) -> Retrained:
    """One run of the job; see ``Project.retrain``. ``open_loop`` signs in to Argilla where it is told to."""
    job, limit = Retrained(at=datetime.now(UTC).isoformat(timespec="seconds")), TimeLimit(time_limit, progress)
    root, began = workspace.root, time.monotonic()
    try:
        if not _is_task(root):
            load_task(root)  # says what is missing
        with _alone(root / LOCK):
            check_writable(root)  # where no line can be written, nothing is done
            Night(workspace, open_loop, job, limit).run(another_argilla=another_argilla)
    except _BusyError as holder:
        job.outcome, job.message = "busy", f"process {holder} is retraining this task"
    except (TutelageError, OutOfTimeError, OSError) as error:
        job.outcome, job.message = "failed", str(error)
    except BaseException as error:
        job.outcome, job.message = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        job.took_s = round(time.monotonic() - began, 1)
        conclude(workspace, job)
    return job


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    def refuse(holder: str) -> None:
        raise _BusyError(holder)

    with locked(path, on_wait=refuse):
        yield


def conclude(workspace: Workspace, job: Retrained) -> None:
    """Add the run's line to ``history.jsonl`` and tell who is to be told; what fails is one of its problems."""
    if not _is_task(workspace.root):
        return
    try:
        append_history(workspace.root, asdict(job))
    except (OSError, TutelageError) as error:
        job.problems.append(f"the line could not be written: {error}")
    _notify(workspace, job)


def _is_task(root: Path) -> bool:
    """Whether this is a task directory, or was one: in another folder nothing is written."""
    return (root / FILE_NAME).exists() or (root / HISTORY).exists()


def _notify(workspace: Workspace, job: Retrained) -> None:
    """Run the task's command with the result as JSON on its standard input; its failure is not the job's."""
    if job.outcome not in {"failed", "promoted"}:
        return
    try:
        notify = workspace.task.retrain.notify
    except TutelageError:
        job.problems.append("nobody was told: the command stands in task.yaml (notify), which cannot be read")
        return
    try:
        if command := shlex.split(notify):
            said = json.dumps(asdict(job)).encode()
            root, out = workspace.root, _STDERR  # --json prints one object and nothing else
            subprocess.run(command, input=said, cwd=root, stdout=out, timeout=NOTIFY_SECONDS, check=True)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        job.problems.append(f"notify: {error}")
