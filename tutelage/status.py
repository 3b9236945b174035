"""Where a task stands, from its own files; nothing is asked of a server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from feedback.curate import curate
from feedback.pull import by_record
from feedback.snapshot import load_snapshot
from loaders.teacher.ledger import TeacherLedger
from tutelage.errors import SnapshotError
from tutelage.workspace import Workspace

_OF_A_STUDENT = ("id", "kind", "model", "rows", "snapshot", "created_at")


@dataclass(frozen=True)
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
    from training.registry import champion_id, entries

    task = workspace.task
    with TeacherLedger(workspace.db) as ledger:
        spent = [row._asdict() for row in ledger.spent()]
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
        students=[{name: entry.manifest[name] for name in _OF_A_STUDENT} for entry in entries(workspace.students)],
        champion=champion_id(workspace.students),
        spent=spent,
    )


def _newest_snapshot(workspace: Workspace) -> str | None:
    try:
        return load_snapshot(workspace.snapshots).id
    except SnapshotError:
        return None


def words(found: Status) -> str:
    """The status for people."""
    reviewed = ", ".join(f"{count} {name}" for name, count in found.by_status.items()) or "none"
    lines = [
        f"{found.task}: {found.records} records ({reviewed})",
        f"votes: {found.votes}, {found.abstentions} of them abstentions",
        f"suggestions: {found.without_suggestion} records without one, {found.ties} ties",
        f"ranked: {found.ranked}",
        f"newest snapshot: {found.snapshot or 'none'}",
        f"students: {len(found.students) or 'none'}; champion: {found.champion or 'none'}",
    ]
    lines += [_student(row, found.champion) for row in found.students]
    lines += [_spent(row) for row in found.spent]
    return "\n".join(lines)


def _student(row: dict[str, Any], champion: str | None) -> str:
    mark = "*" if row["id"] == champion else " "
    of = f" of {row['model']}" if row["model"] else ""
    return f"{mark} {row['id']}{of}, {row['rows']} rows of snapshot {row['snapshot']}, {row['created_at'][:16]}"


def _spent(row: dict[str, Any]) -> str:
    words = f"asked: {row['teacher']} {row['prompt']} vote {row['vote']}: {row['calls']} records"
    words += f", {row['tokens_in']} tokens in, {row['tokens_out']} out"
    return words + (f", {row['cost']:.4f} USD, {row['cost'] / row['priced']:.6f} a record" if row["priced"] else "")
