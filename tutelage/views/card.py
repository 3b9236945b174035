"""All that a task knows about one record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from tutelage.core.errors import TutelageError
from tutelage.core.records import Rank, ReasonSource, Record, Response, ResponseState, ResponseStatus, Shown, Vote
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.curate import Curated, Status, curate, shown_at
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import QUEUE, Ledger
from tutelage.views.frames import record_link


@dataclass(frozen=True, kw_only=True)
class GivenAnswer:
    """One person's answer to a record, as last pulled.

    Parameters
    ----------
    annotator, at
        Who, and when.
    status, state
        Draft, submitted or discarded; present, user-deleted or withdrawn.
    label
        None where none was given.
    reason, reason_by
        Whose words the reason is: ``annotator``, or ``teacher`` for the suggested one, accepted with its label.
    shown
        The label that the page suggested then; None where it suggested none.
    """

    annotator: str
    at: datetime
    status: ResponseStatus
    state: ResponseState
    label: str | None
    reason: str
    reason_by: ReasonSource
    shown: str | None


@dataclass(frozen=True, kw_only=True)
class RecordCard:
    """All that a task knows about one record; never its gold label.

    Parameters
    ----------
    id, text, given
        As they came; ``given`` is a label that the data already had.
    votes
        The votes that count, with reasons; those without a label are abstentions, word for word in ``raw``.
    suggestion, agreement, agent, tie
        What is suggested, the fraction of the votes for it, by whom, and whether others had as many votes.
    outweighed
        Labels with as many votes as the suggested one or more, of voters who agree less with the others.
    answers, shown
        What people answered, and what they were shown: from when on which label, None for no suggestion.
    status, label
        Pending, reviewed, discarded or tied; the label to train on, None where there is none.
    label_quality, suspect_rank, why, in_queue
        Of the last ranking, None where it has none; what speaks against the suggestion, in words; whether it has a
        place in the queue on Argilla.
    held_out
        Whether nothing is trained on it.
    link
        Opens it on Argilla; None where it is not in the queue or no Argilla is known.
    """

    id: str
    text: str
    given: str | None
    votes: tuple[Vote, ...]
    suggestion: str | None
    agreement: float | None
    agent: str
    tie: bool
    outweighed: tuple[str, ...]
    answers: tuple[GivenAnswer, ...]
    shown: tuple[tuple[datetime, str | None], ...]
    status: Status
    label: str | None
    label_quality: float | None
    suspect_rank: int | None
    why: tuple[str, ...]
    in_queue: bool
    held_out: bool
    link: str | None


def show(workspace: Workspace, record_id: str, *, server: str = "") -> RecordCard:
    """The card of one record.

    Raises
    ------
    TutelageError
        When there is no such record; with the ids that are close.
    """
    with Ledger(workspace.db) as ledger:
        record = _found(ledger.records(workspace.task), record_id, workspace)
        dataset, rank = ledger.current_dataset(QUEUE), ledger.ranks().get(record_id)
        answers = counting_answers(ledger)
        history = ledger.shown(dataset).get(record_id, []) if dataset else []
    (item,) = curate([record], answers, {record_id: rank} if rank else {})
    in_queue = rank is not None and rank.suspect_rank <= workspace.task.queue
    link = record_link(server, dataset, rank) if rank and in_queue else None
    return _card(item, rank, history, in_queue=in_queue, held=record in held_out(workspace), link=link)


def _card(
    item: Curated, rank: Rank | None, history: Sequence[Shown], *, in_queue: bool, held: bool, link: str | None
) -> RecordCard:
    record, suggestion = item.record, item.suggestion
    return RecordCard(
        id=record.id,
        text=record.text,
        given=record.given,
        votes=record.votes,
        suggestion=suggestion.label if suggestion else None,
        agreement=suggestion.score if suggestion else None,
        agent=suggestion.agent if suggestion else "",
        tie=bool(suggestion and suggestion.tie),
        outweighed=suggestion.outweighed if suggestion else (),
        answers=tuple(_answer(response, history) for response in item.responses),
        shown=tuple((one.since, one.label) for one in history),
        status=item.status,
        label=None if held else item.label,
        label_quality=rank.label_quality if rank else None,
        suspect_rank=rank.suspect_rank if rank else None,
        why=tuple(one.words for one in rank.why) if rank else (),
        in_queue=in_queue,
        held_out=held,
        link=link,
    )


def _answer(response: Response, history: Sequence[Shown]) -> GivenAnswer:
    seen = shown_at(history, response.updated_at)
    return GivenAnswer(
        annotator=response.annotator,
        at=response.updated_at,
        status=response.status,
        state=response.state,
        label=response.label,
        reason=response.reason,
        reason_by=response.reason_by,
        shown=seen.label if seen else None,
    )


def _found(records: Iterable[Record], record_id: str, workspace: Workspace) -> Record:
    known = list[str]()
    for record in records:
        if record.id == record_id:
            return record
        known.append(record.id)
    if not known:
        raise TutelageError(f"{workspace.db}: holds no records; bring some with tutelage load or import")
    close = get_close_matches(record_id, known, n=3, cutoff=0.4)
    meant = f"did you mean {' or '.join(close)}?" if close else "tutelage suspects lists the most suspect ones"
    raise TutelageError(f"{workspace.db}: holds no record {record_id!r}; {meant}")
