"""What speaks for each suggestion without any review: the votes and the student, each as far as it can be trusted.

Pure functions on arrays. The student's word is cleanlab's self-confidence, its probability of the suggested label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints, decide
from tutelage.loaders.voting.voter_weights import kappa, voter_weights

VOTERS = 3
"""As many voters of average weight a student counts for that agrees perfectly on the hard records."""

_VOTERS_THAT_COMPARE = 2
_AMONG_EQUALS = 1e-6
"""The worth that is left to a student without any: it decides where the votes weigh the same."""


@dataclass(frozen=True)
class Evidence:
    """What is known about N records that all have a suggestion.

    Parameters
    ----------
    suggested
        Shape (N,): index of the suggested label.
    votes
        Shape (N, V): index of each voter's label, ``NO_LABEL`` for an abstention. V may be 0.
    pred_probs
        Shape (N, K): the student's out-of-sample probabilities.
    """

    suggested: Ints
    votes: Ints
    pred_probs: Floats

    @cached_property
    def confidence(self) -> Floats:
        """Shape (N,): what the student gives the suggested label."""
        from cleanlab.rank import get_label_quality_scores

        if not len(self.suggested):
            return np.empty(0)
        scores: Floats = get_label_quality_scores(self.suggested, self.pred_probs, method="self_confidence")
        return scores

    @cached_property
    def weights(self) -> Floats:
        """Shape (V,): the voters' weights."""
        return voter_weights(self.votes, self.pred_probs.shape[1])

    @cached_property
    def tally(self) -> tuple[Floats, Floats]:
        """The weight of the votes for the suggestion, and that of all votes; each of shape (N,)."""
        agreeing: Floats = (self.votes == self.suggested[:, None]) @ self.weights
        cast: Floats = (self.votes != NO_LABEL) @ self.weights
        return np.round(agreeing, 9), np.round(cast, 9)

    @cached_property
    def agreement(self) -> Floats:
        """Shape (N,): the weighted share of the votes that equal the suggestion; NaN without votes of any weight."""
        agreeing, cast = self.tally
        return np.asarray(np.divide(agreeing, cast, out=np.full(len(cast), np.nan), where=cast > 0))

    @cached_property
    def student(self) -> float:
        """The student's worth: kappa of its labels with the suggestions, where the votes agree least; never negative.

        That is on a third of the records that were voted on, of all records without votes: where all voters say the
        same, the student has nothing to add. Of records that agree equally, each counts with an equal fraction.
        """
        share = _least_third(np.round(self.agreement, 9))
        said, n_labels = decide(self.pred_probs), self.pred_probs.shape[1]
        cells = np.bincount(said * n_labels + self.suggested, weights=share, minlength=n_labels**2).astype(np.float64)
        return max(0.0, kappa(cells.reshape(n_labels, n_labels)))

    @cached_property
    def support(self) -> Floats:
        """Shape (N,): the weighted share of votes and student that speaks for the suggestion, 0 to 1.

        A single voter makes the suggestions and says nothing more about them: then the student has the word alone.
        """
        if (self.votes != NO_LABEL).any(axis=0).sum() < _VOTERS_THAT_COMPARE:
            return self.confidence
        agreeing, cast = self.tally
        worth = VOTERS * max(self.student, _AMONG_EQUALS)
        share = (agreeing + worth * self.confidence) / (cast + worth)
        return np.asarray(np.clip(share, 0, 1))

    def judged(self, rows: Ints, suggested: Ints) -> Evidence:
        """The evidence on some records, as if these labels were suggested; voters and student are trusted as before."""
        part = replace(self, suggested=suggested, votes=self.votes[rows], pred_probs=self.pred_probs[rows])
        part.__dict__["weights"], part.__dict__["student"] = self.weights, self.student
        return part


def _least_third(agreement: Floats) -> Floats:
    """Shape (N,): with which fraction each record belongs to the third that agrees least; NaN only counts if all do."""
    values = np.nan_to_num(agreement) if np.isnan(agreement).all() else agreement
    known = np.sort(values[~np.isnan(values)])
    if not known.size:
        return np.zeros(len(agreement))
    wanted = len(known) / 3
    edge = known[int(np.ceil(wanted)) - 1]
    below, at = values < edge, values == edge
    return np.asarray(below + at * ((wanted - below.sum()) / at.sum()))
