"""What the review found: errors per 50 reviewed records, what people changed, and how often each teacher was right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tutelage.core.records import Shown
from tutelage.feedback.answers import is_from_file
from tutelage.feedback.curate import Curated, is_final, suggested_and_given
from tutelage.loaders.consensus import consensus, shown
from tutelage.report.figures.shares import Share, share_of
from tutelage.views.standing import LabelChange

STEP = 50
"""Reviewed records in a step of the review curve."""


@dataclass(frozen=True)
class ReviewStep:
    """The reviewed records number ``first`` to ``last``, in the order of the answers, and the share changed."""

    first: int
    last: int
    changed: Share


@dataclass(frozen=True, kw_only=True)
class TeacherReview:
    """A teacher against people, on the reviewed records that it voted on.

    Parameters
    ----------
    right
        Records on which the majority of its own votes is people's label; None where it voted on none.
    abstained
        Reviewed records on which none of its votes named a label.
    changes
        From the label of its majority to people's, the most frequent change first.
    """

    teacher: str
    right: Share | None
    abstained: int
    changes: tuple[LabelChange, ...]


@dataclass(frozen=True, kw_only=True)
class ReviewFindings:
    """What people did with the suggestions.

    Parameters
    ----------
    texts, ranked
        Records that are not held out, and whether any has a suspect rank: then people saw the worst first.
    answers
        People's finished answers to them.
    reviewed, discarded, tied
        Records that people gave a label, discarded, or disagree on.
    without_suggestion
        Reviewed records for which people saw no suggestion; they are in none of the following.
    changed
        Reviewed records whose suggested label people changed.
    steps
        The same for each 50 reviewed records, in the order of the answers.
    changes
        From which label to which, the most frequent first.
    teachers
        Each teacher's own votes against people's labels.
    """

    texts: int
    ranked: bool
    answers: int
    reviewed: int
    discarded: int
    tied: int
    without_suggestion: int
    changed: Share | None
    steps: tuple[ReviewStep, ...]
    changes: tuple[LabelChange, ...]
    teachers: tuple[TeacherReview, ...]


def review_findings(items: Sequence[Curated], history: Mapping[str, Sequence[Shown]]) -> ReviewFindings:
    """From the records that are not held out, and what each showed as suggestion."""
    by_status = Counter(item.status for item in items)
    reviewed = [item for item in items if item.status == "reviewed"]
    pairs = [(answered_at(item), pair) for item in reviewed if (pair := _pair(item, history))]
    in_order = [pair for _, pair in sorted(pairs, key=lambda one: one[0])]
    return ReviewFindings(
        texts=len(items),
        ranked=any(item.rank for item in items),
        answers=sum(1 for item in items for response in item.responses if is_final(response)),
        reviewed=by_status["reviewed"],
        discarded=by_status["discarded"],
        tied=by_status["tied"],
        without_suggestion=len(reviewed) - len(pairs),
        changed=share_of(sum(one != other for one, other in in_order), len(in_order)),
        steps=tuple(_steps(in_order)),
        changes=_changes(in_order),
        teachers=tuple(_teachers(reviewed)),
    )


def answered_at(item: Curated) -> datetime:
    """When a reviewed record got its last finished answer."""
    return max(response.updated_at for response in item.responses if is_final(response))


def _pair(item: Curated, history: Mapping[str, Sequence[Shown]]) -> tuple[str, str] | None:
    """The suggested label and the given one; a review sheet shows the suggestion that the record has."""
    pair = suggested_and_given(item, history)
    if pair or item.label is None or not all(map(is_from_file, item.responses)):
        return pair
    on_sheet = shown(item.suggestion)
    return (on_sheet.label, item.label) if on_sheet else None


def _steps(pairs: Sequence[tuple[str, str]]) -> Iterable[ReviewStep]:
    for start in range(0, len(pairs), STEP):
        part = pairs[start : start + STEP]
        changed = share_of(sum(one != other for one, other in part), len(part))
        if changed:
            yield ReviewStep(start + 1, start + len(part), changed)


def _changes(pairs: Iterable[tuple[str, str]]) -> tuple[LabelChange, ...]:
    counts = Counter(pair for pair in pairs if pair[0] != pair[1])
    return tuple(LabelChange(*pair, count) for pair, count in counts.most_common())


def _teachers(reviewed: Sequence[Curated]) -> Iterable[TeacherReview]:
    names = dict.fromkeys(vote.voter.teacher for item in reviewed for vote in item.record.votes)
    for name in names:
        labels = [_majority(item, name) for item in reviewed]
        pairs = [(one, item.label) for one, item in zip(labels, reviewed, strict=True) if one and item.label]
        voted = sum(any(vote.voter.teacher == name for vote in item.record.votes) for item in reviewed)
        right = share_of(sum(one == other for one, other in pairs), len(pairs))
        yield TeacherReview(teacher=name, right=right, abstained=voted - len(pairs), changes=_changes(pairs))


def _majority(item: Curated, teacher: str) -> str | None:
    found = consensus([vote.label for vote in item.record.votes if vote.voter.teacher == teacher])
    return found.label if found else None
