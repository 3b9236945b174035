"""How far each voter can be trusted: its agreement with the other voters, as pure functions on arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints

AT_ONCE = 2_000_000
"""Cells of a matrix of counts that are in memory at one time."""

_FEW, _WEIGHT_OF_FEW = 5, 0.3
_AGREEMENTS, _RECORDS = 5, 10


def voter_weights(votes: Ints, n_labels: int) -> Floats:
    """Shape (V,): how much each voter's vote counts, 1 on average, 0 for one who is no better than chance.

    A voter's weight is Cohen's kappa with the plurality of the others, on the n records where that is
    one label; shrunk to (n kappa + 5) / (n + 10), 0.3 where n is below five. Never negative.

    Parameters
    ----------
    votes
        Shape (N, V): index of each voter's label, ``NO_LABEL`` for an abstention.
    """
    confusions = _with_the_others(votes, n_labels)
    weights = np.array([_shrunk(confusion) for confusion in confusions])
    return weights / weights.mean() if weights.sum() else np.ones(votes.shape[1])


def kappa(confusion: Floats) -> float:
    """Cohen's kappa of a confusion matrix of shape (K, K), which may hold weights; 0 where chance explains all."""
    total = confusion.sum()
    if not total:
        return 0.0
    by_chance = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / total**2
    agreed = float(np.trace(confusion)) / total
    return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def counted(votes: Ints, n_labels: int) -> Iterator[tuple[slice, Ints]]:
    """Parts of the records, each with the number of votes for each label, shape (rows, K)."""
    step = max(1, AT_ONCE // max(1, n_labels))
    for start in range(0, len(votes), step):
        part = votes[start : start + step]
        rows, columns = np.nonzero(part != NO_LABEL)
        cells = rows * n_labels + part[rows, columns]
        counts = np.bincount(cells, minlength=len(part) * n_labels).reshape(len(part), n_labels)
        yield slice(start, start + len(part)), counts


def _with_the_others(votes: Ints, n_labels: int) -> Floats:
    """Shape (V, K, K): each voter's labels against the plurality of the other voters."""
    confusions = np.zeros((votes.shape[1], n_labels, n_labels))
    for rows, counts in counted(votes, n_labels):
        for voter, said in enumerate(votes[rows].T):
            voted = np.flatnonzero(said != NO_LABEL)
            counts[voted, said[voted]] -= 1
            most = counts[voted].max(axis=1, initial=0)
            clear = (most > 0) & ((counts[voted] == most[:, None]).sum(axis=1) == 1)
            found = said[voted][clear] * n_labels + counts[voted][clear].argmax(axis=1)
            confusions[voter] += np.bincount(found, minlength=n_labels**2).reshape(n_labels, n_labels)
            counts[voted, said[voted]] += 1
    return confusions


def _shrunk(confusion: Floats) -> float:
    compared = confusion.sum()
    if compared < _FEW:
        return _WEIGHT_OF_FEW
    return float(np.clip((compared * kappa(confusion) + _AGREEMENTS) / (compared + _RECORDS), 0, 1))
