"""The gate: who becomes champion, and how rarely it errs."""

from __future__ import annotations

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.training.measures.gate import decide_promotion, fallen_slices


def two(won: int, lost: int, rows: int = 1000) -> tuple[Ints, Ints, Ints]:
    """Gold, champion and challenger, which alone is right on ``won`` rows and alone wrong on ``lost``."""
    gold = np.arange(rows) % 3
    champion, challenger = gold.copy(), gold.copy()
    champion[:won] = (gold[:won] + 1) % 3
    challenger[won : won + lost] = (gold[won : won + lost] + 1) % 3
    return gold, champion, challenger


def test_a_better_challenger_is_promoted_and_a_worse_one_is_kept_out() -> None:
    assert decide_promotion(*two(50, 20), 3, {}).promoted
    worse = decide_promotion(*two(20, 50), 3, {})
    assert (worse.promoted, worse.reason) == (False, "macro-F1 -3.0 points: not higher")


def test_the_champion_itself_is_no_better_than_the_champion() -> None:
    same = decide_promotion(*two(0, 0), 3, {})
    assert (same.promoted, same.macro_f1_difference, same.standard_error) == (False, 0.0, 0.0)


def test_a_gain_within_the_standard_error_is_not_enough() -> None:
    decision = decide_promotion(*two(32, 30), 3, {})
    assert 0 < decision.macro_f1_difference < decision.standard_error
    assert (decision.promoted, "less than the standard error" in decision.reason) == (False, True)


def test_a_gain_whose_interval_reaches_beyond_the_margin_is_not_enough() -> None:
    few = two(10, 5, rows=60)
    assert "beyond the margin of 2" in decide_promotion(*few, 3, {}).reason
    assert decide_promotion(*few, 3, {}, margin=0.2).promoted


def test_a_slice_that_fell_keeps_the_champion() -> None:
    gold, champion, challenger = two(60, 15)
    short = np.zeros(1000, dtype=bool)
    short[60:75] = True  # all that the challenger lost
    decision = decide_promotion(gold, champion, challenger, 3, {"long": ~short, "short": short})
    assert (decision.promoted, decision.fallen) == (False, ("short",))
    assert decision.reason.endswith("significantly less accurate where short")


def test_slices_are_corrected_for_their_number() -> None:
    """Six rows lost and none won: p = .016, enough for one slice, not among five."""
    right, wrong = np.ones(20, dtype=bool), np.zeros(20, dtype=bool)
    lost = np.arange(20) < 6
    assert fallen_slices(~lost, right, {"a": right}) == ("a",)
    five = {"a": right} | dict.fromkeys("bcde", wrong)
    assert fallen_slices(~lost, right, five) == ()
    assert fallen_slices(~lost & ~(np.arange(20) < 12), right, {"a": right, "b": lost, "c": wrong}) == ("a", "b")


def test_it_errs_about_as_rarely_as_the_benchmark_says() -> None:
    """300 nights with 1,000 rows each: equal challengers pass one standard error in about 16 %, worse ones hardly."""
    random = np.random.default_rng(0)

    def promoted(p_won: float, p_lost: float) -> float:
        nights = (random.multinomial(1000, [p_won, p_lost, 1 - p_won - p_lost]) for _ in range(300))
        return float(np.mean([decide_promotion(*two(won, lost), 3, {}).promoted for won, lost, _ in nights]))

    assert 0.10 <= promoted(0.03, 0.03) <= 0.23
    assert promoted(0.025, 0.035) <= 0.05
    assert promoted(0.04, 0.02) >= 0.75
