"""Where a task stands, from its own files; nothing is asked of a server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tutelage.core.errors import SnapshotError
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.curate import curate
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.teacher.teacher_ledger import Spent, TeacherLedger

if TYPE_CHECKING:
    from tutelage.training.registry import Entry


@dataclass(frozen=True, kw_only=True)
class StudentSummary:
    """A student.

    Parameters
    ----------
    id, kind, model
        Its name, the kind of student, and the model that it started from.
    rows, snapshot
        On how many texts of which snapshot it was trained.
    created_at
        When, in ISO 8601.
    """

    id: str
    kind: str
    model: str
    rows: int
    snapshot: str
    created_at: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a task stands.

    Parameters
    ----------
    task
        Its name.
    records, votes, abstentions
        How many there are; abstentions are votes that name no label.
    without_suggestion, ties
        Records that nothing is suggested for, and those whose suggestion is one of several equals.
    ranked
        Records that have a suspect rank.
    by_status
        Records that are pending, reviewed, discarded or tied.
    snapshot
        The newest one's id; None before the first.
    students, champion
        The newest last; the champion's id.
    spent
        What each vote of each teacher's prompt cost so far.
    """

    task: str
    records: int
    votes: int
    abstentions: int
    without_suggestion: int
    ties: int
    ranked: int
    by_status: dict[str, int]
    snapshot: str | None
    students: tuple[StudentSummary, ...]
    champion: str | None
    spent: tuple[Spent, ...]


def status(workspace: Workspace) -> Status:
    """Read the ledger, the snapshots and the registry.

    Raises
    ------
    TutelageError
        When the task file or the ledger cannot be used.
    """
    from tutelage.training.registry import champion_id, list_students

    task = workspace.task
    with TeacherLedger(workspace.db) as ledger:
        spent = tuple(ledger.spent())
        ranks = ledger.ranks()
        curated = curate(ledger.records(task), counting_answers(ledger), ranks)
    votes = [vote for item in curated for vote in item.record.votes]
    return Status(
        task=task.name,
        records=len(curated),
        votes=len(votes),
        abstentions=sum(1 for vote in votes if vote.label is None),
        without_suggestion=sum(1 for item in curated if item.suggestion is None),
        ties=sum(1 for item in curated if item.suggestion and item.suggestion.tie),
        ranked=len(ranks),
        by_status=dict(Counter(item.status for item in curated)),
        snapshot=_newest_snapshot(workspace),
        students=tuple(_summary(entry) for entry in list_students(workspace.students)),
        champion=champion_id(workspace.students),
        spent=spent,
    )


def _summary(entry: Entry) -> StudentSummary:
    names = (field.name for field in fields(StudentSummary))
    return StudentSummary(**{name: getattr(entry.manifest, name) for name in names})


def _newest_snapshot(workspace: Workspace) -> str | None:
    try:
        return load_snapshot(workspace.snapshots).id
    except SnapshotError:
        return None
