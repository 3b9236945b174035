"""What ``student.json`` says: where a student comes from, and what training it was like."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from feedback.snapshot import Snapshot
from training.cost import Took
from training.dataset_card import public_manifest
from training.holdout import text_key
from training.material import LeftOut
from training.recipe import Recipe
from tutelage import __version__
from tutelage.task import Task

NOT_STATED = "not stated in the task file"
_LIBRARIES = ("torch", "transformers", "setfit", "sentence-transformers", "scikit-learn", "numpy", "accelerate")


def describe(task: Task, recipe: Recipe, snapshot: Snapshot, name: str) -> dict[str, Any]:
    """Where the student comes from."""
    return {
        "id": name,
        "kind": recipe.kind,
        "labels": list(task.label_names),
        "definitions": {label.name: label.definition for label in task.labels if label.definition},
        "model": recipe.model,
        "task": task.name,
        "task_id": task.id,
        "question": task.question,
        "snapshot": snapshot.id,
        "snapshot_manifest": public_manifest(snapshot.manifest),
        "teachers": teachers(task, snapshot),
        "recipe": asdict(recipe),
        "seed": recipe.seed,
        "created_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "environment": environment(),
    }


def teachers(task: Task, snapshot: Snapshot) -> list[dict[str, str]]:
    """Who voted on the snapshot's records: ``name`` and, as the task file states it, the ``license`` of the output."""
    licenses = {teacher.name: teacher.license for teacher in task.teachers}
    voted = {vote["teacher"] for votes in snapshot.frame()["votes"] for vote in votes}
    return [{"name": name, "license": licenses.get(name, NOT_STATED)} for name in sorted(voted)]


def outcome(rows: int, left_out: LeftOut, took: Took, story: Mapping[str, Any]) -> dict[str, Any]:
    """What training was like; ``temperature`` mends the probabilities, None where nothing was validated."""
    told = dict(story)
    return {
        "rows": rows,
        "left_out": left_out.counts(),
        "near_duplicates": {name: text_key(text) for name, text in left_out.near_duplicates.items()},
        "took": asdict(took),
        "temperature": told.pop("temperature"),
        "training": told,
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
