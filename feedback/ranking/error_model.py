"""What people's answers say about the suggestions that nobody has looked at yet, as pure functions on arrays.

A logistic regression of "people found the suggestion wrong" on what was known before, with a Gaussian prior on each
coefficient. Without answers it is the order of ``Evidence.support``; each answer moves it a little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.arrays import NO_LABEL, Floats, Ints
from tutelage.feedback.ranking.support import Evidence
from tutelage.loaders.voting.voter_weights import counted

_SPREAD = 0.6
"""Prior standard deviation of a coefficient on a feature of scale 1; the features' scales follow."""

_AGREEMENT, _STUDENT, _ENTROPY, _LENGTH = 0.3, 0.5, 0.3, 0.3
_SUGGESTED, _NEXT, _PAIR, _VOTERS = 1.0, 0.5, 0.5, 0.75
_PAIRS_UP_TO = 8
_INTERCEPT, _SUPPORT = (-1.0, 1.5), (1.0, 0.5)
"""Prior mean and standard deviation."""

_STEPS, _CLOSE = 50, 1e-8

Numbers = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the model sees of N records.

    Parameters
    ----------
    numbers
        Shape (N, M): the columns of ``_numbers`` in standard units, then each voter's being for (1) or against (-1)
        the suggestion, less the voter's mean.
    codes
        Categories, each of shape (N,): the suggested label, the one with next most votes, and the pair of both.
    spreads
        Prior standard deviations of the numbers' coefficients, shape (M,), and of each category's.
    """

    numbers: Numbers
    codes: tuple[Ints, ...]
    spreads: tuple[Floats, tuple[float, ...]]


class ErrorModel:
    """Learns from reviewed records how likely each suggestion is wrong.

    Parameters
    ----------
    evidence
        On all records, reviewed or not.
    lengths
        Shape (N,): the texts' lengths in characters.
    """

    def __init__(self, evidence: Evidence, lengths: Ints) -> None:
        self._evidence, self._lengths = evidence, lengths
        raw = _numbers(evidence, lengths)
        self._mean, self._scale = raw.mean(axis=0), raw.std(axis=0)
        self._scale[self._scale < _CLOSE] = 1.0
        self._lean = _sides(evidence).mean(axis=0)
        self._features = self._features_of(evidence, raw)

    def wrong(self, rows: Ints, suggested: Ints, is_wrong: Ints) -> Floats:
        """Shape (N,): the probability that each suggestion is wrong.

        Parameters
        ----------
        rows, suggested, is_wrong
            Shape (R,): the records that were reviewed, the labels that people were shown, and 1 where they found
            them wrong, else 0.
        """
        judged = self._evidence.judged(rows, suggested)
        reviewed = self._features_of(judged, _numbers(judged, self._lengths[rows]))
        score = _fitted(reviewed, is_wrong)
        return _sigmoid(score(self._features))

    def _features_of(self, evidence: Evidence, raw: Floats) -> Features:
        standard = ((raw - self._mean) / self._scale).astype(np.float32)
        sides = (_sides(evidence) - self._lean).astype(np.float32)
        n_voters = sides.shape[1]
        voters = np.full(n_voters, _SPREAD * _VOTERS / max(1, n_voters) ** 0.5)
        numbers = _SPREAD * np.array([_AGREEMENT, _STUDENT, _ENTROPY, _LENGTH])
        codes, spreads = _categories(evidence)
        return Features(
            numbers=np.column_stack([standard, sides]),
            codes=codes,
            spreads=(np.concatenate([[_SUPPORT[1]], numbers, voters]), spreads),
        )


def _sides(evidence: Evidence) -> NDArray[np.int8]:
    """Shape (N, V): 1 where a voter is for the suggestion, -1 where against it, 0 for an abstention."""
    votes = evidence.votes
    agrees = np.where(votes == evidence.suggested[:, None], np.int8(1), np.int8(-1))
    return np.where(votes == NO_LABEL, np.int8(0), agrees)


def _numbers(evidence: Evidence, lengths: Ints) -> Floats:
    """Shape (N, 5): what is against the suggestion, of all and of the votes and of the student; doubt; length."""
    probs = evidence.pred_probs
    agreement = np.where(np.isnan(evidence.agreement), 0.5, evidence.agreement)
    entropy = -np.einsum("nk,nk->n", probs, np.log(probs + 1e-12))
    against = [_log_odds_against(share) for share in (evidence.support, agreement, evidence.confidence)]
    return np.column_stack([*against, entropy, np.log1p(lengths)])


def _log_odds_against(share: Floats) -> Floats:
    return np.asarray(np.log((1 - share + 0.05) / (share + 0.05)))


def _categories(evidence: Evidence) -> tuple[tuple[Ints, ...], tuple[float, ...]]:
    """The codes of each category, and its prior standard deviation."""
    n_labels = evidence.pred_probs.shape[1]
    runner_up = _runner_up(evidence.votes, evidence.suggested, n_labels)
    codes = (evidence.suggested, runner_up), (_SPREAD * _SUGGESTED, _SPREAD * _NEXT)
    if n_labels > _PAIRS_UP_TO:
        return codes
    pair = evidence.suggested * (n_labels + 1) + runner_up
    return (*codes[0], pair), (*codes[1], _SPREAD * _PAIR)


def _runner_up(votes: Ints, suggested: Ints, n_labels: int) -> Ints:
    """Shape (N,): the label with most votes beside the suggested one, K where there is none."""
    found = np.full(len(votes), n_labels)
    for rows, counts in counted(votes, n_labels):
        counts[np.arange(len(counts)), suggested[rows]] = 0
        found[rows] = np.where(counts.any(axis=1), counts.argmax(axis=1), n_labels)
    return found


def _fitted(reviewed: Features, is_wrong: Ints) -> Callable[[Features], Floats]:
    """The linear score, fitted to the reviewed records."""
    levels = [np.unique(codes) for codes in reviewed.codes]
    numbers, categories = reviewed.spreads
    spreads = [*numbers, *(spread for found, spread in zip(levels, categories, strict=True) for _ in found)]
    mean, sd = np.zeros(1 + len(spreads)), np.array([_INTERCEPT[1], *spreads])
    mean[:2] = _INTERCEPT[0], _SUPPORT[0]
    dummies = [codes[:, None] == found for codes, found in zip(reviewed.codes, levels, strict=True)]
    rows = np.column_stack([np.ones(len(is_wrong)), reviewed.numbers, *dummies]).astype(np.float64)
    coefficients = posterior_mode(rows, is_wrong, mean, sd)
    return lambda features: _score(features, levels, coefficients)


def _score(features: Features, levels: Sequence[Ints], coefficients: Floats) -> Floats:
    """Shape (N,): the linear score; categories that no review has seen add nothing."""
    width = 1 + features.numbers.shape[1]
    score = coefficients[0] + (features.numbers @ coefficients[1:width].astype(np.float32)).astype(np.float64)
    for codes, found in zip(features.codes, levels, strict=True):
        table = np.zeros(1 + max(codes.max(initial=0), found.max(initial=0)))
        table[found], width = coefficients[width : width + len(found)], width + len(found)
        score += table[codes]
    return np.asarray(score)


def posterior_mode(rows: Floats, outcome: Ints, mean: Floats, sd: Floats) -> Floats:
    """The most probable coefficients, shape (P,), of a logistic regression with a Gaussian prior on each; by Newton.

    Parameters
    ----------
    rows, outcome
        Shape (R, P) and (R,).
    mean, sd
        Shape (P,): the prior.
    """
    precision = sd**-2.0
    found, loss = mean.copy(), _loss(rows, outcome, mean, mean, precision)
    for _ in range(_STEPS):
        wrong = _sigmoid(rows @ found)
        gradient = rows.T @ (wrong - outcome) + precision * (found - mean)
        curvature = (rows * (wrong * (1 - wrong))[:, None]).T @ rows + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        while (new := _loss(rows, outcome, found - step, mean, precision)) > loss and np.abs(step).max() > _CLOSE:
            step /= 2
        found, loss = found - step, new
        if np.abs(step).max() <= _CLOSE:
            break
    return found


def _loss(rows: Floats, outcome: Ints, found: Floats, mean: Floats, precision: Floats) -> float:
    score = rows @ found
    return float(np.logaddexp(0, np.where(outcome == 1, -score, score)).sum() + precision @ (found - mean) ** 2 / 2)


def _sigmoid(score: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(score / 2)))
