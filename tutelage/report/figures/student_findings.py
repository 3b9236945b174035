"""The champion on the holdout, and the students before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tutelage.core.arrays import decide
from tutelage.core.errors import StudentError
from tutelage.core.records import ProgressCallback, named
from tutelage.core.workspace import Workspace
from tutelage.training.evaluation.evaluate import Evaluation, check_student, evaluate, predicted, read_report
from tutelage.training.evaluation.gold_set import GoldSet
from tutelage.training.measures.metrics import Interval, score
from tutelage.training.registry import Entry, list_students
from tutelage.training.students.kinds import LINEAR

CURVE_MAX = 20
"""The newest students that the learning curve shows."""


@dataclass(frozen=True, kw_only=True)
class CurveStudent:
    """A student on the holdout: a point of the learning curve.

    ``source`` is ``students`` for one of the registry, ``evaluate --curve`` for one trained on a part of its rows.
    """

    id: str
    kind: str
    rows: int
    created_at: str
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    source: str = "students"


@dataclass(frozen=True, kw_only=True)
class StudentFindings:
    """The champion, or the newest student, on the holdout.

    Parameters
    ----------
    id, is_champion
        Which one.
    evaluation
        None where it cannot be measured; ``missing`` says why, and what to do.
    curve
        Students over the number of rows that they were trained on, on the same holdout.
    unmeasured
        Students that no report measures on this holdout.
    """

    id: str
    is_champion: bool
    evaluation: Evaluation | None
    missing: str
    curve: tuple[CurveStudent, ...]
    unmeasured: tuple[str, ...]


def student_findings(
    workspace: Workspace, entry: Entry, champion: str | None, holdout: GoldSet | None, progress: ProgressCallback
) -> StudentFindings:
    """Measure one student, and collect what is known of the others."""
    evaluation, missing = _evaluated(workspace, entry, holdout, named(progress, "report"))
    points = dict(_points(workspace, entry, evaluation, holdout)) if holdout else {}
    others = list_students(workspace.students)[-CURVE_MAX:] if holdout else []
    parts = _parts(workspace, entry, holdout) if holdout else []
    return StudentFindings(
        id=entry.id,
        is_champion=entry.id == champion,
        evaluation=evaluation,
        missing=missing,
        curve=tuple(sorted([*points.values(), *parts], key=lambda point: (point.rows, point.created_at))),
        unmeasured=tuple(other.id for other in others if other.id not in points),
    )


def _evaluated(
    workspace: Workspace, entry: Entry, holdout: GoldSet | None, progress: ProgressCallback
) -> tuple[Evaluation | None, str]:
    if holdout is None:
        return None, (
            "The task has no holdout with gold labels. Set holdout.share in task.yaml before the next training, and "
            "bring gold labels with tutelage load --gold or tutelage import --gold."
        )
    try:
        return evaluate(workspace, entry, holdout, progress=progress), ""
    except StudentError as error:
        return None, str(error)
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed; install it with: pip install 'tutelage[train]'"


def _points(
    workspace: Workspace, entry: Entry, evaluation: Evaluation | None, holdout: GoldSet
) -> Iterator[tuple[str, CurveStudent]]:
    """The students on this holdout: as measured now, or as a report says; linear ones are measured at once."""
    for other in list_students(workspace.students)[-CURVE_MAX:]:
        if evaluation and other.id == entry.id:
            yield other.id, _point(other, vars(evaluation.scores[other.id]))
        elif found := _saved_point(other, _saved(workspace, other, holdout)):
            yield other.id, found
        elif other.manifest.kind == LINEAR and (now := _measured(workspace, other, holdout)):
            yield other.id, now


def _saved(workspace: Workspace, entry: Entry, holdout: GoldSet) -> dict[str, Any]:
    """What an evaluation says; empty where there is none that can be read."""
    return read_report(workspace.reports / f"evaluate-{entry.id}-{holdout.digest}.json")


def _saved_point(entry: Entry, report: dict[str, Any]) -> CurveStudent | None:
    """None where the evaluation is none, or lacks what is needed: it is measured anew, or left out."""
    try:
        return _point(entry, report["scores"][entry.id])
    except (LookupError, TypeError):
        return None


def _measured(workspace: Workspace, entry: Entry, holdout: GoldSet) -> CurveStudent | None:
    try:
        check_student(workspace, entry, holdout)
        labels = decide(predicted(entry, holdout.texts))
    except (StudentError, ModuleNotFoundError):  # such as one that was trained on some of these rows
        return None
    names = workspace.task.label_names
    return _point(entry, vars(score(holdout.gold(names), labels, names)))


def _point(entry: Entry, scores: dict[str, Any]) -> CurveStudent:
    return CurveStudent(
        id=entry.id,
        kind=entry.manifest.kind,
        rows=entry.manifest.rows,
        created_at=entry.manifest.created_at,
        accuracy=scores["accuracy"],
        accuracy_interval=Interval(*scores["accuracy_interval"]),
        macro_f1=scores["macro_f1"],
        macro_f1_interval=Interval(*scores["macro_f1_interval"]),
    )


def _parts(workspace: Workspace, entry: Entry, holdout: GoldSet) -> list[CurveStudent]:
    """What ``evaluate --curve`` measured: the recipe trained on parts of the snapshot; the whole is the student."""
    report = _saved(workspace, entry, holdout)
    return [
        CurveStudent(
            id=f"{entry.id}, {point['rows']} rows",
            kind=entry.manifest.kind,
            rows=point["rows"],
            created_at=entry.manifest.created_at,
            accuracy=point["accuracy"],
            accuracy_interval=Interval(*point["accuracy_interval"]),
            macro_f1=point["macro_f1"],
            macro_f1_interval=Interval(*point["macro_f1_interval"]),
            source="evaluate --curve",
        )
        for point in report.get("curve", ())
        if point["rows"] < entry.manifest.rows
    ]
