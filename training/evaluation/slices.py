"""Accuracy by slices of the rows: where a student is weak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.training.evaluation.gold_set import GoldSet
from tutelage.training.measures.metrics import Interval, wilson

SMALLEST = 10
"""Minimum number of rows of the worst slice."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Accuracy on the rows for which ``by`` is ``value``."""

    by: str
    value: str
    rows: int
    accuracy: float
    interval: Interval


def slices(right: Sequence[bool], parts: Mapping[str, Sequence[str]]) -> list[Slice]:
    """Accuracy of each slice; ``parts`` maps the name of a slicing to each row's value ('' for none)."""
    by_value = []
    for by, values in parts.items():
        for value in sorted(set(values) - {""}):
            of_slice = [is_right for is_right, other in zip(right, values, strict=True) if other == value]
            hits = sum(of_slice)
            by_value.append(
                Slice(
                    by=by,
                    value=value,
                    rows=len(of_slice),
                    accuracy=hits / len(of_slice),
                    interval=wilson(hits, len(of_slice)),
                )
            )
    return by_value


def worst(candidates: Sequence[Slice]) -> Slice | None:
    """The slice with the lowest accuracy among those that are large enough; None where none is."""
    return min((s for s in candidates if s.rows >= SMALLEST), key=lambda s: (s.accuracy, -s.rows), default=None)


def by_length(texts: Sequence[str]) -> list[str]:
    """Each text's quartile by number of words, named by its bounds."""
    words: Ints = np.array([len(text.split()) for text in texts])
    bounds = np.unique(np.quantile(words, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf"))
    place = np.clip(np.searchsorted(bounds, words, side="left"), 1, max(1, len(bounds) - 1))
    if len(bounds) == 1:
        return [f"{bounds[0]} words"] * len(texts)
    return [f"{int(bounds[i - 1]) + (i > 1):>3} to {int(bounds[i]):>3} words" for i in place]


def by_agreement(agreements: Sequence[float | None]) -> list[str]:
    """Whether the votes on each row all agree, or some do not; '' without votes."""
    return ["" if a is None else "all votes equal" if a == 1 else "votes differ" for a in agreements]


def parts_of(gold_set: GoldSet) -> dict[str, list[str]]:
    """The slicings of a gold set: for each its name, and the value of each row ('' for none)."""
    sources = [
        ", ".join(dict.fromkeys(vote.voter.teacher for vote in item.votes)) if item.votes else "no votes"
        for item in gold_set.items
    ]
    return {
        "length": by_length(gold_set.texts),
        "source": sources,
        "agreement": by_agreement([item.agreement for item in gold_set.items]),
        "label": [item.gold for item in gold_set.items],
    }
