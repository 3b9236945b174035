"""The step ``train``: a student from a snapshot, without the holdout, in ``students/ID/``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tutelage.core.compute import check_launcher, is_main, process_count, wait_for_all
from tutelage.core.errors import StudentError
from tutelage.core.files import make_folder, write_text
from tutelage.core.locks import in_use, locked
from tutelage.core.records import Progress, ProgressCallback, named, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import MANIFEST, Snapshot, load_snapshot
from tutelage.loaders.holdout import held_out
from tutelage.loaders.rows import text_key
from tutelage.training.cost import Meter, TrainingCost
from tutelage.training.hub.model_card import write_card
from tutelage.training.leftovers import LOCK, WORK, sweep
from tutelage.training.manifest import StudentManifest, make_manifest
from tutelage.training.measures.calibration import fit_temperature
from tutelage.training.registry import SEEN, Entry, digest_of, find_student, list_students, write_student
from tutelage.training.runs.loss_curve import write_curve
from tutelage.training.runs.trackers import TENSORBOARD, Tracker
from tutelage.training.students.encoder import truncated_texts
from tutelage.training.students.fit import choose_recipe, fit_student
from tutelage.training.students.kinds import KINDS, LINEAR
from tutelage.training.students.recipe import Recipe, parse_student, student_id
from tutelage.training.students.training_set import Fitted, LeftOut, SnapshotRows, TrainingSet

TRUNCATED = "truncated"
"""In the log of a training: how many of its texts were longer than the student reads."""

AUTO = "auto"
"""In place of a student: the kind is chosen by the number of labels."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of ``train``.

    Parameters
    ----------
    id, path
        The student and its folder; empty in processes that did not train.
    is_new
        False where the same call has created the student before.
    why
        Why ``auto`` chose this kind; else empty.
    rows, left_out
        The number of training texts, and of records left out, by reason.
    took
        Time, energy and cost.
    idle_options
        The given options that have no effect on this kind of student.
    siblings
        The ids of the students of all seeds, this one's first; empty where there is one seed.
    unseen_labels
        Labels of the task that no training text has: the student has not learned them.
    truncated
        The number of training texts that the student read the beginning of only.
    """

    id: str
    path: str
    is_new: bool
    why: str
    rows: int
    left_out: Mapping[str, int]
    took: TrainingCost | None
    idle_options: tuple[str, ...] = ()
    unseen_labels: tuple[str, ...] = ()
    truncated: int = 0
    siblings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Everything that determines a student."""

    name: str
    recipe: Recipe
    snapshot: Snapshot
    training_set: TrainingSet
    left_out: LeftOut
    fixed: tuple[str, str]
    why: str
    siblings: tuple[str, ...] = ()


def train(
    workspace: Workspace,
    student: str | Recipe = "",
    *,
    snapshot: str | None = None,
    options: Mapping[str, Any] | None = None,
    report_to: str = "",
    seeds: int = 1,
    progress: ProgressCallback = unreported,
) -> TrainResult:
    """Train a student on a snapshot.

    With several ``seeds`` so many students, with the recipe's seed and those after it; the first one is returned.

    In distributed training each process returns its result; for a kind that trains in one process, all but the
    main one return an empty result.

    Parameters
    ----------
    student
        ``linear``, ``setfit``, a model, ``MODEL:frozen``, ``MODEL:setfit`` or ``auto``, or a recipe; the task's
        by default.
    snapshot
        Its id; the latest by default.
    options
        Values for fields of ``Recipe``; None stands for the default.
    report_to
        ``tensorboard``, ``mlflow`` or ``wandb``, for an encoder's losses while it is trained; no tracker by default.

    Raises
    ------
    SnapshotError
        When there is no snapshot, or no row in it to train on.
    StudentError
        When the model cannot be loaded, or a library is not installed.
    """
    options = options or {}
    recipe = _recipe(student or workspace.task.student, _with_task(workspace, options))
    if recipe and KINDS[recipe.kind].one_process and not is_main():
        return TrainResult(id="", path="", is_new=False, why="", rows=0, left_out={}, took=None)
    frozen = load_snapshot(workspace.snapshots, snapshot)
    with in_use(frozen.path / MANIFEST):
        first = _plan(workspace, recipe, options, frozen, progress)
        plans = _of_all_seeds(first, seeds)
        if is_main():
            sweep(workspace, resumed=[plan.name for plan in plans])
        told = [named(progress, f"seed {plan.recipe.seed}") if seeds > 1 else progress for plan in plans]
        done = [_train_on(plan, workspace, options, report_to, tell) for plan, tell in zip(plans, told, strict=True)]
        return replace(done[0], siblings=plans[0].siblings)


def _of_all_seeds(plan: _Plan, seeds: int) -> list[_Plan]:
    """The plan with its seed and those after it."""
    if seeds < 1:
        raise StudentError(f"--seeds {seeds}: must be at least 1")
    recipes = [replace(plan.recipe, seed=plan.recipe.seed + number) for number in range(seeds)]
    names = [student_id(recipe, plan.snapshot.id, plan.fixed) for recipe in recipes]
    if len(set(names)) < seeds:
        raise StudentError(f"--seeds {seeds}: a {plan.recipe.kind} student is the same with every seed; leave it out")
    siblings = tuple(names) if seeds > 1 else ()
    return [replace(plan, recipe=one, name=name, siblings=siblings) for one, name in zip(recipes, names, strict=True)]


def _train_on(
    plan: _Plan, workspace: Workspace, options: Mapping[str, Any], report_to: str, progress: ProgressCallback
) -> TrainResult:
    tracker = Tracker(report_to, plan.name) if report_to else None
    with _alone(workspace.students, plan.name, progress):
        known = next((entry for entry in list_students(workspace.students) if entry.id == plan.name), None)
        entry = known or _train(workspace, plan, tracker, progress)
    manifest = entry.manifest
    return TrainResult(
        id=entry.id,
        path=str(entry.path),
        is_new=known is None,
        why=plan.why,
        rows=manifest.rows,
        left_out=manifest.left_out,
        took=manifest.took,
        idle_options=idle_options(plan.recipe.kind, {**options, "report_to": report_to or None}),
        unseen_labels=_unseen_labels(plan.training_set, workspace.task.label_names),
        truncated=manifest.training.get(TRUNCATED, 0),
    )


def _unseen_labels(rows: TrainingSet, label_names: Sequence[str]) -> tuple[str, ...]:
    seen = set(rows.labels.tolist())
    return tuple(name for number, name in enumerate(label_names) if number not in seen)


def idle_options(kind: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The given options that have no effect on a student of this kind."""
    taken, tracked = KINDS[kind].options, KINDS[kind].tracked
    given = [name for name, value in options.items() if value is not None]
    return tuple(
        name for name in given if (not tracked if name == "report_to" else taken is not None and name not in taken)
    )


def _with_task(workspace: Workspace, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, and what the task says of every student."""
    return {"long_texts": workspace.task.long_texts, **options}


def _recipe(student: str | Recipe, options: Mapping[str, Any]) -> Recipe | None:
    """The recipe; None for ``auto``, which depends on the rows."""
    if student == AUTO:
        return None
    return parse_student(student, **options) if isinstance(student, str) else student.with_options(**options)


def _plan(
    workspace: Workspace,
    recipe: Recipe | None,
    options: Mapping[str, Any],
    snapshot: Snapshot,
    progress: ProgressCallback,
) -> _Plan:
    task, holdout, why = workspace.task, held_out(workspace), ""
    rows = SnapshotRows(snapshot.frame(), task.label_names, holdout, progress)
    if recipe is None:
        labelled, _ = rows.select(parse_student(LINEAR, **options))
        recipe, why = choose_recipe(labelled.labels, task.student, _with_task(workspace, options))
    training_set, left_out = rows.select(recipe)
    fixed = (task.id, holdout.digest)
    student = student_id(recipe, snapshot.id, fixed)
    return _Plan(
        name=student,
        recipe=recipe,
        snapshot=snapshot,
        training_set=training_set,
        left_out=left_out,
        fixed=fixed,
        why=why,
    )


@contextmanager
def _alone(students: Path, name: str, progress: ProgressCallback) -> Iterator[None]:
    """Lock this student against concurrent training; in distributed training the main process holds the lock."""

    def wait(_holder: str) -> None:
        if process_count() > 1:  # the other processes of this launch would not wait
            raise StudentError(f"{name} is being trained by another call; run this again when that one has finished")
        progress(Progress(f"waiting for another call that trains {name}"))

    if not is_main():
        yield
        return
    make_folder(students)
    lock = students / f"{LOCK}{name}"
    with locked(lock, on_wait=wait):
        yield
        lock.unlink(missing_ok=True)  # only now that the student is complete: a waiting call finds it


def _train(workspace: Workspace, plan: _Plan, tracker: Tracker | None, progress: ProgressCallback) -> Entry:
    if not KINDS[plan.recipe.kind].one_process:
        check_launcher()
    task = workspace.task
    work = workspace.students / f"{WORK}{plan.name}"
    make_folder(work)
    meter = Meter(work)
    progress(Progress(f"training on {len(plan.training_set)} rows"))

    def step(state: Progress) -> None:
        meter.keep()
        progress(state)

    try:
        with meter:
            fitted = fit_student(plan.recipe, plan.training_set, task.label_names, work, step, tracker=tracker)
    except ModuleNotFoundError as error:
        raise StudentError(f"{error.name} is not installed; install it with: pip install 'tutelage[train]'") from None
    progress(Progress("saving the student"))
    temperature, texts = _temperature(fitted), plan.training_set.texts

    def fill(folder: Path) -> StudentManifest:
        fitted.student.save(folder)
        write_curve(folder, plan.name, fitted.curve)
        if (work / TENSORBOARD).exists():
            shutil.copytree(work / TENSORBOARD, folder / TENSORBOARD)
        seen = json.dumps(sorted(map(text_key, texts)), indent=0) + "\n"
        write_text(folder / SEEN, seen)
        manifest = make_manifest(
            task,
            plan.recipe,
            plan.snapshot,
            name=plan.name,
            rows=len(plan.training_set),
            left_out=plan.left_out,
            took=meter.total(),
            temperature=temperature,
            training={**fitted.training, "why": plan.why, TRUNCATED: truncated_texts(fitted.student, texts)},
            seen_digest=digest_of(seen.encode()),
            siblings=plan.siblings,
        )
        write_card(folder, manifest)
        return manifest

    wait_for_all()
    if is_main():
        write_student(workspace.students, plan.name, fill)
        shutil.rmtree(work, ignore_errors=True)
    wait_for_all()
    return find_student(workspace.students, plan.name)


def _temperature(fitted: Fitted) -> float | None:
    rows = fitted.validation
    return fit_temperature(fitted.student.predict_proba(rows.texts), rows.labels) if rows else None
