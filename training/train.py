"""The step ``train``: a student from a snapshot, without the holdout, in ``students/ID/``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.locks import locked
from feedback.snapshot import Snapshot, load_snapshot
from loaders.holdout import held_out
from training.calibration import fit_temperature
from training.card import write_card
from training.choose import choose
from training.cost import Meter
from training.fit import Progress, fit
from training.holdout import text_key
from training.manifest import describe, outcome
from training.material import LeftOut, Material, gather
from training.ranks import is_main, processes, wait_for_all
from training.recipe import ONE_PROCESS, Recipe, parse_student, student_id
from training.registry import Entry, entries, find, write_student
from training.student import Student
from tutelage.errors import StudentError
from tutelage.workspace import Workspace, write_text

SEEN = "seen.json"


@dataclass(frozen=True)
class Trained:
    """What ``train`` did; ``is_new`` is False where the same call had made the student before.

    ``why`` says why ``auto`` chose this kind; ``left_out`` counts rows by reason.
    """

    id: str
    path: str
    is_new: bool
    why: str
    rows: int
    left_out: Mapping[str, int]
    took: Mapping[str, Any]


@dataclass(frozen=True)
class _Plan:
    """All that decides a student."""

    name: str
    recipe: Recipe
    snapshot: Snapshot
    material: Material
    left_out: LeftOut
    why: str


def train(
    workspace: Workspace, recipe: Recipe, snapshot_name: str | None, progress: Progress, *, why: str = ""
) -> Trained:
    """Train the recipe on a snapshot (the newest without a name).

    Of several processes each returns what it did: all but the main one nothing for a kind that trains in one.

    Raises
    ------
    SnapshotError
        When there is no snapshot, or nothing in it to learn from.
    StudentError
        When the model cannot be had or what it needs is not installed.
    """
    if not is_main() and recipe.kind in ONE_PROCESS:
        return Trained("", "", is_new=False, why=why, rows=0, left_out={}, took={})
    plan = _plan(workspace, recipe, load_snapshot(workspace.snapshots, snapshot_name), why)
    with _alone(workspace.students, plan.name, progress):
        known = next((entry for entry in entries(workspace.students) if entry.id == plan.name), None)
        entry = known or _train(workspace, plan, progress)
    manifest = entry.manifest
    counts, took = manifest["left_out"], manifest["took"]
    return Trained(entry.id, str(entry.path), known is None, why, manifest["rows"], counts, took)


def choose_recipe(workspace: Workspace, options: Mapping[str, Any], snapshot_name: str | None) -> tuple[Recipe, str]:
    """What ``--student auto`` takes for this snapshot, and the reason in words."""
    snapshot = load_snapshot(workspace.snapshots, snapshot_name)
    linear = parse_student("linear").with_options(**options)
    material, _ = gather(snapshot.frame(), workspace.task.label_names, held_out(workspace), linear)
    return choose(material.labels, workspace.task.student, options)


def _plan(workspace: Workspace, recipe: Recipe, snapshot: Snapshot, why: str) -> _Plan:
    out = held_out(workspace)
    material, left_out = gather(snapshot.frame(), workspace.task.label_names, out, recipe)
    name = student_id(recipe, snapshot.id, [workspace.task.id, out.digest])
    return _Plan(name, recipe, snapshot, material, left_out, why)


@contextmanager
def _alone(students: Path, name: str, progress: Progress) -> Iterator[None]:
    """Keep other calls from training this student meanwhile; of several processes the main one does it for all."""

    def wait() -> None:
        if processes() > 1:  # the others of this launch do not wait
            raise StudentError(f"{name} is being trained by another call; run this again when that one has ended")
        progress(f"waiting for another call that is training {name}")

    if not is_main():
        yield
        return
    students.mkdir(parents=True, exist_ok=True)
    lock = students / f".lock-{name}"
    with locked(lock, on_wait=wait):
        yield
        lock.unlink(missing_ok=True)  # only now that the student is finished: whoever waits for this file finds it


def _train(workspace: Workspace, plan: _Plan, progress: Progress) -> Entry:
    task = workspace.task
    work = workspace.students / f".work-{plan.name}"
    work.mkdir(parents=True, exist_ok=True)
    meter = Meter(work)

    def step(words: str) -> None:
        meter.keep()
        progress(words)

    try:
        with meter:
            student, validation, story = fit(plan.recipe, plan.material, task.label_names, work, step)
    except ModuleNotFoundError as error:
        raise StudentError(f"{error.name} is not installed; install it with: pip install 'tutelage[train]'") from None
    told = {**story, "why": plan.why, "temperature": _temperature(student, validation)}

    def fill(folder: Path) -> Mapping[str, Any]:
        student.save(folder)
        write_text(folder / SEEN, json.dumps(sorted(map(text_key, plan.material.texts)), indent=0) + "\n")
        manifest = describe(task, plan.recipe, plan.snapshot, plan.name)
        manifest |= outcome(len(plan.material), plan.left_out, meter.took(), told)
        write_card(folder, manifest)
        return manifest

    wait_for_all()
    if is_main():
        write_student(workspace.students, plan.name, fill)
        shutil.rmtree(work, ignore_errors=True)
    wait_for_all()
    return find(workspace.students, plan.name)


def _temperature(student: Student, validation: Material | None) -> float | None:
    return fit_temperature(student.predict_proba(validation.texts), validation.labels) if validation else None


def seen(entry: Entry) -> frozenset[str]:
    """The keys of all texts that a student was trained on, those of its validation split too."""
    return frozenset(json.loads((entry.path / SEEN).read_text("utf-8")))
