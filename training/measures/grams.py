"""Texts as sets of character 5-grams within words, as scikit-learn's analyzer ``char_wb`` makes them, but in arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.training.measures.folding import folded

LENGTH = 5
PAIRS_AT_ONCE = 10_000
_SPACE = ord(" ")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit is lost


@dataclass(frozen=True)
class GramSets:
    """N sets of n-grams, one after the other: ``grams`` holds numbers, the rarest n-gram's is 0, in rising order.

    ``bounds``, shape (N + 1,), says where each set begins, and where the last one ends.
    """

    grams: Ints
    bounds: Ints

    @cached_property
    def sizes(self) -> Ints:
        """Shape (N,)."""
        return np.diff(self.bounds)

    @cached_property
    def owners(self) -> Ints:
        """The set of each n-gram, in the shape of ``grams``."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def matrix(self) -> Any:
        """Binary sparse matrix, sets by n-grams."""
        from scipy.sparse import csr_matrix

        shape = (len(self.sizes), int(self.grams.max(initial=0)) + 1)
        return csr_matrix((np.ones(len(self.grams), dtype=np.int32), self.grams, self.bounds), shape=shape)

    def rarest(self, share: float, *, shared: int = 1, least: int = 1) -> Any:
        """The rarest n-grams of each set of at least ``least``, of which any set with this share of it has ``shared``.

        A sparse matrix like ``matrix`` (the prefix filter of Bayardo, Ma and Srikant, 2007, "Scaling up all pairs
        similarity search").
        """
        from scipy.sparse import csr_matrix

        places, sizes = np.arange(len(self.grams)) - self.bounds[self.owners], self.sizes[self.owners]
        is_rare = (places < sizes - np.ceil(share * sizes - 1e-9) + shared) & (sizes >= least)
        rows, columns = self.owners[is_rare], self.grams[is_rare]
        return csr_matrix((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=self.matrix.shape)

    def shared(self, left: Ints, right: Ints) -> Ints:
        """How many n-grams two sets share, shape (P,), for P pairs of sets."""
        matrix = self.matrix
        parts = [slice(at, at + PAIRS_AT_ONCE) for at in range(0, len(left), PAIRS_AT_ONCE)]
        counts = [np.asarray(matrix[left[at]].multiply(matrix[right[at]]).sum(axis=1)).ravel() for at in parts]
        return np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)

    def jaccard(self, left: Ints, right: Ints) -> Floats:
        """Jaccard similarities, 0 to 1, shape (P,), of P pairs of sets."""
        both = self.shared(left, right)
        return np.asarray(both / (self.sizes[left] + self.sizes[right] - both))


def gram_sets(texts: Sequence[str], fold: Callable[[str], str] = folded) -> GramSets:
    """The set of n-grams of each text, folded."""
    hashes, owners = _hashes([_padded(fold(text)) for text in texts])
    _, numbers, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    ranks = np.empty(len(counts), dtype=np.int64)
    ranks[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    pairs = np.sort(owners * np.int64(len(counts)) + ranks[numbers])
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    bounds = np.searchsorted(pairs, np.arange(len(texts) + 1) * np.int64(len(counts)))
    return GramSets(pairs % max(1, len(counts)), bounds)


def _padded(text: str) -> str:
    """Each word with a space before and after it, and filled up so that it has an n-gram."""
    return "".join([f" {word.ljust(LENGTH - 2, chr(0))} " for word in text.split()])


def _hashes(texts: Sequence[str]) -> tuple[Any, Any]:
    """As ``_hashes_of_some``, a part of the texts at a time: what is needed on the way is several times the result."""
    starts = range(0, max(1, len(texts)), PAIRS_AT_ONCE)
    parts = [_hashes_of_some(texts[start : start + PAIRS_AT_ONCE]) for start in starts]
    owners = [np.int32(start) + owners for start, (_, owners) in zip(starts, parts, strict=True)]
    return np.concatenate([hashes for hashes, _ in parts]), np.concatenate(owners)


def _hashes_of_some(texts: Sequence[str]) -> tuple[Any, Any]:
    """A 64-bit hash of each n-gram, and the number of its text; n-grams across words, or texts, are none."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if len(codes) < LENGTH:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int32)
    last = len(codes) - LENGTH + 1
    hashes, is_inside = np.zeros(last, dtype=np.uint64), np.ones(last, dtype=bool)
    between = (codes[:-1] == _SPACE) & (codes[1:] == _SPACE)
    for place in range(LENGTH):
        hashes = (hashes + codes[place : place + last]) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
        if place < LENGTH - 1:
            is_inside &= ~between[place : place + last]
    owners = np.repeat(np.arange(len(texts), dtype=np.int32), [len(text) for text in texts])[:last]
    return hashes[is_inside], owners[is_inside]
