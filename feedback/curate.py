"""From people's responses to the label that a record is trained on: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tutelage.core.records import Rank, Record, Response, Source, Suggestion
from tutelage.loaders.consensus import GIVEN_AGENT, consensus, suggest

Status = Literal["pending", "reviewed", "discarded", "tied"]

_DISCARD = "\0discard"  # no label can hold a NUL


@dataclass(frozen=True, slots=True)
class Curated:
    """A record with all that is known of it. ``label`` is None where it must not be trained on."""

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
    """Join records with what people answered and how they ranked, in the records' order."""
    return [_curated(record, tuple(responses.get(record.id, ())), ranks.get(record.id)) for record in records]


def _curated(record: Record, responses: tuple[Response, ...], rank: Rank | None) -> Curated:
    suggestion = suggest(record)
    status, label = resolve(responses)
    source: Source = "human" if status != "pending" else _source(suggestion)
    if status == "pending" and suggestion:
        label = suggestion.label
    return Curated(record, suggestion, responses, rank, status, source, label)


def _source(suggestion: Suggestion | None) -> Source:
    return "given" if suggestion and suggestion.agent == GIVEN_AGENT else "teacher"


def resolve(responses: Sequence[Response]) -> tuple[Status, str | None]:
    """What people made of a record.

    The majority of the submitted answers counts, and discarding is one of the answers. Drafts and
    withdrawn responses do not count. A tie stays open: it is listed and not trained on.
    """
    found = consensus([_answer(response) for response in responses if is_final(response)])
    if found is None:
        return "pending", None
    if found.tie:
        return "tied", None
    return ("discarded", None) if found.label == _DISCARD else ("reviewed", found.label)


def is_final(response: Response) -> bool:
    """Whether a response is a finished answer that its annotator has not taken back."""
    return response.status != "draft" and response.state != "withdrawn"


def _answer(response: Response) -> str | None:
    return _DISCARD if response.status == "discarded" else response.label


def is_settled(responses: Sequence[Response], min_submitted: int) -> bool:
    """Whether nobody has to look at the record any more: enough answers, or people discarded it."""
    submitted = sum(1 for response in responses if is_final(response) and response.status == "submitted")
    return submitted >= min_submitted or resolve(responses)[0] == "discarded"
