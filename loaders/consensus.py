"""From votes to a suggestion: pure functions on votes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tutelage.core.records import Record, Suggestion, Vote

AGENT_MAX_LENGTH = 200
GIVEN_AGENT = "given"
STUDENT_AGENT = "student:"
"""What the agent begins with where a student suggests; its id follows."""


_TIE = 0.1
"""Labels whose weights differ by less than so much of an average vote are tied."""


class Consensus(NamedTuple):
    """The label with the most votes, and whether others had as many."""

    label: str
    tie: bool


def consensus(labels: Sequence[str | None], weights: Sequence[float] = ()) -> Consensus | None:
    """The majority of the votes.

    Abstentions (None) do not count; with nothing else there is no consensus. A tie goes to the
    label that was voted first, in the order of ``labels``, and is marked as a tie.

    Parameters
    ----------
    weights
        How much each vote counts, 1 on average; by default all the same. With weights, labels are tied whose
        weights differ by less than a tenth of a vote; of those the heaviest is taken.
    """
    counts: dict[str, float] = {}
    for label, weight in zip(labels, weights or [1.0] * len(labels), strict=True):
        if label is not None:
            counts[label] = round(counts.get(label, 0.0) + weight, 6)
    if not counts:
        return None
    most = max(counts.values())
    first = next(label for label, count in counts.items() if count == most)
    return Consensus(first, tie=sum(count > most - _TIE for count in counts.values()) > 1)


def agreement(label: str, labels: Sequence[str | None]) -> float | None:
    """The fraction of the votes, abstentions not counted, that equal ``label``; None without votes."""
    votes = [vote for vote in labels if vote is not None]
    return votes.count(label) / len(votes) if votes else None


def suggest(record: Record) -> Suggestion | None:
    """The suggestion for a record: its given label, else the consensus of its votes, else what a student proposes."""
    labels = [vote.label for vote in record.votes]
    majority = consensus(labels, [vote.weight for vote in record.votes])
    if record.given is not None:
        return Suggestion(record.given, agreement(record.given, labels), GIVEN_AGENT, bool(majority and majority.tie))
    if majority is None:
        return _proposed(record)
    return Suggestion(
        majority.label,
        agreement(majority.label, labels),
        agent_of(record.votes),
        majority.tie,
        outweighed=() if majority.tie else _outweighed(majority.label, labels),
    )


def _outweighed(label: str, labels: Sequence[str | None]) -> tuple[str, ...]:
    """The other labels with at least as many votes, where those count less."""
    counts = Counter(each for each in labels if each is not None)
    return tuple(each for each, count in counts.most_common() if each != label and count >= counts[label])


def _proposed(record: Record) -> Suggestion | None:
    """What a student proposes; nothing where teachers were asked and abstained."""
    if record.proposal is None or record.votes:
        return None
    return Suggestion(record.proposal.label, None, f"{STUDENT_AGENT}{record.proposal.student}")


def shown(suggestion: Suggestion | None) -> Suggestion | None:
    """What people are shown of a suggestion: nothing where the votes tie, so that no label waits for a key."""
    is_drawn = suggestion is not None and suggestion.tie and suggestion.agent != GIVEN_AGENT
    return None if is_drawn else suggestion


def agent_of(votes: Sequence[Vote]) -> str:
    """The teachers' names, in the characters that Argilla allows in an agent."""
    names = dict.fromkeys(re.sub(r"[^a-zA-Z0-9_:./-]+", "-", vote.voter.teacher) for vote in votes)
    joined = "_".join(names)[:AGENT_MAX_LENGTH]
    return joined if re.search(r"[a-zA-Z0-9]", joined) else "teacher"


_UNUSABLE = {"", "fail", "none", "null", "n/a", "nan"}


def best_reason(votes: Sequence[Vote], label: str | None) -> str:
    """The most typical reason among the votes for ``label``: the medoid by Jaccard similarity of words.

    Empty where no vote for the label has one. Of equally typical ones, the first.
    """
    reasons = [vote.reason.strip() for vote in votes if vote.label == label]
    usable = [reason for reason in reasons if reason.casefold() not in _UNUSABLE]
    words = [set(re.findall(r"\w+", reason.casefold())) for reason in usable]
    similarities = [sum(_jaccard(some, other) for other in words) for some in words]
    return usable[similarities.index(max(similarities))] if usable else ""


def _jaccard(first: set[str], second: set[str]) -> float:
    """Jaccard similarity of two sets of words, 0 to 1."""
    return len(first & second) / len(first | second) if first | second else 0.0
