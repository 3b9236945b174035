"""Texts that contain another one nearly word for word, such as one with a sentence added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.core.records import ProgressCallback, tracked, unreported
from tutelage.training.measures.folding import folded
from tutelage.training.measures.grams import GramSets

CONTAINED = 0.9
"""The share of the shorter text's n-grams that the longer one must have."""

LEAST = 20
"""5-grams of a text, about six words, from which it is looked for in others: phrases occur in many texts."""

ROWS_AT_ONCE = 100
_SHARED = 3  # that many of the rarest n-grams; each more makes fewer candidates, from longer lists
_STRETCH = 10  # characters, over the borders of words: the order of words counts


def containments(
    sets: GramSets,
    texts: Sequence[str],
    others: Sequence[str],
    rows: Ints,
    *,
    progress: ProgressCallback = unreported,
) -> Ints:
    """For these rows of ``texts``, the index of one of ``others`` that contains the text or is contained; -1 for none.

    ``sets`` are the n-grams of the texts and then of the others. A shorter text is contained where the longer one
    has nine tenths of its 5-grams within words, and of its stretches of 10 characters, which keep the order.
    """
    found, rare = np.full(len(rows), -1, dtype=np.int64), sets.rarest(CONTAINED, shared=_SHARED, least=LEAST)
    starts = range(0, len(rows), ROWS_AT_ONCE)
    for at in tracked(starts, progress, "looking for texts within texts", len(starts), "parts"):
        part = rows[at : at + ROWS_AT_ONCE]
        for place, other in _candidates(sets, rare, part, len(texts)):
            if found[at + place] < 0 and _is_within(texts[part[place]], others[other]):
                found[at + place] = other
    return found


def _candidates(sets: GramSets, rare: Any, part: Ints, n_texts: int) -> list[tuple[int, int]]:
    """Places in ``part`` and indices of others, of which one has nine tenths of the other's n-grams."""
    matrix, pairs = sets.matrix, []
    for left, right in ((rare, matrix), (matrix, rare)):
        common = (left[part] @ right[n_texts:].T).tocoo()
        enough = common.data >= _SHARED
        pairs.append(np.stack([common.row[enough], common.col[enough]]).astype(np.int64))
    places, others = np.concatenate(pairs, axis=1)
    shorter = np.minimum(sets.sizes[part[places]], sets.sizes[others + n_texts])
    share = sets.shared(part[places], others + n_texts) / shorter
    close = (share >= CONTAINED) & (shorter >= LEAST)
    return list(zip(places[close].tolist(), others[close].tolist(), strict=True))


def _is_within(text: str, other: str) -> bool:
    """Whether the longer one has most stretches of the shorter."""
    shorter, longer = sorted((folded(text), folded(other)), key=len)
    stretches = _stretches(shorter)
    return len(stretches & _stretches(longer)) >= CONTAINED * len(stretches)


def _stretches(text: str) -> set[str]:
    words = f" {text.removesuffix(' .')} "
    return {words[at : at + _STRETCH] for at in range(max(1, len(words) - _STRETCH + 1))}
