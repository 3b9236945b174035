"""The step ``train``: a student from a snapshot, without the holdout, in ``students/ID/``."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from feedback.snapshot import Snapshot, load_snapshot
from training.calibration import fit_temperature
from training.cost import Meter, Took
from training.fit import Progress, fit
from training.holdout import HeldOut, held_out, text_key
from training.material import LeftOut, Material, gather
from training.recipe import Recipe, student_id
from training.registry import Entry, entries, write_student
from training.student import Student
from tutelage import __version__
from tutelage.errors import StudentError
from tutelage.task import Task
from tutelage.workspace import Workspace, write_text

SEEN = "seen.json"
_LIBRARIES = ("torch", "transformers", "setfit", "sentence-transformers", "scikit-learn", "numpy", "accelerate")


@dataclass(frozen=True)
class Trained:
    """What ``train`` did; ``is_new`` is False where the same call had made the student before."""

    id: str
    path: str
    is_new: bool
    rows: int
    left_out: Mapping[str, int]
    took: Mapping[str, Any]


def train(workspace: Workspace, recipe: Recipe, snapshot_name: str | None, progress: Progress) -> Trained:
    """Train the recipe on a snapshot (the newest without a name).

    Raises
    ------
    SnapshotError
        When there is no snapshot, or nothing in it to learn from.
    StudentError
        When the model cannot be had or what it needs is not installed.
    """
    snapshot = load_snapshot(workspace.snapshots, snapshot_name)
    out = held_out(workspace)
    name = student_id(recipe, snapshot.id, [workspace.task.id, out.digest])
    known = next((entry for entry in entries(workspace.students) if entry.id == name), None)
    entry = known or _train(workspace, recipe, snapshot, out, name, progress)
    manifest = entry.manifest
    return Trained(name, str(entry.path), known is None, manifest["rows"], manifest["left_out"], manifest["took"])


def _train(
    workspace: Workspace, recipe: Recipe, snapshot: Snapshot, out: HeldOut, name: str, progress: Progress
) -> Entry:
    material, left_out = gather(snapshot.frame(), workspace.task.label_names, out, recipe)
    work = workspace.students / f".work-{name}"
    work.mkdir(parents=True, exist_ok=True)
    try:
        with Meter() as meter:
            student, validation, story = fit(recipe, material, workspace.task.label_names, work, progress)
            temperature = _temperature(student, validation)
    except ModuleNotFoundError as error:
        raise StudentError(f"{error.name} is not installed; install it with: pip install 'tutelage[train]'") from None

    def fill(folder: Path) -> Mapping[str, Any]:
        student.save(folder)
        write_text(folder / SEEN, json.dumps(sorted(map(text_key, material.texts)), indent=0) + "\n")
        return _manifest(workspace.task, recipe, snapshot, name) | _outcome(
            material, left_out, meter.took, story, temperature
        )

    entry = write_student(workspace.students, name, fill)
    shutil.rmtree(work, ignore_errors=True)
    return entry


def _temperature(student: Student, validation: Material | None) -> float | None:
    return fit_temperature(student.predict_proba(validation.texts), validation.labels) if validation else None


def seen(entry: Entry) -> frozenset[str]:
    """The keys of all texts that a student was trained on, those of its validation split too."""
    return frozenset(json.loads((entry.path / SEEN).read_text("utf-8")))


def _manifest(task: Task, recipe: Recipe, snapshot: Snapshot, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "kind": recipe.kind,
        "labels": list(task.label_names),
        "model": recipe.model,
        "task": task.name,
        "task_id": task.id,
        "snapshot": snapshot.id,
        "snapshot_manifest": dict(snapshot.manifest),
        "teachers": [{"name": teacher.name, "license": teacher.license} for teacher in task.teachers],
        "recipe": asdict(recipe),
        "seed": recipe.seed,
        "created_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "environment": environment(),
    }


def _outcome(
    material: Material, left_out: LeftOut, took: Took, story: Mapping[str, Any], temperature: float | None
) -> dict[str, Any]:
    return {
        "rows": len(material),
        "left_out": left_out.counts(),
        "near_duplicates": left_out.near_duplicates,
        "took": asdict(took),
        "training": dict(story),
        "temperature": temperature,
    }


def environment() -> dict[str, str]:
    """Versions of what decides the result."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "tutelage": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
