"""A pilot: some texts are asked about and shown with their answers, before the rest costs money."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tutelage.core.records import ProgressCallback, Record, unreported
from tutelage.core.task import Task
from tutelage.loaders.consensus import consensus
from tutelage.loaders.teacher.annotate import AnnotateResult
from tutelage.loaders.teacher.plan import PlannedPanel
from tutelage.loaders.teacher.reply_ledger import ReadAnswer
from tutelage.loaders.teacher.session import Session
from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class PilotAnswer:
    """One answer, and how it was read: ``label`` is None for an abstention, ``raw`` the whole answer."""

    record: str
    text: str
    teacher: str
    prompt: str
    vote: int
    label: str | None
    reason: str
    raw: str


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What a pilot shows.

    Parameters
    ----------
    texts
        How many texts it took, always the same ones.
    answers
        All answers on these texts, by text; ``abstentions`` of them name no label.
    labels
        How many of the texts have which label by majority; '' where all votes abstain.
    run
        What was asked and spent now; what an earlier pilot asked is not asked again.
    rest
        What the other texts would take, at most.
    """

    texts: int
    answers: tuple[PilotAnswer, ...]
    abstentions: int
    labels: Mapping[str, int]
    run: AnnotateResult
    rest: tuple[PlannedPanel, ...]


def pilot(
    session: Session, count: int, *, budget: float | None = None, progress: ProgressCallback = unreported
) -> Pilot:
    """Ask about ``count`` of the texts, drawn by chance but always the same ones."""
    task = session.workspace.task
    with TeacherLedger(session.workspace.db) as ledger:
        ids = _drawn([record.id for record in ledger.records(task)], count)
    run = session.run(budget=budget, only=set(ids), progress=progress)
    with TeacherLedger(session.workspace.db) as ledger:
        records = list(ledger.some_records(task, ids))
        answers = _answers(ledger, session, records)
    return Pilot(
        texts=len(records),
        answers=answers,
        abstentions=sum(answer.label is None for answer in answers),
        labels=_spread(records),
        run=run,
        rest=tuple(session.plan()),
    )


def _drawn(ids: Sequence[str], count: int) -> list[str]:
    """So many ids, in an order that is theirs alone: more texts, or a larger pilot, keep those that were drawn."""
    return sorted(ids, key=lambda record_id: hashlib.sha256(record_id.encode()).digest())[:count]


def _answers(ledger: TeacherLedger, session: Session, records: Sequence[Record]) -> tuple[PilotAnswer, ...]:
    texts = {record.id: record.text for record in records}
    pages = (page for panel in session.panels for page in ledger.read_answers(panel, size=_PAGE))
    found = [_answer(one, texts, session.workspace.task) for page in pages for one in page if one.record_id in texts]
    order = {record_id: place for place, record_id in enumerate(texts)}
    return tuple(sorted(found, key=lambda one: order[one.record]))


def _answer(one: ReadAnswer, texts: Mapping[str, str], task: Task) -> PilotAnswer:
    return PilotAnswer(
        record=one.record_id,
        text=texts[one.record_id],
        teacher=one.voter.teacher,
        prompt=one.voter.prompt,
        vote=one.voter.vote,
        label=task.read_label(one.label_text),
        reason=one.reason,
        raw=one.raw,
    )


def _spread(records: Collection[Record]) -> dict[str, int]:
    majorities = [consensus([vote.label for vote in record.votes]) for record in records]
    return dict(Counter(majority.label if majority else "" for majority in majorities).most_common())
