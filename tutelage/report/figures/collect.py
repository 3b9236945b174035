"""Every figure of the report, as data: what the task directory holds, and the champion measured on the holdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tutelage.core.errors import StudentError, TutelageError
from tutelage.core.records import Progress, ProgressCallback, Record, Shown, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.curate import Curated, curate
from tutelage.loaders.holdout import HeldOut, held_out
from tutelage.loaders.ledger import QUEUE
from tutelage.loaders.teacher.teacher_ledger import Spent, TeacherLedger, UsedPanel
from tutelage.report.figures.economy import Economy, Throughput, economy, measure_throughput
from tutelage.report.figures.label_accuracy import LabelAccuracy, label_accuracy
from tutelage.report.figures.lineage import LineageStep, trace_lineage
from tutelage.report.figures.review_findings import ReviewFindings, review_findings
from tutelage.report.figures.student_findings import StudentFindings, student_findings
from tutelage.training.evaluation.gold_set import GoldSet, find_holdout, gold_in_and_outside_holdout
from tutelage.training.registry import Entry, champion_id, find_student, list_students
from tutelage.views.history import read_history

TIMED_TEXTS = 512
"""Texts that the student's speed is measured on, at most."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked: the question, the labels with their definitions, the guidelines, and of how many texts."""

    task: str
    question: str
    labels: tuple[tuple[str, str], ...]
    guidelines: str
    texts: int
    held_out: int
    votes: int
    abstentions: int
    without_suggestion: int


@dataclass(frozen=True, kw_only=True)
class LastDrift:
    """What the newest run of ``retrain`` that looked for drift says."""

    at: str
    found: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page says.

    Parameters
    ----------
    at
        When it was made, in ISO 8601.
    asked
        The question, and the texts.
    quality
        Labels that are right, before and after the review.
    review
        What people did.
    student
        None without a student; ``problem`` says what kept the holdout or a student from being read.
    drift
        None where no run of ``retrain`` measured it.
    money
        Money, time and carbon of one text, and so far.
    lineage
        From the task's hash to the champion.
    """

    at: str
    asked: Asked
    quality: LabelAccuracy
    review: ReviewFindings
    student: StudentFindings | None
    problem: str
    drift: LastDrift | None
    money: Economy
    lineage: tuple[LineageStep, ...]


@dataclass(frozen=True, kw_only=True)
class _Ledger:
    """What ``task.db`` holds."""

    records: Sequence[Record] = ()
    items: Sequence[Curated] = ()
    history: Mapping[str, Sequence[Shown]]
    spent: Sequence[Spent] = ()
    panels: Sequence[UsedPanel] = ()


def collect_report(
    workspace: Workspace, progress: ProgressCallback = unreported, *, run: Mapping[str, Any] | None = None
) -> Report:
    """Read the task directory and measure the champion, or the newest student, on the holdout.

    Nothing is trained, and nothing is asked of Argilla or a teacher. ``run`` is a run of ``retrain`` that has no line
    in ``history.jsonl`` yet.

    Raises
    ------
    TutelageError
        When the task file or the ledger cannot be used.
    """
    progress(Progress("reading the task"))
    held = _read(workspace)
    entries, champion = list_students(workspace.students), champion_id(workspace.students)
    entry = find_student(workspace.students) if entries else None
    holdout, problem = _holdout(workspace) if entry else (None, "")  # its first use locks it
    student = student_findings(workspace, entry, champion, holdout, progress) if entry else None
    review = review_findings(held.items, held.history)
    progress(Progress("measuring the student's speed"))
    return Report(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        asked=_asked(workspace, held),
        quality=_quality(workspace, held, holdout),
        review=review,
        student=student,
        problem=problem,
        drift=_drift([*read_history(workspace.root), *([run] if run else [])]),
        money=_money(workspace, held, entry, entries, review),
        lineage=trace_lineage(workspace, held.records, held.panels, entry),
    )


def _read(workspace: Workspace) -> _Ledger:
    if not workspace.db.exists():  # reading would make it
        return _Ledger(history={})
    out = held_out(workspace)
    with TeacherLedger(workspace.db) as ledger:
        records, dataset = list(ledger.records(workspace.task)), ledger.current_dataset(QUEUE)
        return _Ledger(
            records=records,
            items=curate(_reviewable(records, out), counting_answers(ledger), ledger.ranks()),
            history=ledger.shown(dataset) if dataset else {},
            spent=ledger.spent(),
            panels=ledger.used_panels(),
        )


def _reviewable(records: Sequence[Record], out: HeldOut) -> list[Record]:
    return [record for record in records if record not in out]


def _holdout(workspace: Workspace) -> tuple[GoldSet | None, str]:
    """The holdout; what ails it where it cannot be used, which the page says in its place."""
    try:
        return find_holdout(workspace), ""
    except TutelageError as error:
        return None, str(error)


def _asked(workspace: Workspace, held: _Ledger) -> Asked:
    task = workspace.task
    votes = [vote for record in held.records for vote in record.votes]
    return Asked(
        task=task.name,
        question=task.question,
        labels=tuple((label.name, label.definition.strip()) for label in task.labels),
        guidelines=task.guidelines.strip(),
        texts=len(held.records),
        held_out=len(held.records) - len(held.items),
        votes=len(votes),
        abstentions=sum(vote.label is None for vote in votes),
        without_suggestion=sum(item.suggestion is None for item in held.items),
    )


def _quality(workspace: Workspace, held: _Ledger, holdout: GoldSet | None) -> LabelAccuracy:
    held_gold, gold = gold_in_and_outside_holdout(workspace) if workspace.db.exists() else ({}, {})
    if holdout:
        held_gold = {item.id: item.gold for item in holdout.items}
    rows = [record for record in held.records if record.id in held_gold]
    return label_accuracy(workspace.task, held.items, gold, rows, held_gold)


def _drift(runs: Sequence[Mapping[str, Any]]) -> LastDrift | None:
    looked = [run for run in runs if isinstance(run.get("drift"), dict)]
    return LastDrift(at=str(looked[-1]["at"]), found=looked[-1]["drift"]) if looked else None


def _speed(entry: Entry, texts: Sequence[str]) -> Throughput | None:
    """None where the student cannot be loaded, which its evaluation says."""
    try:
        return measure_throughput(entry, texts)
    except (StudentError, ModuleNotFoundError):
        return None


def _money(
    workspace: Workspace, held: _Ledger, entry: Entry | None, entries: Sequence[Entry], review: ReviewFindings
) -> Economy:
    texts = [record.text for record in held.records[:TIMED_TEXTS]]
    speed = _speed(entry, texts) if entry else None
    votes = [len(record.votes) for record in held.records if record.votes]
    today = datetime.now(UTC).date()
    current = {(panel.teacher, panel.prompt) for panel in held.panels if panel.present}
    return economy(workspace.task, speed, held.spent, votes, entries, review.answers, today, current=current)
