"""Whether a challenger takes the champion's place: a decision on the same gold rows, made to err rarely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.arrays import Ints
from tutelage.training.measures.comparison import MARGIN, resampled_f1_differences
from tutelage.training.measures.metrics import percentiles

LEVEL = 0.05
"""How often one slice or more may seem to have fallen where none has."""

Rows = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """Whether the challenger is promoted.

    Parameters
    ----------
    rows
        Gold rows that both answered.
    macro_f1_difference, standard_error, low
        Challenger minus champion, its bootstrap standard error, and the lower end of its 95 % interval.
    fallen
        Slices on which the challenger is significantly less accurate.
    reason
        What decided, in words.
    """

    promoted: bool
    rows: int
    macro_f1_difference: float
    standard_error: float
    low: float
    fallen: tuple[str, ...]
    reason: str


def decide_promotion(
    gold: Ints,
    champion: Ints,
    challenger: Ints,
    n_labels: int,
    slices: Mapping[str, Rows],
    *,
    margin: float = MARGIN,
    seed: int = 0,
) -> GateDecision:
    """Compare two predictions of shape (N,) of the same rows; -1 stands for no label.

    The challenger is promoted where its macro-F1 is higher by at least the standard error of the difference, the
    lower end of the 95 % interval is not below ``-margin``, and no slice fell. The first is the rule of the Ladder
    (Blum and Hardt 2015), which keeps a best score honest over many submissions; the second holds the harm small
    where few rows make the standard error small by chance. ``slices`` maps names to rows, shape (N,); a slice
    fell where the one-sided exact test of its discordant rows says so, after Holm's (1979) correction.
    """
    differences = resampled_f1_differences(gold, challenger, champion, n_labels, seed=seed)
    difference, error = float(differences[0]), float(np.std(differences[1:], ddof=1))
    low = percentiles(differences[1:]).low
    fallen = fallen_slices(challenger == gold, champion == gold, slices)
    kept = _why_kept(difference, error, low, margin, fallen)
    return GateDecision(
        promoted=not kept,
        rows=len(gold),
        macro_f1_difference=difference,
        standard_error=error,
        low=low,
        fallen=fallen,
        reason=kept or f"macro-F1 {100 * difference:+.1f} points, at least its standard error of {100 * error:.1f}",
    )


def _why_kept(difference: float, error: float, low: float, margin: float, fallen: tuple[str, ...]) -> str:
    points = f"macro-F1 {100 * difference:+.1f} points"
    if difference <= 0:
        return f"{points}: not higher"
    if difference < error:
        return f"{points}: less than the standard error of the difference, {100 * error:.1f}"
    if low < -margin:
        return (
            f"{points}, but the 95 % interval reaches down to {100 * low:+.1f}, beyond the margin of {100 * margin:g}"
        )
    return f"{points}, but significantly less accurate where {' and '.join(fallen)}" if fallen else ""


def fallen_slices(challenger_right: Rows, champion_right: Rows, slices: Mapping[str, Rows]) -> tuple[str, ...]:
    """The slices on which the challenger is significantly less accurate, in their order (Holm 1979, level 0.05)."""
    lost, won = champion_right & ~challenger_right, challenger_right & ~champion_right
    p_values = {name: _worse(int((rows & lost).sum()), int((rows & won).sum())) for name, rows in slices.items()}
    found = set[str]()
    for place, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p_value > LEVEL / (len(p_values) - place):
            break
        found.add(name)
    return tuple(name for name in slices if name in found)


def _worse(lost: int, won: int) -> float:
    """One-sided p-value: so many rows lost, of those that only one of both has right, by chance."""
    from scipy.stats import binom

    return float(binom.sf(lost - 1, lost + won, 0.5)) if lost else 1.0
