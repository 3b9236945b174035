"""Curation: from responses to the label that a record is trained on, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tutelage.core.records import Rank, Record, Response, Shown, Source, Suggestion, Vote
from tutelage.core.task import Task
from tutelage.loaders.consensus import GIVEN_AGENT, STUDENT_AGENT, consensus, suggest

Status = Literal["pending", "reviewed", "discarded", "tied"]

_DISCARD = "\0discard"  # no label can contain a NUL


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    """A record with its suggestion, responses and rank. ``label`` is None where it must not be trained on."""

    record: Record
    suggestion: Suggestion | None
    responses: tuple[Response, ...]
    rank: Rank | None
    status: Status
    source: Source
    label: str | None


def curate(
    records: Iterable[Record], responses: Mapping[str, Sequence[Response]], ranks: Mapping[str, Rank]
) -> list[Curated]:
    """Join records with their responses and ranks, in the records' order."""
    return [_curated(record, tuple(responses.get(record.id, ())), ranks.get(record.id)) for record in records]


def _curated(record: Record, responses: tuple[Response, ...], rank: Rank | None) -> Curated:
    suggestion = suggest(record)
    responses = tuple(with_reason_source(response, record.votes) for response in responses)
    status, label = resolve(responses)
    source: Source = "human" if status != "pending" else source_of(suggestion)
    if status == "pending" and suggestion and source != "student":  # no student learns what a student said
        label = suggestion.label
    return Curated(
        record=record,
        suggestion=suggestion,
        responses=responses,
        rank=rank,
        status=status,
        source=source,
        label=label,
    )


def with_reason_source(response: Response, votes: Sequence[Vote]) -> Response:
    """The response with whose words its reason is.

    The page fills the reason in with the teacher's. One that its annotator left as it was is the teacher's where
    the label is the one that it argues for, and is dropped where another label was chosen.
    """
    words = " ".join(response.reason.split())
    argued = {vote.label for vote in votes if words and " ".join(vote.reason.split()) == words}
    if not argued:
        return replace(response, reason_by="annotator" if words else "")
    if response.label in argued:
        return replace(response, reason_by="teacher")
    return replace(response, reason="", reason_by="")


def shown_at(history: Sequence[Shown], moment: datetime) -> Shown | None:
    """What a record showed as suggestion at a moment; before the first that is known, that one.

    ``history`` is the oldest first. None where nothing is known.
    """
    before = [shown for shown in history if shown.since <= moment]
    return before[-1] if before else next(iter(history), None)


def suggested_and_given(item: Curated, shown: Mapping[str, Sequence[Shown]]) -> tuple[str, str] | None:
    """Of a reviewed record: the label that was suggested when it was last answered, and the one that people gave.

    ``shown`` is what each record showed, by its id. None where people saw no suggestion.
    """
    if item.status != "reviewed" or item.label is None:
        return None
    last = max(response.updated_at for response in item.responses if is_final(response))
    seen = shown_at(shown.get(item.record.id, ()), last)
    return (seen.label, item.label) if seen and seen.label is not None else None


def source_of(suggestion: Suggestion | None) -> Source:
    """What made the suggestion: a label that the data had, a student, or the teacher."""
    if suggestion and suggestion.agent.startswith(STUDENT_AGENT):
        return "student"
    return "given" if suggestion and suggestion.agent == GIVEN_AGENT else "teacher"


def resolve(responses: Sequence[Response]) -> tuple[Status, str | None]:
    """The status of a record, and the label that the annotators agreed on.

    The majority of the submitted responses counts, and discarding is one of the answers. Drafts and
    withdrawn responses do not count. A tie stays open: it is listed and not trained on.
    """
    majority = consensus([_answer(response) for response in responses if is_final(response)])
    if majority is None:
        return "pending", None
    if majority.tie:
        return "tied", None
    return ("discarded", None) if majority.label == _DISCARD else ("reviewed", majority.label)


def is_final(response: Response) -> bool:
    """Whether a response is submitted or discarded, and not withdrawn."""
    return response.status != "draft" and response.state != "withdrawn"


def _answer(response: Response) -> str | None:
    return _DISCARD if response.status == "discarded" else response.label


def is_settled(responses: Sequence[Response], min_submitted: int) -> bool:
    """Whether a record needs no more review: it has ``min_submitted`` responses, or was discarded."""
    submitted = sum(1 for response in responses if is_final(response) and response.status == "submitted")
    return submitted >= min_submitted or resolve(responses)[0] == "discarded"


def is_open(item: Curated, task: Task, reviewers: Sequence[str] = ()) -> bool:
    """Whether a record waits for an answer; ``reviewers`` are those whose it is, where it was dealt to anybody."""
    wanted = min(task.argilla.min_submitted, len(reviewers)) if reviewers else task.argilla.min_submitted
    return not is_settled(item.responses, wanted)
