"""Where a task stands, from its own files; nothing is asked of a server."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tutelage.core.errors import SnapshotError
from tutelage.core.workspace import Workspace
from tutelage.feedback.curate import curate
from tutelage.feedback.pull import by_record
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

if TYPE_CHECKING:
    from tutelage.training.registry import Entry

_OF_A_STUDENT = ("id", "kind", "model", "rows", "snapshot", "created_at")


@dataclass(frozen=True, kw_only=True)
class Status:
    """Counts of the records and of what machines and people said of them; the newest snapshot; the students.

    ``students``, the newest last: id, kind, model, training rows, snapshot and time of each.
    ``spent``: calls, tokens, cost in US dollars and seconds of each teacher, prompt and vote that was asked.
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
    students: list[dict[str, Any]]
    champion: str | None
    spent: list[dict[str, Any]]


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
        spent = [asdict(row) for row in ledger.spent()]
        dataset, ranks = ledger.latest_dataset(), ledger.ranks()
        responses = by_record(ledger.responses(dataset)) if dataset else {}
        curated = curate(ledger.records(task), responses, ranks)
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
        students=[_about(entry) for entry in list_students(workspace.students)],
        champion=champion_id(workspace.students),
        spent=spent,
    )


def _about(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry.manifest, name) for name in _OF_A_STUDENT}


def _newest_snapshot(workspace: Workspace) -> str | None:
    try:
        return load_snapshot(workspace.snapshots).id
    except SnapshotError:
        return None
