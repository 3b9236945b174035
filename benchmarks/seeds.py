"""How often equal recipes are called different, by the rows alone and by rows and seeds.

Simulated: two recipes of the same true accuracy, about .9; on some rows each recipe is steadily right or wrong, on
others it depends on the seed, and each seed's true accuracy is drawn with a given standard deviation. "power" is the
share of "better" for a recipe whose true accuracy is 5 points higher.

    python benchmarks/seeds.py
"""

from __future__ import annotations

import numpy as np

from tutelage.core.arrays import Floats
from tutelage.training.measures.comparison import mcnemar_exact
from tutelage.training.measures.seeds import compare_recipes

DRAWS = 2000
ROWS = (300, 450, 1000)
DEVIATIONS = (0.0, 0.01, 0.02)
SEEDS = ((3, 3), (5, 5), (3, 1))
HARD, STEADY, BY_SEED = 0.03, 0.08, 0.12


def right(
    random: np.random.Generator, rows: int, seeds: tuple[int, int], deviation: float, gain: float
) -> list[Floats]:
    """What two recipes have right, of shapes (S, N) and (T, N); the first is better by ``gain``."""
    place = random.random(rows)
    hard, steady = place < HARD, (place >= HARD) & (place < HARD + STEADY)
    by_seed = place > 1 - BY_SEED
    sides = []
    for side, count in enumerate(seeds):
        wrong = hard | (steady & (random.random(rows) < 0.5))
        off = random.normal(0, deviation, count) - (gain if side == 0 else 0)
        chance = np.clip(0.5 + off / BY_SEED, 0, 1)[:, None]
        sides.append(1.0 - (wrong | (by_seed & (random.random((count, rows)) < chance))))
    return sides


def called_different(
    rows: int, seeds: tuple[int, int], deviation: float, gain: float = 0.0, draws: int = DRAWS
) -> Floats:
    """The share of draws with p < .05: McNemar's test of the first seeds, and ``compare_recipes``."""
    random, found = np.random.default_rng(0), []
    for _ in range(draws):
        first, second = right(random, rows, seeds, deviation, gain)
        won, lost = (int((one[0] > other[0]).sum()) for one, other in ((first, second), (second, first)))
        found.append((mcnemar_exact(won, lost) < 0.05, compare_recipes(first, second).p_value < 0.05))
    return np.asarray(np.mean(found, axis=0))


if __name__ == "__main__":
    print(
        f"share of {DRAWS} draws; rows, sd of the seeds (points), seeds: one seed each (McNemar), rows and seeds, power"
    )
    for rows in ROWS:
        for deviation in DEVIATIONS:
            for seeds in SEEDS:
                single, both = called_different(rows, seeds, deviation)
                power = called_different(rows, seeds, deviation, gain=0.05)[1]
                case = f"{rows:>5} {100 * deviation:>4.1f} {seeds[0]} against {seeds[1]}"
                print(f"{case} {single:>8.3f} {both:>8.3f} {power:>8.3f}")
