"""Drift of what is predicted: whether a student answers differently on new texts than on texts of its own time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tutelage.core.arrays import Floats, Ints, decide

LEVEL = 0.05
"""How often drift may be reported where there is none."""
LEAST = 30
"""Texts on either side under which nothing is tested."""
LOW = 0.1
"""Share of the reference whose confidence counts as low."""
_EXPECTED = 5
"""Counts under which the chi-squared distribution does not hold."""

Verdict = Literal["drift", "no drift", "too few texts"]


@dataclass(frozen=True)
class ThenAndNow:
    """A share of the reference, and the same of the new texts, 0 to 1."""

    then: float
    now: float


@dataclass(frozen=True, kw_only=True)
class PredictionDrift:
    """A student's predictions on new texts against those on the reference.

    Parameters
    ----------
    student
        Its id.
    texts, reference
        How many new texts, and texts of the reference, it predicted.
    labels
        Each label's share of the predictions; empty where one side has no texts.
    low_confidence
        The share of texts whose highest probability is below ``confidence``; None where one side has no texts.
    confidence
        What the highest probability of a tenth of the reference is below.
    p_value
        Of both tests, corrected for there being two; None where there are too few texts.
    verdict, message
        What that says, and the same in one line.
    """

    student: str
    texts: int
    reference: int
    labels: Mapping[str, ThenAndNow]
    low_confidence: ThenAndNow | None
    confidence: float | None
    p_value: float | None
    verdict: Verdict
    message: str


def prediction_drift(student: str, label_names: Sequence[str], then: Floats, now: Floats) -> PredictionDrift:
    """Compare probabilities of shape (M, K) on the reference with those of shape (N, K) on new texts.

    The predicted labels are compared by Pearson's chi-squared test of homogeneity, and the share of low confidence
    by the same test on its two-by-two table, which is the two-proportion z-test; p-values are corrected by Holm's
    (1979) method, so that at most one in twenty comparisons without drift reports one. Both sides must be texts
    that the student did not train on: on those it is surer than on any others.
    """
    shares, low, confidence, p_value = dict[str, ThenAndNow](), None, None, None
    if len(then) and len(now):
        confidence = float(np.quantile(then.max(axis=1), LOW))
        counts = np.stack([_counts(decide(side), len(label_names)) for side in (then, now)])
        unsure = np.stack([_counts((side.max(axis=1) < confidence).astype(np.int64), 2) for side in (then, now)])
        shares = {name: _shares(counts, place) for place, name in enumerate(label_names)}
        low = _shares(unsure, 1)
        p_value = min(1.0, 2 * min(homogeneity(counts), homogeneity(unsure)))
    if min(len(then), len(now)) < LEAST:
        p_value = None
    verdict: Verdict = "too few texts" if p_value is None else "drift" if p_value < LEVEL else "no drift"
    return PredictionDrift(
        student=student,
        texts=len(now),
        reference=len(then),
        labels=shares,
        low_confidence=low,
        confidence=confidence,
        p_value=p_value,
        verdict=verdict,
        message=_message(len(then), len(now), shares, low, p_value),
    )


def homogeneity(counts: Ints) -> float:
    """The p-value of Pearson's chi-squared test that both rows of counts, shape (2, K), have the same shares.

    Columns too rare for the test are taken together; 1 where fewer than two are left.
    """
    from scipy.stats import chi2_contingency

    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    rare = expected < _EXPECTED
    table = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    return float(chi2_contingency(table, correction=False).pvalue) if table.shape[1] > 1 else 1.0


def _counts(found: Ints, n_values: int) -> Ints:
    return np.asarray(np.bincount(found, minlength=n_values), dtype=np.int64)


def _shares(counts: Ints, place: int) -> ThenAndNow:
    then, now = counts[:, place] / counts.sum(axis=1)
    return ThenAndNow(round(float(then), 4), round(float(now), 4))


def _message(
    reference: int, texts: int, labels: Mapping[str, ThenAndNow], low: ThenAndNow | None, p_value: float | None
) -> str:
    if low is None or p_value is None:
        return f"{texts} new texts against {reference}: nothing is tested under {LEAST} on either side"
    moved = {**labels, "low confidence": low}
    name = max(moved, key=lambda one: abs(moved[one].now - moved[one].then))
    change = f"{name} {100 * moved[name].then:.1f} % then, {100 * moved[name].now:.1f} % on {texts} new texts"
    return f"{'drift' if p_value < LEVEL else 'no drift'} (p = {p_value:.2g}); largest change: {change}"
