"""``student.json``: a student's kind, provenance, and training."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tutelage.core import __version__
from tutelage.core.errors import StudentError
from tutelage.core.task import Task
from tutelage.feedback.snapshot import Snapshot
from tutelage.loaders.rows import text_key
from tutelage.training.cost import TrainingCost
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.training_set import LeftOut

FILE = "student.json"
"""Written last: a folder without it is not a student."""

VERSION = 1
"""Version of the file's schema; 0.1.0 wrote none."""

CALIBRATED, UNCALIBRATED = "calibrated", "uncalibrated"
"""Whether a student's probabilities are given with the temperature that was fitted, or as it computes them."""

_ADDED_LATER: dict[str, Any] = {
    "near_duplicate_rule": 1,
    "probabilities": UNCALIBRATED,
    "seen_digest": "",
    "siblings": (),
}
"""What students of earlier versions do not say."""

NOT_STATED = "not stated in the task file"
_LIBRARIES = ("torch", "transformers", "setfit", "sentence-transformers", "scikit-learn", "numpy", "accelerate")


@dataclass(frozen=True, kw_only=True)
class TeacherLicense:
    """A teacher that voted, and the licence or terms of its output, as in the task file."""

    name: str
    license: str


@dataclass(frozen=True, kw_only=True)
class StudentManifest:
    """What ``student.json`` holds.

    Parameters
    ----------
    id, kind, model
        Its id; the kind of student; the base model (empty for none).
    labels, definitions
        The task's labels, in the order of the probability columns, and their definitions.
    task, task_id, question
        The task's name, hash and question.
    snapshot, snapshot_manifest
        What it was trained on: the snapshot's id, and its manifest without annotators' names.
    teachers
        The teachers that voted on the snapshot's records.
    recipe, seed
        Its hyperparameters.
    rows, left_out, near_duplicates
        The number of training texts; the number of records left out, by reason; the ids of the near-duplicates
        of the holdout, each with the key of the similar text.
    took
        Time, energy and cost of the training.
    near_duplicate_rule
        What was a near-duplicate; 1 in students of earlier versions.
    seen_digest
        SHA-256 of ``seen.json``; empty in students of earlier versions.
    siblings
        The ids of the students of the same recipe and snapshot that one ``train --seeds`` trained, this one among
        them, the first seed's first; empty for a student trained alone.
    temperature
        For temperature scaling (Guo et al. 2017); None without validation rows.
    probabilities
        ``calibrated`` where those that it gives are scaled with that temperature, else ``uncalibrated``, as those of
        students are that were made before this was stated.
    training
        The log of the run: epochs, validation scores, losses, devices; ``why`` is the reason for its kind.
    created_at, environment
        When, in ISO 8601, and with which versions of the libraries.
    version
        Of this schema.
    """

    id: str
    kind: str
    labels: tuple[str, ...]
    definitions: Mapping[str, str]
    model: str
    task: str
    task_id: str
    question: str
    snapshot: str
    snapshot_manifest: Mapping[str, Any]
    teachers: tuple[TeacherLicense, ...]
    recipe: Recipe
    seed: int
    created_at: str
    environment: Mapping[str, str]
    rows: int
    left_out: Mapping[str, int]
    near_duplicates: Mapping[str, str]
    took: TrainingCost
    temperature: float | None
    training: Mapping[str, Any]
    probabilities: str = UNCALIBRATED
    near_duplicate_rule: int = 1
    seen_digest: str = ""
    siblings: tuple[str, ...] = ()
    version: int = VERSION

    @property
    def applied_temperature(self) -> float | None:
        """The temperature of the probabilities that ``predict`` gives; None for those that the student computes."""
        return self.temperature if self.probabilities == CALIBRATED else None

    def to_json(self) -> str:
        """The content of ``student.json``."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> StudentManifest:
        """Parse a file of this version or an earlier one.

        Raises
        ------
        ValueError, TypeError, LookupError
            When it is damaged.
        StudentError
            When a newer version of tutelage wrote it.
        """
        data = {"version": 0, **_ADDED_LATER, **json.loads(text)}
        if data["version"] > VERSION:
            raise StudentError(f"{data['id']}: was created by a newer version of tutelage; upgrade tutelage to use it")
        data |= {
            "version": VERSION,
            "labels": tuple(data["labels"]),
            "teachers": tuple(TeacherLicense(**teacher) for teacher in data["teachers"]),
            "recipe": Recipe(**data["recipe"]),
            "siblings": tuple(data["siblings"]),
            "took": TrainingCost(**data["took"]),
        }
        return cls(**{field.name: data[field.name] for field in fields(cls)})

    def check_labels(self, expected: Sequence[str]) -> None:
        """Refuse a student whose labels are not the task's, in the task's order.

        Raises
        ------
        StudentError
            With both lists.
        """
        if self.labels != tuple(expected):
            raise StudentError(
                f"{self.id}: was trained on the labels {list(self.labels)}, but the task has {list(expected)};"
                " train a new student"
            )


def read_manifest(directory: Path) -> StudentManifest:
    """The manifest in a student's folder.

    Raises
    ------
    StudentError
        When it is missing or damaged.
    """
    try:
        return StudentManifest.from_json((directory / FILE).read_text("utf-8"))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise StudentError(
            f"{directory}: contains no complete student ({error}); remove the folder and train again"
        ) from None


def make_manifest(
    task: Task,
    recipe: Recipe,
    snapshot: Snapshot,
    *,
    name: str,
    rows: int,
    left_out: LeftOut,
    took: TrainingCost,
    temperature: float | None,
    training: Mapping[str, Any],
    seen_digest: str,
    siblings: Sequence[str],
) -> StudentManifest:
    """The manifest of a newly trained student."""
    return StudentManifest(
        id=name,
        kind=recipe.kind,
        labels=task.label_names,
        definitions={label.name: label.definition for label in task.labels if label.definition},
        model=recipe.model,
        task=task.name,
        task_id=task.id,
        question=task.question,
        snapshot=snapshot.id,
        snapshot_manifest=snapshot.public_manifest,
        teachers=teachers_of(task, snapshot),
        recipe=recipe,
        seed=recipe.seed,
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        environment=environment(),
        rows=rows,
        left_out=left_out.counts(),
        near_duplicates={record_id: text_key(text) for record_id, text in left_out.near_duplicates.items()},
        took=took,
        temperature=temperature,
        probabilities=CALIBRATED if temperature else UNCALIBRATED,
        training=training,
        near_duplicate_rule=left_out.rule,
        seen_digest=seen_digest,
        siblings=tuple(siblings),
    )


def teachers_of(task: Task, snapshot: Snapshot) -> tuple[TeacherLicense, ...]:
    """The teachers that voted on the snapshot's records, by name."""
    licenses = {teacher.name: teacher.license for teacher in task.teachers}
    voted = {vote["teacher"] for votes in snapshot.frame()["votes"] for vote in votes}
    return tuple(TeacherLicense(name=name, license=licenses.get(name, NOT_STATED)) for name in sorted(voted))


def environment() -> dict[str, str]:
    """Versions of Python, the machine and the libraries that affect the result."""
    versions = {"python": platform.python_version(), "machine": platform.machine(), "tutelage": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
