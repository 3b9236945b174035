"""The immutable values that the packages pass to each other: records, votes, suggestions, responses, ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeVar

T = TypeVar("T")

Source = Literal["human", "given", "teacher", "student"]
ResponseStatus = Literal["draft", "submitted", "discarded"]
# Whether the server still has a response: it does; its annotator's account was deleted, and the
# responses with it; or it was withdrawn (the response or its record deleted).
# Whose words a response's reason is: the annotator's own, or the teacher's that was accepted with its label.
ReasonSource = Literal["annotator", "teacher", ""]
ResponseState = Literal["present", "user-deleted", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Voter:
    """One column of votes: a teacher asked with one prompt, for the n-th time."""

    teacher: str
    prompt: str
    vote: int = 1

    def __str__(self) -> str:
        return f"{self.teacher}/{self.prompt}/{self.vote}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One answer of a teacher. ``label`` is None for an abstention; ``raw`` is the answer, word for word.

    ``weight`` is how much it counts in a consensus; the voters' mean is 1.
    """

    voter: Voter
    raw: str
    label: str | None
    reason: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """The label that a student found for a text which it never trained on: a suggestion, and no vote."""

    student: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A text, and its votes.

    ``given`` is a label that the data already had; ``proposal`` counts where there is neither that nor a vote.
    """

    id: str = field(kw_only=False)
    text: str = field(kw_only=False)
    given: str | None = field(default=None, kw_only=False)
    votes: tuple[Vote, ...] = field(default=(), kw_only=False)
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """The machine's pre-answer to the question.

    ``score`` is the agreement, the fraction of the votes (abstentions not counted) that equal
    ``label``: 0 to 1, None where there are no votes. ``tie`` marks that several labels had
    equally many votes. ``outweighed`` are the labels with at least as many votes as this one, of voters who agree less
    with the others.
    """

    label: str = field(kw_only=False)
    score: float | None = field(kw_only=False)
    agent: str = field(kw_only=False)
    tie: bool = field(default=False, kw_only=False)
    outweighed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One annotator's answer to one record. ``label`` is None where the annotator gave none."""

    record_id: str
    user_id: str
    annotator: str
    status: ResponseStatus
    label: str | None
    reason: str
    updated_at: datetime
    state: ResponseState = "present"
    reason_by: ReasonSource = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a dataset on Argilla showed as suggestion for a record from a moment on.

    ``label`` is None where nothing was suggested; ``score`` is the agreement, 0 to 1.
    """

    label: str | None
    reason: str
    score: float | None
    agent: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """What speaks against a suggestion: its kind, of which there are few, and the same in words."""

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Rank:
    """A record's place among the suspects; ``suspect_rank`` 1 is reviewed first."""

    record_id: str
    label_quality: float
    suspect_rank: int
    why: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedBy:
    """What a ranking was made of.

    Parameters
    ----------
    method
        ``weighted``, ``crowdlab``, ``cleanlab`` or ``agreement``.
    student_worth
        0 to 1, how far the student's labels are to be believed: kappa with the suggestions where the votes agree
        least; None where the method does not ask for it.
    reviewed, wrong
        Reviewed suggestions that it learned from, and how many of them people found wrong.
    """

    method: str
    student_worth: float | None
    reviewed: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Deal:
    """Among whom the queue is dealt, by name; ``overlap`` is the share of the records that go to several people."""

    people: tuple[str, ...]
    overlap: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is.

    Parameters
    ----------
    step
        What is being done, for people.
    done, total
        How many of how many; ``total`` is None where nobody knows, or nothing is counted.
    unit
        What is counted.
    """

    step: str
    done: int = 0
    total: int | None = None
    unit: str = ""


CHECKPOINT_SAVED = Progress("checkpoint saved")
"""Said by a training that goes on from here when it is run again: where it may be ended without a loss."""

ProgressCallback = Callable[[Progress], None]


def tracked(items: Iterable[T], progress: ProgressCallback, step: str, total: int, unit: str) -> Iterator[T]:
    """The items, of which there are ``total``; before each of them, and after the last, is said how many are done."""
    done = 0
    for item in items:
        progress(Progress(step, done, total, unit))
        yield item
        done += 1
    progress(Progress(step, done, total, unit))


def with_total(total: int | None, progress: ProgressCallback) -> ProgressCallback:
    """Says of each step how many there are, where the step does not know it."""
    return lambda state: progress(state if state.total else replace(state, total=total))


def named(progress: ProgressCallback, prefix: str) -> ProgressCallback:
    """Says of each step what it is part of."""
    return lambda state: progress(replace(state, step=f"{prefix}: {state.step}"))


def unreported(_progress: Progress) -> None:
    """Where nobody wants to know how far a step is."""
