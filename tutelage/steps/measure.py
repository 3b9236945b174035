"""The step ``evaluate``: measure a student, write the report, and draw the learning curve where it is asked for."""

from __future__ import annotations

from dataclasses import replace

from tutelage.core.errors import StudentError
from tutelage.core.records import ProgressCallback
from tutelage.core.workspace import Workspace
from tutelage.steps.results import EvaluationReport
from tutelage.training.evaluation.evaluate import evaluate, write_report
from tutelage.training.evaluation.gold_set import GoldSet
from tutelage.training.evaluation.learning_curve import learning_curve
from tutelage.training.registry import find_student


def evaluate_student(
    workspace: Workspace,
    rows: GoldSet,
    student: str,
    *,
    against: str = "",
    margin: float,
    curve: bool,
    progress: ProgressCallback,
) -> EvaluationReport:
    """Measure on these rows; the report is written before the learning curve, which takes long, and again after it."""
    entry = find_student(workspace.students, student)
    second = find_student(workspace.students, against) if against else None
    if second and second.id == entry.id:
        raise StudentError(f"against {against}: is the same student, {entry.id}; name another")
    evaluation = evaluate(workspace, entry, rows, against=second, margin=margin, progress=progress)
    report, figure = write_report(workspace, evaluation)
    if curve:
        points = learning_curve(workspace, entry, rows, progress=progress)
        evaluation = replace(evaluation, curve=tuple(points))
        report, figure = write_report(workspace, evaluation)
    return EvaluationReport(evaluation=evaluation, report=report, figure=figure)
