"""Near-duplicates: texts that share most of their character 5-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.records import Progress, ProgressCallback, tracked, unreported
from tutelage.training.measures.grams import GramSets, gram_sets

SIMILAR = 0.8
"""Jaccard similarity of two sets of character 5-grams, 0 to 1, from which two texts are near-duplicates."""

PAIRS_AT_ONCE = 10_000

BANDS, ROWS = 24, 5
"""Two texts whose similarity is .8 share one of 24 bands of 5 minima with a probability of .9999."""


def near_duplicates(
    texts: Sequence[str],
    others: Sequence[str],
    *,
    similar: float = SIMILAR,
    progress: ProgressCallback = unreported,
) -> Ints:
    """The index of each text's most similar one among ``others``, shape (N,); -1 where none is similar enough.

    Exact, and fast: two sets can only be that similar when they share one of their rarest n-grams
    (the prefix filter of Bayardo, Ma and Srikant, 2007, "Scaling up all pairs
    similarity search").
    """
    matches = np.full(len(texts), -1, dtype=np.int64)
    if not texts or not others:
        return matches
    progress(Progress("looking for near-duplicates"))
    sets = gram_sets([*texts, *others])
    prefixes = _prefixes(sets, similar)
    pairs = (prefixes[: len(texts)] @ prefixes[len(texts) :].T).tocoo()
    left, right = pairs.row, pairs.col
    scores = jaccard(sets, left, right + len(texts), progress)
    order = np.argsort(scores, kind="stable")  # the best of each text is written last
    close = order[scores[order] >= similar]
    matches[left[close]] = right[close]
    return matches


def _prefixes(sets: GramSets, similar: float) -> Any:
    """The rarest n-grams of each set, of which a similar one must share at least one."""
    from scipy.sparse import csr_matrix

    places = np.arange(len(sets.grams)) - sets.bounds[sets.owners]
    is_rare = places <= sets.sizes[sets.owners] - np.ceil(similar * sets.sizes)[sets.owners]
    rows, columns = sets.owners[is_rare], sets.grams[is_rare]
    return csr_matrix((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=sets.matrix.shape)


def jaccard(sets: GramSets, left: Ints, right: Ints, progress: ProgressCallback = unreported) -> Floats:
    """Jaccard similarities, shape (P,), of P pairs of sets."""
    starts = range(0, len(left), PAIRS_AT_ONCE)
    steps = tracked(starts, progress, "looking for near-duplicates", len(starts), "parts")
    matrix = sets.matrix
    shared = [
        np.asarray(matrix[left[at:to]].multiply(matrix[right[at:to]]).sum(axis=1)).ravel()
        for at in steps
        for to in [at + PAIRS_AT_ONCE]
    ]
    both = np.concatenate(shared) if shared else np.empty(0)
    return np.asarray(both / (sets.sizes[left] + sets.sizes[right] - both))


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
    left, right = pairs[:, jaccard(sets, *pairs) >= similar]
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
