"""Why a suggestion is suspect, in words: what speaks against it, found in votes, probabilities, duplicates, reviews."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from tutelage.core.arrays import Ints
from tutelage.core.records import Finding, Rank, Record
from tutelage.feedback.curate import Curated
from tutelage.feedback.ranking.verdicts import Verdict

SPLIT, OUTWEIGHED, ABSTAINED = "votes split", "most votes differ", "abstained"
STUDENT, DUPLICATE, CORRECTED = "student disagrees", "duplicate differs", "people corrected"

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
        By record id: the label that the student gives it out of sample, where that is not the suggested one, and its
        probability; empty where the student has no say.
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
    if suggestion and suggestion.outweighed:
        others = " and ".join(suggestion.outweighed)
        yield Finding(OUTWEIGHED, f"weighted and plain majority differ: as many votes or more say {others}")
    if cast < len(votes):
        yield Finding(ABSTAINED, f"{len(votes) - cast} of {len(votes)} votes abstained")


def _about_student(item: Curated, said: tuple[str, float] | None) -> Iterator[Finding]:
    if said and item.suggestion:
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


def differing_labels(curated: Sequence[Curated], groups: Ints) -> dict[str, list[tuple[str, str]]]:
    """By record id: its near-duplicates whose label is not the one that is suggested for it, each with that label.

    ``groups``: shape (N,), the number of each record's group of near-duplicates.
    """
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


def reviewed_kinds(curated: Iterable[Curated], verdicts: Mapping[str, Verdict]) -> dict[Kind, tuple[int, int]]:
    """Of each kind of record: how many were reviewed, and of how many people found the suggestion wrong."""
    counts: dict[Kind, tuple[int, int]] = {}
    for item in curated:
        verdict = verdicts.get(item.record.id)
        if verdict:
            kind = verdict.shown, kind_of(item)[1]
            reviewed, wrong = counts.get(kind, (0, 0))
            counts[kind] = reviewed + 1, wrong + verdict.is_wrong
    return counts


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
