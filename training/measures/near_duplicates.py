"""Near-duplicates: texts that share most of their character 5-grams."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.core.records import Progress, ProgressCallback, tracked, unreported
from tutelage.loaders.rows import normalised

SIMILAR = 0.8
"""Jaccard similarity of two sets of character 5-grams, 0 to 1, from which two texts are near-duplicates."""

PAIRS_AT_ONCE = 10_000


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
    grams = _grams([*texts, *others])
    sizes = np.diff(grams.indptr)
    prefixes = _prefixes(grams, sizes, similar)
    pairs = (prefixes[: len(texts)] @ prefixes[len(texts) :].T).tocoo()
    left, right = pairs.row, pairs.col
    scores = _jaccard(grams, sizes, left, right + len(texts), progress)
    order = np.argsort(scores, kind="stable")  # the best of each text is written last
    close = order[scores[order] >= similar]
    matches[left[close]] = right[close]
    return matches


def folded(text: str) -> str:
    """The text without case and punctuation; a full stop is added, so that every text has n-grams."""
    plain = normalised(text).casefold()
    words = re.sub(r"[\W_]+", " ", plain).strip()
    return f"{words or plain} ."


def _grams(texts: Sequence[str]) -> Any:
    """Binary sparse matrix, texts by n-grams, the n-grams of a row sorted from rare to frequent."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(5, 5), binary=True, dtype=np.int32)
    matrix = vectorizer.fit_transform([folded(text) for text in texts])
    frequency = np.asarray(matrix.sum(axis=0)).ravel()
    matrix = matrix[:, np.argsort(frequency, kind="stable")].tocsr()
    matrix.sort_indices()
    return matrix


def _prefixes(grams: Any, sizes: Ints, similar: float) -> Any:
    """The rarest n-grams of each row, of which a similar row must share at least one."""
    from scipy.sparse import csr_matrix

    lengths = np.array([size - ceil(similar * size) + 1 for size in sizes])
    rows = np.repeat(np.arange(len(sizes)), lengths)
    within = np.concatenate([np.arange(length) for length in lengths])
    columns = grams.indices[grams.indptr[rows] + within]
    return csr_matrix((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=grams.shape)


def _jaccard(grams: Any, sizes: Ints, left: Ints, right: Ints, progress: ProgressCallback) -> Any:
    """Jaccard similarities, shape (P,), of P pairs of rows."""
    starts = range(0, len(left), PAIRS_AT_ONCE)
    steps = tracked(starts, progress, "looking for near-duplicates", len(starts), "parts")
    shared = [
        np.asarray(grams[left[at:to]].multiply(grams[right[at:to]]).sum(axis=1)).ravel()
        for at in steps
        for to in [at + PAIRS_AT_ONCE]
    ]
    both = np.concatenate(shared) if shared else np.empty(0)
    return both / (sizes[left] + sizes[right] - both)
