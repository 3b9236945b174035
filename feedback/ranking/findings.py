"""Why a suggestion is suspect, in words: what speaks against it, found in votes, probabilities, duplicates, reviews."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from tutelage.core.arrays import Floats, Ints
from tutelage.core.records import Finding, Rank, Record, Shown
from tutelage.feedback.curate import Curated, suggested_and_given

SPLIT, ABSTAINED, STUDENT = "votes split", "abstained", "student disagrees"
DUPLICATE, CORRECTED = "duplicate differs", "people corrected"

TEMPLATE = 10
"""Near-duplicates from which a group is taken for one form of text, filled in many times: its labels may differ."""
REVIEWED = 3
"""Reviewed records of a kind from which they say something about the others of that kind."""

Kind = tuple[str | None, str | None]
"""The suggested label of a record, and the label with next most votes; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What suggestions are judged by, beside their own votes.

    Parameters
    ----------
    student
        By record id: the label that the out-of-sample student gives it, and its probability; empty where the student
        has no say.
    duplicates
        By record id: the ids of its near-duplicates whose label is another one than its own, each with that label.
    reviewed
        Of each kind of record: how many people have reviewed, and how many of those they gave another label.
    """

    student: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    duplicates: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    reviewed: Mapping[Kind, tuple[int, int]] = field(default_factory=dict)


def findings(item: Curated, grounds: Grounds) -> tuple[Finding, ...]:
    """What speaks against the suggestion of a record; nothing where none is made."""
    record = item.record
    found = chain(
        _about_votes(item),
        _about_student(item, grounds.student.get(record.id)),
        _about_duplicates(grounds.duplicates.get(record.id, ())),
        _about_reviews(grounds.reviewed.get(kind_of(item), (0, 0))),
    )
    return tuple(found)


def explained(ranks: Iterable[Rank], curated: Iterable[Curated], grounds: Grounds) -> list[Rank]:
    """The ranks, each with what speaks against its suggestion."""
    items = {item.record.id: item for item in curated}
    return [replace(rank, why=findings(items[rank.record_id], grounds)) for rank in ranks]


def _about_votes(item: Curated) -> Iterator[Finding]:
    votes, suggestion = item.record.votes, item.suggestion
    counts = _votes_of(item.record).most_common()
    cast = sum(count for _, count in counts)
    if counts and suggestion and suggestion.label not in dict(counts):
        label, count = counts[0]
        yield Finding(SPLIT, f"{count} of {cast} votes say {label}" if cast > 1 else f"the vote says {label}")
    elif len(counts) > 1:
        shares, labels = (":".join(map(str, each)) for each in zip(*((n, name) for name, n in counts), strict=True))
        yield Finding(SPLIT, f"votes split {shares} ({labels})")
    if cast < len(votes):
        yield Finding(ABSTAINED, f"{len(votes) - cast} of {len(votes)} votes abstained")


def _about_student(item: Curated, said: tuple[str, float] | None) -> Iterator[Finding]:
    if said and item.suggestion and said[0] != item.suggestion.label:
        yield Finding(STUDENT, f"student says {said[0]} at {said[1]:.2f}")


def _about_duplicates(others: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    if others:
        name, label = others[0]
        more = f", and {len(others) - 1} more differ" if len(others) > 1 else ""
        yield Finding(DUPLICATE, f"duplicate of {name}, which is {label}{more}")


def _about_reviews(counts: tuple[int, int]) -> Iterator[Finding]:
    reviewed, corrected = counts
    if reviewed >= REVIEWED and 2 * corrected >= reviewed:
        yield Finding(CORRECTED, f"people corrected {corrected} of {reviewed} like this one")


def _votes_of(record: Record) -> Counter[str]:
    return Counter(vote.label for vote in record.votes if vote.label is not None)


def kind_of(item: Curated) -> Kind:
    """The kind of a record, by which reviewed ones are like it."""
    suggested = item.suggestion.label if item.suggestion else None
    others = (label for label, _ in _votes_of(item.record).most_common() if label != suggested)
    return suggested, next(others, None)


# What it is judged by


def grounds_of(
    curated: Sequence[Curated],
    student: Mapping[str, tuple[str, float]],
    groups: Ints,
    shown: Mapping[str, Sequence[Shown]],
) -> Grounds:
    """What is known of all records.

    Parameters
    ----------
    student
        As for ``Grounds``.
    groups
        Shape (N,): the number of each record's group of near-duplicates.
    shown
        What each record showed people as suggestion, by its id; the suggestion as it is now where nothing is known.
    """
    return Grounds(student=student, duplicates=_differing(curated, groups), reviewed=_reviewed(curated, shown))


def student_says(ids: Sequence[str], pred_probs: Floats, names: Sequence[str]) -> dict[str, tuple[str, float]]:
    """The label that a student gives each record, and its probability; ``pred_probs`` has shape (N, K)."""
    best = pred_probs.argmax(axis=1) if len(ids) else []
    return {name: (names[one], float(row[one])) for name, one, row in zip(ids, best, pred_probs, strict=True)}


def _differing(curated: Sequence[Curated], groups: Ints) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for group in _small_groups(curated, groups):
        labels = {item.record.id: label for item in group if (label := _label_of(item)) is not None}
        for item in group:
            mine = item.suggestion.label if item.suggestion else None
            others = [(name, label) for name, label in labels.items() if name != item.record.id and label != mine]
            if mine is not None and others:
                found[item.record.id] = others
    return found


def _label_of(item: Curated) -> str | None:
    if item.status in {"discarded", "tied"}:
        return None
    return item.label or (item.suggestion.label if item.suggestion else None)


def _small_groups(curated: Sequence[Curated], groups: Ints) -> list[list[Curated]]:
    """The groups of two near-duplicates or more, but for those that are one form of text."""
    members: defaultdict[int, list[Curated]] = defaultdict(list)
    for item, group in zip(curated, groups.tolist(), strict=True):
        members[group].append(item)
    return [group for group in members.values() if 1 < len(group) <= TEMPLATE]


def _reviewed(curated: Iterable[Curated], shown: Mapping[str, Sequence[Shown]]) -> dict[Kind, tuple[int, int]]:
    counts: dict[Kind, tuple[int, int]] = {}
    for item in curated:
        pair = _judged(item, shown)
        if pair:
            kind = pair[0], kind_of(item)[1]
            reviewed, corrected = counts.get(kind, (0, 0))
            counts[kind] = reviewed + 1, corrected + (pair[0] != pair[1])
    return counts


def _judged(item: Curated, shown: Mapping[str, Sequence[Shown]]) -> tuple[str, str] | None:
    """The label that people saw as suggestion, and the one that they gave; None where they did not do both."""
    if item.record.id in shown or item.status != "reviewed" or item.suggestion is None or item.label is None:
        return suggested_and_given(item, shown)
    return item.suggestion.label, item.label


# Near-duplicates lie together


def together(ranks: Sequence[Rank], curated: Sequence[Curated], groups: Ints) -> list[Rank]:
    """The ranking in which near-duplicates with different labels follow the most suspect one of them."""
    ranked = {rank.record_id: rank for rank in ranks}
    followers: dict[str, list[str]] = {}
    for group in _small_groups(curated, groups):
        waiting = [item for item in group if item.record.id in ranked]
        if len({_label_of(item) for item in waiting}) > 1:
            first, *others = sorted((item.record.id for item in waiting), key=lambda name: ranked[name].suspect_rank)
            followers[first] = others
    led = {name for others in followers.values() for name in others}
    leading = (rank.record_id for rank in ranks if rank.record_id not in led)
    order = (one for name in leading for one in (name, *followers.get(name, ())))
    return [replace(ranked[name], suspect_rank=place) for place, name in enumerate(order, 1)]
