"""Two recipes on the same rows, each trained with several seeds: whether the difference is more than luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from tutelage.core.arrays import Floats
from tutelage.training.measures.comparison import MARGIN, Verdict, verdict_of
from tutelage.training.measures.metrics import Interval


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """The accuracies of students of one recipe that differ by their seed only, in the order of ``students``.

    ``deviation`` is their standard deviation (n - 1).
    """

    students: tuple[str, ...]
    accuracies: tuple[float, ...]
    mean: float
    deviation: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class RecipeComparison:
    """The mean accuracy over the seeds of one recipe, minus that of another one, a single student, or the teacher.

    The interval (95 %) and the p-value take the rows and the seeds as drawn by chance; ``first_seeds`` and
    ``second_seeds`` say how many there are, 0 for the teacher, who has none.
    """

    rows: int
    first_seeds: int
    second_seeds: int
    difference: float
    interval: Interval
    p_value: float
    margin: float
    verdict: Verdict


def seed_spread(students: Sequence[str], right: Floats) -> SeedSpread:
    """The spread of S students, from what is right, 0 or 1, of shape (S, N)."""
    accuracies = right.mean(axis=1)
    return SeedSpread(
        students=tuple(students),
        accuracies=tuple(map(float, accuracies)),
        mean=float(accuracies.mean()),
        deviation=float(accuracies.std(ddof=1)),
        lowest=float(accuracies.min()),
        highest=float(accuracies.max()),
    )


def compare_recipes(
    first: Floats, second: Floats, *, is_trained: bool = True, margin: float = MARGIN
) -> RecipeComparison:
    """Compare what is right on the same N rows, 0 or 1, of shapes (S, N) and (T, N); S or T is 2 or more.

    The variance of the difference is that of the rows, of which each counts by its mean over the seeds, plus that
    of the seeds on either side; the interval is Student's, with Satterthwaite's (1946) degrees of freedom. The rows
    alone would call a lucky seed a better recipe (Bouthillier et al. 2021, "Accounting for variance in machine
    learning benchmarks"). What a seed does on single rows is in both terms, so that the interval is rather too wide
    than too narrow. A recipe trained once is taken to vary as the other one does; a second that is not trained, the
    teacher, does not vary: ``is_trained`` is False.
    """
    from scipy.stats import t

    by_row = first.mean(axis=0) - second.mean(axis=0)
    difference, rows = float(by_row.mean()), len(by_row)
    terms = [
        (float(by_row.var()) / max(1, rows - 1), max(1, rows - 1)),
        *_of_seeds([first, second] if is_trained else [first]),
    ]
    variance = sum(term for term, _ in terms)
    error = max(sqrt(variance), 0.5 / rows)  # equal on all rows: half a row, as one that differs may be next
    freedom = variance**2 / sum(term**2 / degrees for term, degrees in terms) if variance else max(1, rows - 1)
    half = float(t.ppf(0.975, freedom)) * error
    interval, p_value = (
        Interval(max(-1.0, difference - half), min(1.0, difference + half)),
        2 * float(t.sf(abs(difference) / error, freedom)),
    )
    return RecipeComparison(
        rows=rows,
        first_seeds=len(first),
        second_seeds=len(second) if is_trained else 0,
        difference=difference,
        interval=interval,
        p_value=p_value,
        margin=margin,
        verdict=verdict_of(difference, interval, p_value, margin),
    )


def _of_seeds(sides: Sequence[Floats]) -> list[tuple[float, int]]:
    """The variances that the seeds add to the difference, with their degrees of freedom."""
    several = [(float(side.mean(axis=1).var(ddof=1)), len(side)) for side in sides if len(side) > 1]
    lent = len(sides) - len(several)  # 1 where one side was trained once
    return [(variance * (1 / count + lent), count - 1) for variance, count in several]
