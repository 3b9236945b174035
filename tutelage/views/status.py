"""Reads where a task stands: from its own files, and briefly from Argilla where that is up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING, Any

from tutelage.core.errors import SnapshotError
from tutelage.core.records import Rank, RankedBy, Record, Response, Shown
from tutelage.core.settings import Settings
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.argilla.dataset import queue_link
from tutelage.feedback.argilla.push import misplaced, unsent
from tutelage.feedback.curate import Curated, curate, is_final, is_open, suggested_and_given
from tutelage.feedback.snapshot import Snapshot, load_snapshot
from tutelage.loaders.consensus import suggest
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import QUEUE
from tutelage.loaders.teacher.teacher_ledger import Spent, TeacherLedger
from tutelage.views.history import read_history
from tutelage.views.standing import (
    FIRST,
    ArgillaState,
    Behind,
    LabelChange,
    LastRun,
    NextStep,
    Status,
    StudentSummary,
    find_next_step,
)

if TYPE_CHECKING:
    from tutelage.training.registry import Entry

PATIENCE = 3.0
"""Seconds that a status waits for Argilla, whatever it does."""


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What the ledger holds.

    ``records`` are all of them, ``items`` those that are not held out, ``open`` the ids of those that wait for an
    answer; ``ranks``, ``shown`` and ``responses`` are those of the ``dataset`` on Argilla, ``unsent`` counts what it
    was not sent, ``misplaced`` the places in its queue that are others now; ``spent`` is the teachers' cost,
    ``ranked_by`` what the latest ranking was made of.
    """

    records: Sequence[Record]
    items: Sequence[Curated]
    open: frozenset[str]
    ranks: Mapping[str, Rank]
    ranked_by: RankedBy | None
    dataset: str | None
    shown: Mapping[str, Sequence[Shown]]
    responses: Sequence[Response]
    spent: tuple[Spent, ...]
    unsent: int
    misplaced: int


@dataclass(frozen=True)
class _Argilla:
    """Whether it is up, its address, and how many finished answers it has; None where it was not asked."""

    state: ArgillaState
    url: str = ""
    answers: int | None = None


def status(workspace: Workspace, settings: Settings) -> Status:
    """Read the ledger, the snapshots and the registry, and ask Argilla for the number of answers.

    Raises
    ------
    TutelageError
        When the task file or the ledger cannot be used; never because of Argilla.
    """
    held = _read(workspace, count=True)
    return _status(workspace, held, _ask(settings, held.dataset, count=True))


def step_after(workspace: Workspace, settings: Settings, words: Sequence[str]) -> tuple[NextStep, str | None]:
    """The step that comes after the command of these words, and the queue's link; no answers are counted."""
    if not workspace.db.exists():  # reading would make it
        _ = workspace.task
        return NextStep(FIRST), None
    held = _read(workspace, count=False)
    now = _status(workspace, held, _ask(settings, held.dataset, count=False))
    return find_next_step(now, words), now.link


def _read(workspace: Workspace, *, count: bool) -> _Held:
    task, holdout = workspace.task, held_out(workspace)
    with TeacherLedger(workspace.db) as ledger:
        dataset, ranks, records = ledger.current_dataset(QUEUE), ledger.ranks(), list(ledger.records(task))
        responses = ledger.responses(dataset) if dataset else []
        items = curate((record for record in records if record not in holdout), counting_answers(ledger), ranks)
        waiting = unsent(ledger, dataset or "", [(item.record, item.suggestion) for item in items], task)
        dealt = ledger.dealt()
        return _Held(
            records=records,
            items=items,
            open=frozenset(i.record.id for i in items if is_open(i, task, dealt.get(i.record.id, ()))),
            ranks=ranks,
            ranked_by=ledger.ranked_by(),
            dataset=dataset,
            shown=ledger.shown(dataset) if dataset else {},
            responses=responses,
            misplaced=misplaced(ledger, dataset or "", {item.record.id for item in items}, ranks, task),
            spent=tuple(ledger.spent()),
            unsent=sum(1 for _ in (waiting if count else islice(waiting, 1))),
        )


def _status(workspace: Workspace, held: _Held, argilla: _Argilla) -> Status:
    from tutelage.training.registry import champion_id, list_students

    students, snapshot = list_students(workspace.students), _newest_snapshot(workspace)
    link = queue_link(argilla.url, held.dataset) if argilla.url and held.dataset else None
    found = Status(
        task=workspace.task.name,
        ranked=len(held.ranks),
        by_status=dict(Counter(item.status for item in held.items)),
        snapshot=snapshot.id if snapshot else None,
        students=tuple(_summary(entry) for entry in students),
        champion=champion_id(workspace.students),
        spent=held.spent,
        teachers=sum(1 for teacher in workspace.task.teachers if teacher.model),
        has_gold=workspace.gold.exists() and len(held.records) > len(held.items),
        argilla=argilla.state,
        link=link,
        behind=_behind(workspace, held, snapshot, students, argilla),
        beats_champion=_beats_champion(workspace, students),
        last_run=_last_run(workspace),
        ranked_by=held.ranked_by if held.ranks else None,
        in_files=held.dataset is None and any(item.responses for item in held.items),
        **_of_records(held.records, held.items),
        **_of_people(held),
    )
    return replace(found, next=find_next_step(found).command(workspace.root))


def _last_run(workspace: Workspace) -> LastRun | None:
    lines = read_history(workspace.root)
    return LastRun(*(str(lines[-1].get(name, "")) for name in ("at", "outcome", "message"))) if lines else None


def _of_records(records: Sequence[Record], items: Sequence[Curated]) -> dict[str, Any]:
    votes = [vote for record in records for vote in record.votes]
    suggestions = [suggest(record) for record in records]
    return {
        "records": len(records),
        "votes": len(votes),
        "abstentions": sum(1 for vote in votes if vote.label is None),
        "without_suggestion": suggestions.count(None),
        "ties": sum(1 for suggestion in suggestions if suggestion and suggestion.tie),
        "without_vote": sum(1 for record in records if not record.votes and record.given is None),
        "held_out": len(records) - len(items),
    }


def _of_people(held: _Held) -> dict[str, Any]:
    pairs = Counter(pair for item in held.items if (pair := suggested_and_given(item, held.shown)))
    changes = [LabelChange(*pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]]
    return {
        "settled": len(held.items) - len(held.open),
        "pending": len(held.open),
        "answers": sum(1 for item in held.items for response in item.responses if is_final(response)),
        "kept": sum(count for (suggested, label), count in pairs.items() if suggested == label),
        "changes": tuple(changes),
    }


def _behind(
    workspace: Workspace, held: _Held, snapshot: Snapshot | None, students: Sequence[Entry], argilla: _Argilla
) -> Behind:
    here = sum(1 for response in held.responses if response.state == "present" and response.status != "draft")
    newest = students[-1] if students else None
    return Behind(
        unsent=held.unsent,
        misplaced=held.misplaced,
        unpulled=None if argilla.answers is None else max(0, argilla.answers - here),
        ranks=len(held.open ^ held.ranks.keys()) if held.ranks else 0,
        snapshot=_outdated(snapshot, held.items) if snapshot else 0,
        student=bool(newest and snapshot and newest.manifest.snapshot != snapshot.id),
        evaluation=bool(newest and not (_reports(workspace, newest.id) or _judged(workspace, newest.id))),
    )


def _judged(workspace: Workspace, student: str) -> bool:
    """Whether the job at night compared this student with the champion."""
    return any(run.get("challenger") == student and run.get("gate") for run in read_history(workspace.root))


def _outdated(snapshot: Snapshot, items: Sequence[Curated]) -> int:
    """How many records have another label or status now than in the snapshot, or are in one of the two only."""
    then, now = snapshot.labels(), {item.record.id: (item.label, item.status) for item in items}
    return sum(1 for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def _reports(workspace: Workspace, student: str) -> list[dict[str, Any]]:
    """The evaluations of a student, the newest last."""
    from tutelage.training.evaluation.evaluate import read_report

    found = (read_report(path) for path in workspace.reports.glob(f"evaluate-{student}-*.json"))
    return sorted(filter(None, found), key=lambda report: str(report.get("at", "")))


def _beats_champion(workspace: Workspace, students: Sequence[Entry]) -> bool:
    from tutelage.training.registry import champion_history, champion_id

    champion = champion_id(workspace.students)
    reports = _reports(workspace, students[-1].id) if students and champion else []
    if not reports or students[-1].id in {move["champion"] for move in champion_history(workspace.students)}:
        return False
    compared = [report.get("comparisons", {}).get(champion) for report in reports]
    return next((one["verdict"] == "better" for one in reversed(compared) if one), False)


def _ask(settings: Settings, dataset: str | None, *, count: bool) -> _Argilla:
    """What Argilla says, waited for ``PATIENCE`` seconds at most; whatever fails there, the status does not."""
    found: list[_Argilla] = []
    thread = Thread(target=lambda: found.append(_asked(settings, dataset, count=count)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found[0] if found else _Argilla("silent")


def _asked(settings: Settings, dataset: str | None, *, count: bool) -> _Argilla:
    from tutelage.core.settings import split_userinfo
    from tutelage.feedback.server.lifecycle import find_server

    try:
        if settings.argilla_api_url:
            url, key = split_userinfo(settings.argilla_api_url)[0].rstrip("/"), settings.argilla_api_key
            asked = settings.argilla_api_url, key.get_secret_value() if key else ""
        elif server := find_server():
            url, asked = server.url, (server.url, server.api_key)
        else:
            return _Argilla("down")
    except Exception:  # its files may be damaged; `tutelage up` says so
        return _Argilla("silent")
    try:
        return _Argilla("up", url, _count(*asked, dataset) if count and dataset else None)
    except Exception:
        return _Argilla("silent", url)


def _count(url: str, api_key: str, dataset: str) -> int:
    from tutelage.feedback.argilla.client import ArgillaClient
    from tutelage.feedback.argilla.people import answers_by_name

    with ArgillaClient(url, api_key, timeout=PATIENCE / 2, waits=()) as argilla:
        answered = answers_by_name(argilla.remote, dataset).values()
    return sum(one.submitted + one.discarded for one in answered)


def _summary(entry: Entry) -> StudentSummary:
    names = (field.name for field in fields(StudentSummary))
    return StudentSummary(**{name: getattr(entry.manifest, name) for name in names})


def _newest_snapshot(workspace: Workspace) -> Snapshot | None:
    try:
        return load_snapshot(workspace.snapshots)
    except SnapshotError:
        return None
