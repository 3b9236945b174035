"""Which suggestions look wrong: label quality scores and their order, as pure functions on arrays.

By default votes and student are weighed as ``Evidence.support`` says. Beside it there are cleanlab's self-confidence,
which knows the student alone; the agreement of the votes; and CROWDLAB (Goh, Tkachenko, Mueller: "CROWDLAB: Supervised
learning to infer consensus labels and quality scores for data with multiple annotators", 2022) as cleanlab implements
it: there the suggestion is scored, not the consensus that CROWDLAB would choose itself.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints
from tutelage.core.records import Rank
from tutelage.feedback.ranking.support import Evidence
from tutelage.loaders.voting.voter_weights import counted

Method = Literal["weighted", "crowdlab", "cleanlab", "agreement"]


def label_quality(suggested: Ints, votes: Ints, pred_probs: Floats, *, method: Method = "weighted") -> Floats:
    """How much speaks for each suggested label.

    Parameters
    ----------
    suggested
        Shape (N,): index of the suggested label, ``NO_LABEL`` where there is none.
    votes
        Shape (N, V): index of each voter's label, ``NO_LABEL`` for an abstention; a
        given label counts as one more voter. V may be 0.
    pred_probs
        Shape (N, K): out-of-sample probabilities.
    method
        A key of ``METHODS``.

    Returns
    -------
    Shape (N,), 0 to 1, low = suspect; 0 where nothing is suggested.
    """
    scores = np.zeros(len(suggested))
    has_label = suggested != NO_LABEL
    if has_label.any():
        scores[has_label] = METHODS[method](Evidence(suggested[has_label], votes[has_label], pred_probs[has_label]))
    return scores


def _crowdlab_if_it_can(evidence: Evidence) -> Floats:
    able = _agree_somewhere(evidence.votes, evidence.pred_probs.shape[1])
    return _crowdlab(evidence.suggested, evidence.votes, evidence.pred_probs) if able else evidence.confidence


def _plain_agreement(evidence: Evidence) -> Floats:
    """The share of the votes, each counting the same, that equal the suggestion; 0 without votes."""
    agreeing = (evidence.votes == evidence.suggested[:, None]).sum(axis=1)
    return np.asarray(agreeing / np.maximum(1, (evidence.votes != NO_LABEL).sum(axis=1)))


METHODS: Mapping[Method, Callable[[Evidence], Floats]] = {
    "weighted": lambda evidence: evidence.support,
    "crowdlab": _crowdlab_if_it_can,
    "cleanlab": lambda evidence: evidence.confidence,
    "agreement": _plain_agreement,
}


def _agree_somewhere(votes: Ints, n_labels: int) -> bool:
    """Whether CROWDLAB can estimate voter weights: some record has a strict majority of two votes or more."""
    for _, counts in counted(votes, n_labels):
        second, most = np.sort(counts, axis=1)[:, -2:].T
        if ((most > 1) & (most > second)).any():
            return True
    return False


def _crowdlab(suggested: Ints, votes: Ints, pred_probs: Floats) -> Floats:
    """Mean of CROWDLAB's vote quality over the voters for the suggestion.

    Records without votes, or without a vote for the suggestion, get the student's self-confidence.
    """
    scores = Evidence(suggested, votes, pred_probs).confidence
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
    draws = np.fromiter((_draw(seed, record_id) for record_id in ids), dtype=np.uint64, count=len(ids))
    positions = np.lexsort((draws, quality, suggested != NO_LABEL))
    return [Rank(ids[i], float(quality[i]), place) for place, i in enumerate(positions, 1)]


def _draw(seed: int, record_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {record_id}".encode()).digest()[:8])
