"""What of a task's past may go: old snapshots, students and reports that nothing needs any more.

Each is renamed aside before it is deleted, so that a kill leaves it whole, or as a rest that the next call removes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tutelage.core.locks import unused
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import LATEST, MANIFEST
from tutelage.training.leftovers import sweep
from tutelage.training.manifest import FILE
from tutelage.training.registry import champion_id, list_students, previous_champion

T = TypeVar("T")

_ASIDE = ".deleting-"


def expendable(
    workspace: Workspace, keep: int, *, needed: Iterable[str] = (), coming: Sequence[int] = (0, 0)
) -> list[str]:
    """What ``keep`` allows to delete, as paths in the task directory, students before their snapshots.

    Kept are the newest ``keep`` students, the champion and the one before it, to which ``rollback`` goes; the newest
    ``keep`` snapshots, those of the students that are kept, the latest and those ``needed``; the newest ``keep``
    reports and those on the champion and the one before it.

    Parameters
    ----------
    coming
        How many students, each with a page of its report, and how many snapshots a run would add.

    Raises
    ------
    StudentError
        When a student cannot be read; nothing is known then of what it needs.
    """
    students = list_students(workspace.students)
    lineage = {champion_id(workspace.students), previous_champion(workspace.students)}
    stay = {entry.id for entry in _newest(students, keep - coming[0])} | lineage
    snapshots = [path.parent for path in workspace.snapshots.glob(f"[!.]*/{MANIFEST}")]
    snapshots.sort(key=lambda path: _said(path / MANIFEST, "created_at"))
    used = {entry.manifest.snapshot for entry in students if entry.id in stay} | {*needed, _latest(workspace.snapshots)}
    used |= {path.name for path in _newest(snapshots, keep - coming[1])}
    gone = [entry.path for entry in students if entry.id not in stay]
    gone += [path for path in snapshots if path.name not in used]
    gone += _evaluations(workspace.reports, keep, lineage) + _pages(workspace.reports, keep - coming[0])
    return [path.relative_to(workspace.root).as_posix() for path in gone]


def _newest(items: Sequence[T], count: int) -> Sequence[T]:
    """The last so many, of a sequence whose last is the newest."""
    return items[max(0, len(items) - max(0, count)) :]


def _said(path: Path, key: str) -> str:
    """When a manifest or report says that it was made; empty, and so the oldest, where it does not."""
    try:
        return str(json.loads(path.read_text("utf-8")).get(key, ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _latest(snapshots: Path) -> str:
    pointer = snapshots / LATEST
    return pointer.read_text("utf-8").strip() if pointer.exists() else ""


def _evaluations(reports: Path, keep: int, lineage: set[str | None]) -> list[Path]:
    """The evaluations, each with its figure, that are neither among the newest nor of a student of the lineage."""
    found = sorted(reports.glob("evaluate-*.json"), key=lambda path: _said(path, "at"))
    own = tuple(f"evaluate-{student}-" for student in lineage if student)
    old = [path for path in found[: max(0, len(found) - keep)] if not path.name.startswith(own or ("\0",))]
    return [file for path in old for file in (path, path.with_suffix(".png")) if file.exists()]


def _pages(reports: Path, keep: int) -> list[Path]:
    """The pages of ``tutelage report``, named by their time, that are not among the newest."""
    pages = sorted(reports.glob("report-*.html"))
    return pages[: len(pages) - len(_newest(pages, keep))]


def clear(workspace: Workspace, names: Iterable[str]) -> list[str]:
    """Delete these, and what a kill left of those before; what a process uses stays. Returns what is gone."""
    sweep(workspace)
    for folder in (workspace.students, workspace.snapshots, workspace.reports):
        for left in folder.glob(f"{_ASIDE}*"):
            _delete(left)
    return [name for name in names if _clear(workspace.root / name)]


def _clear(path: Path) -> bool:
    aside = path.with_name(f"{_ASIDE}{path.name}")
    if path.is_file():
        path.unlink()
        return True
    manifest = next((path / name for name in (FILE, MANIFEST) if (path / name).exists()), None)
    if manifest is None:
        return False
    with unused(manifest) as is_unused:
        if is_unused:
            path.rename(aside)
    if is_unused:
        _delete(aside)
    return is_unused


def _delete(path: Path) -> None:
    with suppress(OSError):  # what is left goes at the next call
        if path.is_symlink():
            path.unlink()  # what it names is not ours to delete
        else:
            shutil.rmtree(path)
