from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from tutelage.commands.terminal.tables import compared
from tutelage.training.evaluation.slices import by_length, slices, worst
from tutelage.training.measures.calibration import expected_calibration_error, fit_temperature, with_temperature
from tutelage.training.measures.comparison import bootstrap_f1_difference, compare, mcnemar_exact, paired_interval
from tutelage.training.measures.metrics import (
    bootstrap_macro_f1,
    confusion,
    macro_f1,
    macro_f1_of_counts,
    score,
    wilson,
)


def test_scores_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 5, 300)
    said = np.where(rng.random(300) < 0.7, gold, rng.integers(0, 4, 300))
    found = score(gold, said, tuple("abcdefg"))  # two labels occur nowhere
    assert found.macro_f1 == pytest.approx(f1_score(gold, said, average="macro"))
    expected = np.array(precision_recall_fscore_support(gold, said, labels=range(5), zero_division=0))
    mine = np.array([[s.precision, s.recall, s.f1, s.support] for s in found.per_label[:5]]).T
    np.testing.assert_allclose(mine, expected)


def test_no_label_is_wrong_and_lowers_recall_only() -> None:
    found = score(np.array([0, 0, 1, 1]), np.array([0, -1, 1, 1]), ("a", "b"))
    assert found.accuracy == 0.75
    assert (found.per_label[0].precision, found.per_label[0].recall) == (1.0, 0.5)
    assert found.confusion == ((1, 0, 1), (0, 2, 0))


def test_wilson_as_in_the_literature() -> None:
    # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I: 81 of 263, 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for run in range(60):
        gold = rng.integers(0, 2, 200)
        said = np.where(rng.random(200) < 0.8, gold, 1 - gold)
        low, high = bootstrap_macro_f1(confusion(gold, said, 2), seed=run, resamples=300)
        covered += low <= 0.8 <= high
    assert 51 <= covered <= 60


def test_bootstrap_is_seeded() -> None:
    matrix = confusion(np.array([0, 1, 1, 0, 1]), np.array([0, 1, 0, 0, 1]), 2)
    assert bootstrap_macro_f1(matrix, seed=1) == bootstrap_macro_f1(matrix, seed=1)


def test_macro_f1_of_counts_is_that_of_their_rows() -> None:
    gold, said = np.array([0, 1, 2, 0, 3]), np.array([0, 1, 0, -1, 2])
    drawn = np.array([[3, 2, 1, 0, 0], [0, 0, 2, 5, 1], [1, 1, 1, 1, 1]])
    expected = [macro_f1(confusion(np.repeat(gold, counts), np.repeat(said, counts), 5)) for counts in drawn]
    assert macro_f1_of_counts(gold, said, drawn, 5).tolist() == expected


def test_bootstrap_with_many_labels_needs_little_memory() -> None:
    gold = np.arange(100) * 5
    first, second = gold.copy(), gold.copy()
    first[:20], second[:40] = 1, -1
    tracemalloc.start()
    bootstrap_macro_f1(confusion(gold, first, 500), resamples=100)
    bootstrap_f1_difference(gold, first, second, 500, resamples=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # all pairs of labels, a hundred times, are 200 MB


def test_mcnemar_exact() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar_exact(9, 1) == mcnemar_exact(1, 9)


def test_paired_interval_never_claims_certainty() -> None:
    z2 = 1.96**2
    assert paired_interval(0, 0, 10) == pytest.approx((-z2 / (10 + z2), z2 / (10 + z2)), abs=1e-4)
    assert paired_interval(5, 3, 100) == pytest.approx(tuple(-x for x in reversed(paired_interval(3, 5, 100))))
    assert paired_interval(10, 0, 10) == pytest.approx((2 * 10 / (10 + z2) - 1, 1), abs=1e-4)


def test_paired_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(100, [0.12, 0.05, 0.83], size=400)
    covered = [low <= 0.07 <= high for low, high in (paired_interval(b, c, 100) for b, c, _ in drawn)]
    assert 0.92 <= np.mean(covered) <= 0.98


def _pair(rows: int, only_first: int, only_second: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gold = np.zeros(rows, dtype=np.int64)
    gold[::2] = 1
    first, second = gold.copy(), gold.copy()
    second[:only_first] = 1 - gold[:only_first]
    first[-only_second or rows :] = 1 - gold[-only_second or rows :]
    return gold, first, second


@pytest.mark.parametrize(
    ("rows", "only_first", "only_second", "verdict"),
    [
        (100, 0, 0, "undecided"),  # equal, but a hundred rows do not show "within 2 points"
        (5000, 40, 40, "on par"),
        (450, 30, 5, "better"),
        (450, 5, 30, "worse"),
        (453, 12, 10, "undecided"),
    ],
)
def test_on_par_only_when_the_rows_support_it(rows: int, only_first: int, only_second: int, verdict: str) -> None:
    found = compare(*_pair(rows, only_first, only_second), 2)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.verdict == verdict
    assert ("on par" in compared(found, "one", "two")) == (verdict == "on par")


def test_difference_of_macro_f1() -> None:
    gold, first, second = _pair(450, 30, 5)
    difference, (low, high) = bootstrap_f1_difference(gold, first, second, 2)
    expected = f1_score(gold, first, average="macro") - f1_score(gold, second, average="macro")
    assert difference == pytest.approx(expected)
    assert 0 < low < difference < high
    same, interval = bootstrap_f1_difference(gold, first, first, 2)
    assert (same, *interval) == (0, 0, 0)


def test_calibration_error_and_temperature() -> None:
    rng = np.random.default_rng(0)
    true = rng.dirichlet([1, 1, 1], 4000)
    gold = np.array([rng.choice(3, p=row) for row in true])
    assert expected_calibration_error(true, gold) < 0.03
    overconfident = with_temperature(true, 0.3)
    assert expected_calibration_error(overconfident, gold) > 0.1
    temperature = fit_temperature(overconfident, gold)
    assert temperature is not None
    assert temperature == pytest.approx(1 / 0.3, rel=0.1)
    mended = with_temperature(overconfident, temperature)
    assert expected_calibration_error(mended, gold) < 0.03
    assert (mended.argmax(axis=1) == overconfident.argmax(axis=1)).all()
    assert fit_temperature(overconfident, overconfident.argmax(axis=1)) is None  # without an error none is best


@pytest.mark.parametrize("confidence", [0.6, 0.8, 0.93, 0.99])
def test_rows_without_an_error_determine_no_temperature(confidence: float) -> None:
    gold = np.arange(17) % 3
    probs = np.full((17, 3), (1 - confidence) / 2)
    probs[np.arange(17), gold] = confidence
    assert fit_temperature(probs, gold) is None
    probs[0] = np.roll(probs[0], 1)
    assert fit_temperature(probs, gold) is not None


def test_slices_name_the_worst_that_is_large_enough() -> None:
    right = [True] * 30 + [False] * 10 + [True] * 10 + [False] * 2
    parts = {"label": ["a"] * 30 + ["b"] * 20 + ["c"] * 2, "source": [""] * 52}
    found = slices(right, parts)
    assert [(s.value, s.rows, s.accuracy) for s in found] == [("a", 30, 1.0), ("b", 20, 0.5), ("c", 2, 0.0)]
    lowest = worst(found)
    assert lowest is not None
    assert lowest.value == "b"


@pytest.mark.parametrize("lengths", [[5], [1, 1, 1], [1, 2], list(range(1, 101)), [3] * 50 + [4] * 50])
def test_every_text_is_in_one_slice_of_length(lengths: list[int]) -> None:
    texts = [" ".join(["w"] * n) for n in lengths]
    named = by_length(texts)
    assert len(named) == len(texts)
    assert len(set(named)) <= 4
    for length, name in zip(lengths, named, strict=True):
        bounds = [int(word) for word in name.replace("to", " ").split() if word.isdigit()]
        assert bounds[0] <= length <= bounds[-1]


def test_macro_f1_leaves_out_labels_that_occur_nowhere() -> None:
    assert macro_f1(confusion(np.array([0, 1]), np.array([0, 1]), 4)) == 1.0
