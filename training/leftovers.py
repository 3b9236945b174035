"""What killed runs left in a task directory: temporary files, locks that nobody holds, and trainings given up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from tutelage.core.files import make_file, remove_left
from tutelage.core.locks import unused
from tutelage.core.workspace import Workspace
from tutelage.training.manifest import FILE

LOCK, WORK = ".lock-", ".work-"
"""Begins of the names of a training's lock and of the folder of its checkpoints; the student's id follows."""

RESUMABLE_DAYS = 7
"""Days after which a killed training is taken to be given up, and its checkpoints go."""


def sweep(workspace: Workspace, *, resumed: Collection[str] = ()) -> None:
    """Remove what killed runs left.

    A killed training's checkpoints are what the same call goes on from: they go when the student is complete, or
    when nothing was written to them for ``RESUMABLE_DAYS``; those of the students ``resumed`` stay. What a
    running process holds stays.
    """
    students = workspace.students
    folders = [workspace.root, workspace.snapshots, workspace.reports, students]
    for folder in (*folders, *students.glob("[!.]*/"), *students.glob("[!.]*/exports/")):
        remove_left(folder)
    names = {path.name.removeprefix(WORK) for path in students.glob(f"{WORK}*")}
    names |= {path.name.removeprefix(LOCK) for path in students.glob(f"{LOCK}*")}
    for name in sorted(names - set(resumed)):
        _sweep_training(students, name)


def _sweep_training(students: Path, name: str) -> None:
    lock, work = students / f"{LOCK}{name}", students / f"{WORK}{name}"
    make_file(lock)
    with suppress(FileNotFoundError), unused(lock) as is_unused:
        if is_unused:
            if (students / name / FILE).exists() or _age_days(work) > RESUMABLE_DAYS:
                shutil.rmtree(work, ignore_errors=True)
            lock.unlink()


def _age_days(work: Path) -> float:
    """Days since something was written to it."""
    newest = max((path.lstat().st_mtime for path in (work, *work.glob("*")) if path.exists()), default=time.time())
    return (time.time() - newest) / 86_400
