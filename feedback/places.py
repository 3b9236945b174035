"""The queue while people answer: who comes next, with as few records moved as that takes. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from tutelage.core.records import Rank
from tutelage.core.task import Task
from tutelage.feedback.curate import Curated, is_open

CARDS = 16
"""Cards that Argilla's page has at most: the one on the screen, five before it asks for more, and the ten it gets."""


def moved_up(before: Mapping[str, Rank], order: Sequence[Rank], *, held: Collection[str] = (), near: int) -> list[Rank]:
    """The new ranking of the open records, in which the places of most are those that they had.

    The places that the open records had are dealt out anew: first to the ``near`` most suspect ones, in their order.
    Those whose places are taken get the places that became free. All others stay where they were.

    Parameters
    ----------
    before
        The ranks so far, by record id.
    order
        The ranking by all that is known now, the most suspect first; records that had no rank are left out.
    held
        Ids of records that keep their places, because they are on somebody's page already.
    near
        How many records come next in the new order.
    """
    known = [rank for rank in order if rank.record_id in before]
    free = sorted(before[rank.record_id].suspect_rank for rank in known if rank.record_id not in held)
    movable = [rank.record_id for rank in known if rank.record_id not in held]
    places = dict(zip(movable, free, strict=True)) if near >= len(free) else _few(before, movable, free, near)
    return [
        replace(rank, suspect_rank=places.get(rank.record_id, before[rank.record_id].suspect_rank)) for rank in known
    ]


def _few(before: Mapping[str, Rank], movable: Sequence[str], free: Sequence[int], near: int) -> dict[str, int]:
    """The places of those that come next, and of those whose places they take."""
    first, limit = movable[:near], free[near]
    vacated = sorted(before[one].suspect_rank for one in first if before[one].suspect_rank >= limit)
    fallen = [one for one in movable[near:] if before[one].suspect_rank < limit]
    return dict(zip(first, free, strict=False)) | dict(zip(fallen, vacated, strict=True))


def cards_held(
    curated: Iterable[Curated], ranks: Mapping[str, Rank], task: Task, dealt: Mapping[str, Sequence[str]]
) -> set[str]:
    """The ids of the records that may be on somebody's page already: the first ones of each person's queue."""
    ranked = [item for item in curated if item.record.id in ranks]
    waiting = [item for item in ranked if is_open(item, task, dealt.get(item.record.id, ()))]
    waiting.sort(key=lambda item: ranks[item.record.id].suspect_rank)
    people = {one.annotator for item in waiting for one in item.responses}
    people |= {name for names in dealt.values() for name in names}
    return {one for name in ("", *people) for one in _cards_of(name, waiting, dealt)}


def _cards_of(name: str, waiting: Sequence[Curated], dealt: Mapping[str, Sequence[str]]) -> list[str]:
    """Those of one person, or of somebody who has not answered yet."""
    mine = [item for item in waiting if not name or not dealt or name in dealt.get(item.record.id, ())]
    unanswered = (item.record.id for item in mine if name not in {one.annotator for one in item.responses})
    return list(islice(unanswered, CARDS))
