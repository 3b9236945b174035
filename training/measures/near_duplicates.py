"""Near-duplicates: texts that share most of their character 5-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.core.records import Progress, ProgressCallback, tracked, unreported
from tutelage.training.measures.containment import ROWS_AT_ONCE, containments
from tutelage.training.measures.folding import folded, folded_by_case
from tutelage.training.measures.grams import GramSets, gram_sets

SIMILAR = 0.8
"""Jaccard similarity of two sets of character 5-grams, 0 to 1, from which two texts are near-duplicates."""

RULE = 2
"""What counts as a near-duplicate; a student's manifest names the rule that kept the holdout out of its training."""

BANDS, ROWS = 24, 5
"""Two texts whose similarity is .8 share one of 24 bands of 5 minima with a probability of .9999."""


def near_duplicates(
    texts: Sequence[str],
    others: Sequence[str],
    *,
    similar: float = SIMILAR,
    rule: int = RULE,
    progress: ProgressCallback = unreported,
) -> Ints:
    """The index of a near-duplicate of each text among ``others``, shape (N,); -1 where there is none.

    The most similar one; where none is similar enough, one that the text contains, or that contains it. ``rule`` is
    1 for what was a near-duplicate in students of earlier versions: their texts were not searched for parts of each
    other, nor written forms folded.
    """
    matches = np.full(len(texts), -1, dtype=np.int64)
    if not texts or not others:
        return matches
    progress(Progress("looking for near-duplicates"))
    sets = gram_sets([*texts, *others], folded if rule > 1 else folded_by_case)
    left, right = _similar(sets, len(texts), similar, progress)
    matches[left] = right
    alone = np.flatnonzero(matches < 0)
    if rule > 1:
        matches[alone] = containments(sets, texts, others, alone, progress=progress)
    return matches


def _similar(sets: GramSets, n_texts: int, similar: float, progress: ProgressCallback) -> tuple[Ints, Ints]:
    """Similar pairs, the best of each text last: two sets can only be so when they share a rare n-gram."""
    rare, starts = sets.rarest(similar), range(0, n_texts, ROWS_AT_ONCE)
    found = []
    for at in tracked(starts, progress, "looking for near-duplicates", len(starts), "parts"):
        pairs = (rare[at : min(at + ROWS_AT_ONCE, n_texts)] @ rare[n_texts:].T).tocoo()
        left, right = pairs.row.astype(np.int64) + at, pairs.col.astype(np.int64)
        scores = sets.jaccard(left, right + n_texts)
        order = np.argsort(scores, kind="stable")
        close = order[scores[order] >= similar]
        found.append(np.stack([left[close], right[close]]))
    left, right = np.concatenate(found, axis=1)
    return left, right


def near_duplicate_groups(texts: Sequence[str], *, similar: float = SIMILAR) -> Ints:
    """The number of each text's group, shape (N,), from 0 in the order of first texts.

    Texts that are near-duplicates are in one group, and so is what is a near-duplicate of one of them: for folds
    that have no near-duplicate of a text on the other side. Candidates share a band of MinHash values (Broder 1997,
    "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of massive datasets",
    chapter 3); each is then checked, against the neighbours in its bucket only, so that a thousand forms of one
    template take a thousand checks.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not texts:
        return np.empty(0, dtype=np.int64)
    sets = gram_sets(texts)
    pairs = np.unique(np.concatenate(list(_candidates(sets)), axis=1), axis=1)
    left, right = pairs[:, sets.jaccard(*pairs) >= similar]
    linked = coo_matrix((np.ones(len(left)), (left, right)), shape=(len(texts), len(texts)))
    return _in_order(connected_components(linked, directed=False)[1])


def _candidates(sets: GramSets) -> Iterator[Ints]:
    """Pairs of texts, shape (2, P), that are neighbours in a bucket: each with the one before it and the first."""
    random = np.random.default_rng(0)
    for _ in range(BANDS):
        band = np.zeros(len(sets.sizes), dtype=np.uint64)
        for _ in range(ROWS):
            band = (band ^ _minima(sets, random)) * np.uint64(0x9E3779B97F4A7C15)
        order = np.argsort(band, kind="stable")
        is_first = np.diff(band[order], prepend=~band[order[:1]]) != 0
        first = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
        same = ~is_first[1:]
        before = np.stack([order[:-1][same], order[1:][same]])
        yield np.concatenate([before, np.stack([first[1:][same], order[1:][same]])], axis=1)


def _minima(sets: GramSets, random: np.random.Generator) -> Any:
    """The least of the random numbers of each set's n-grams: equal with the probability of the sets' similarity."""
    numbers = random.integers(0, 2**63, size=int(sets.grams.max()) + 1, dtype=np.uint64)
    return np.minimum.reduceat(numbers[sets.grams], sets.bounds[:-1])


def _in_order(groups: Ints) -> Ints:
    """The same groups, numbered in the order in which they appear."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
