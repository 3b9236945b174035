"""Which suggestions look wrong: label quality scores and their order, as pure functions on arrays.

CROWDLAB (Goh, Tkachenko, Mueller: "CROWDLAB: Supervised learning to infer consensus labels and
quality scores for data with multiple annotators", 2022) weights each voter and the student's
out-of-sample probabilities by how well they agree with the rest. cleanlab implements it; the
suggestion is scored here, not the consensus that CROWDLAB would choose itself.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints
from tutelage.core.records import Rank


def label_quality(suggested: Ints, votes: Ints, pred_probs: Floats) -> Floats:
    """The probability that each suggested label is right.

    Parameters
    ----------
    suggested
        Shape (N,): index of the suggested label, ``NO_LABEL`` where there is none.
    votes
        Shape (N, V): index of each voter's label, ``NO_LABEL`` for an abstention; a
        given label counts as one more voter. V may be 0.
    pred_probs
        Shape (N, K): out-of-sample probabilities.

    Returns
    -------
    Shape (N,), 0 to 1, low = suspect; 0 where nothing is suggested.
    """
    scores = np.zeros(len(suggested))
    has_label = suggested != NO_LABEL
    if not has_label.any():
        return scores
    score = _crowdlab if _agree_somewhere(votes[has_label], pred_probs.shape[1]) else _self_confidence
    scores[has_label] = score(suggested[has_label], votes[has_label], pred_probs[has_label])
    return scores


def _agree_somewhere(votes: Ints, n_labels: int) -> bool:
    """Whether CROWDLAB can estimate voter weights: some record has a strict majority of two votes or more."""
    counts = (votes[:, :, None] == np.arange(n_labels)).sum(axis=1)
    second, most = np.sort(counts, axis=1)[:, -2:].T
    return bool(((most > 1) & (most > second)).any())


def _self_confidence(suggested: Ints, _votes: Ints, pred_probs: Floats) -> Floats:
    from cleanlab.rank import get_label_quality_scores

    scores: Floats = get_label_quality_scores(suggested, pred_probs, method="self_confidence")
    return scores


def _crowdlab(suggested: Ints, votes: Ints, pred_probs: Floats) -> Floats:
    """Mean of CROWDLAB's vote quality over the voters for the suggestion.

    Records without votes, or without a vote for the suggestion, get the student's self-confidence.
    """
    scores = _self_confidence(suggested, votes, pred_probs)
    voted = (votes != NO_LABEL).any(axis=1)
    crowd = votes[voted][:, (votes != NO_LABEL).any(axis=0)]
    agrees = crowd == suggested[voted, None]
    backed = agrees.any(axis=1)
    detailed = np.where(agrees, _detailed_quality(crowd, pred_probs[voted]), 0)[backed]
    scores[np.flatnonzero(voted)[backed]] = detailed.sum(axis=1) / agrees[backed].sum(axis=1)
    return scores


def _detailed_quality(crowd: Ints, pred_probs: Floats) -> Floats:
    import pandas as pd
    from cleanlab.multiannotator import get_label_quality_multiannotator

    frame = pd.DataFrame(np.where(crowd == NO_LABEL, np.nan, crowd))
    with _deterministic():
        results: dict[str, Any] = get_label_quality_multiannotator(
            frame, pred_probs, quality_method="crowdlab", return_annotator_stats=False, verbose=False
        )
    detailed: Floats = results["detailed_label_quality"].to_numpy(dtype=float)
    return np.nan_to_num(detailed)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Seed numpy's global generator, with which cleanlab breaks ties, and silence its warnings."""
    state = np.random.get_state()  # noqa: NPY002  # cleanlab uses no other
    np.random.seed(0)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def rank_by_quality(ids: Sequence[str], suggested: Ints, quality: Floats, *, seed: int) -> list[Rank]:
    """Rank the records, the most suspect first: no suggestion, then by quality; ties by a hash of seed and id."""
    draw = [hashlib.sha256(f"{seed} {record_id}".encode()).digest() for record_id in ids]
    positions = sorted(range(len(ids)), key=lambda i: (suggested[i] != NO_LABEL, quality[i], draw[i]))
    return [Rank(ids[i], float(quality[i]), place) for place, i in enumerate(positions, 1)]
