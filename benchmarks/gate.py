"""How often the gate promotes a challenger that is better, equal or worse, and what many nights on one gold set do.

Simulated: rows of three labels (.60, .28, .12), a champion of about .90 macro-F1, and a challenger that disagrees
with it on 6 % of the rows and whose true macro-F1 differs by a given number of points. The true gain is that of the
whole population; each night draws its gold rows from it.

    python benchmarks/gate.py
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from tutelage.core.arrays import Floats, Ints
from tutelage.training.measures.comparison import MARGIN, resampled_f1_differences
from tutelage.training.measures.gate import decide_promotion
from tutelage.training.measures.metrics import macro_f1_of_counts

SHARES = np.array([0.60, 0.28, 0.12])
BOTH_WRONG, DISCORDANT = 0.07, 0.06
GAINS = (-0.02, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02)
ROWS = (300, 1000)
NIGHTS, REPEATS = 50, 200
DRAWS = 1000


def population(gain: float) -> tuple[Ints, Floats]:
    """Cells (gold, champion, challenger), shape (C, 3), and their probabilities, for a true gain in macro-F1."""

    def of(balance: float) -> tuple[Ints, Floats]:
        cells, weights = [], []
        for gold, share in enumerate(SHARES):
            wrong = (gold + 1) % 3, (gold + 2) % 3
            cells += [(gold, gold, gold), *((gold, w, w) for w in wrong)]
            weights += [share * (1 - BOTH_WRONG - DISCORDANT), *[share * BOTH_WRONG / 2] * 2]
            cells += [*((gold, w, gold) for w in wrong), *((gold, gold, w) for w in wrong)]
            weights += [*[share * DISCORDANT * balance / 2] * 2, *[share * DISCORDANT * (1 - balance) / 2] * 2]
        return np.array(cells), np.array(weights)

    def off(balance: float) -> float:
        cells, weights = of(balance)
        champion, challenger = (macro_f1_of_counts(cells[:, 0], cells[:, i], weights[None, :], 3)[0] for i in (1, 2))
        return float(challenger - champion) - gain

    return of(brentq(off, 0.0, 1.0))


def promotes(gold: Ints, champion: Ints, challenger: Ints) -> tuple[bool, bool, bool]:
    """What the three rules say: two points of interval alone, the gate, and a gate of 1.64 standard errors."""
    differences = resampled_f1_differences(gold, challenger, champion, 3)
    gate = decide_promotion(gold, champion, challenger, 3, {})
    naive = bool(differences[0] >= 0 and np.percentile(differences[1:], 2.5) >= -MARGIN)
    return naive, gate.promoted, gate.promoted and gate.macro_f1_difference >= 1.64 * gate.standard_error


RULES = ("not lower, above -2 points", "the gate", "the gate, 1.64 errors")


def one_night() -> None:
    """The share of nights on which each rule promotes."""
    print(f"{f'share of {DRAWS} nights; true gain, points':<40}" + "".join(f"{100 * gain:+8.1f}" for gain in GAINS))
    for rows in ROWS:
        shares = np.array([_shares(gain, rows) for gain in GAINS]).T
        for rule, by_gain in zip(RULES, shares, strict=True):
            print(f"{f'{rows} rows, {rule}':<40}" + "".join(f"{share:8.3f}" for share in by_gain))


def _shares(gain: float, rows: int) -> Floats:
    random = np.random.default_rng(0)
    cells, weights = population(gain)
    nights = (cells[random.choice(len(cells), rows, p=weights)] for _ in range(DRAWS))
    return np.asarray(np.mean([promotes(*night.T) for night in nights], axis=0))


def many_nights() -> None:
    """A champion that never improves: each night's challenger is another draw of equal true accuracy."""
    print(f"\n{NIGHTS} nights on the same gold, challengers of equal true accuracy, mean of {REPEATS} repeats")
    print("rows   promotions by night 10   by 20   by 50   champion's macro-F1 on this gold above its true one, points")
    for rows in ROWS:
        random = np.random.default_rng(0)
        promotions, above = np.zeros((REPEATS, NIGHTS)), np.zeros(REPEATS)
        for repeat in range(REPEATS):
            gold = random.choice(3, rows, p=SHARES)
            champion = first = student(random, gold)
            for night in range(NIGHTS):
                challenger = student(random, gold)
                if decide_promotion(gold, champion, challenger, 3, {}).promoted:
                    champion, promotions[repeat, night] = challenger, 1
            above[repeat] = resampled_f1_differences(gold, champion, first, 3, resamples=1)[0]
        sums = promotions.cumsum(axis=1).mean(axis=0)
        print(f"{rows:>4} {sums[9]:>24.2f} {sums[19]:>7.2f} {sums[49]:>7.2f} {100 * above.mean():>+16.2f}")


def student(random: np.random.Generator, gold: Ints) -> Ints:
    """Predictions of one of many students of equal true accuracy: some rows are hard for all, some for none."""
    position = np.arange(len(gold))
    hard = position % 100 < 100 * BOTH_WRONG  # wrong for every student
    doubtful = (position % 100 >= 50) & (position % 100 < 50 + 200 * DISCORDANT)  # right half the time
    wrong = hard | (doubtful & (random.random(len(gold)) < 0.5))
    return np.asarray(np.where(wrong, (gold + 1 + random.integers(0, 2, len(gold))) % 3, gold))


if __name__ == "__main__":
    one_night()
    many_nights()
