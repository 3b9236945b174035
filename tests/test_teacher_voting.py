from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tutelage.core.records import Vote, Voter
from tutelage.core.task import parse_task
from tutelage.core.teachers import Escalate
from tutelage.loaders.consensus import consensus
from tutelage.loaders.teacher.panel import Panel, panels_of
from tutelage.loaders.teacher.reading.probability import label_probability
from tutelage.loaders.teacher.voting import in_doubt, next_step, possible_votes, votes_to_settle

LABELS = ("a", "b", None)


def panels(text: str) -> tuple[Panel, ...]:
    return panels_of(parse_task(f"name: x\nlabels: [a, b, c]\nteachers:\n{text}"), Path())


ONE = panels("- {name: t, license: n, model: m, early_stop: true}\n")
TWO_STAGES = panels(
    "- {name: t, license: n, model: m}\n"
    "- {name: big, license: n, model: m, votes: 1, escalate: {agreement_below: 0.7}}\n"
)


def votes(labels: str, panel: Panel) -> list[Vote]:
    """One vote a letter; '-' is an abstention."""
    return [Vote(voter=panel.voter(n), raw=x, label=None if x == "-" else x) for n, x in enumerate(labels, 1)]


@pytest.mark.parametrize("seen", [seen for n in range(4) for seen in product(LABELS, repeat=n)])
@pytest.mark.parametrize("remaining", [1, 2, 3])
def test_settled_means_that_no_ending_changes_the_majority(seen: tuple[str | None, ...], remaining: int) -> None:
    endings = {consensus([*seen, *rest]) for rest in product(("a", "b", "c", None), repeat=remaining)}
    needed = votes_to_settle(seen, remaining)
    if needed == 0:
        assert endings == {consensus(seen)}
    else:
        assert len(endings) > 1 or consensus(seen) is None


@pytest.mark.parametrize(
    ("seen", "asked"),
    [("", [1, 2]), ("a", [2]), ("aa", []), ("ab", [3]), ("a-", [3]), ("--", [3]), ("aba", [])],
)
def test_early_stop_asks_only_for_votes_that_can_matter(seen: str, asked: list[int]) -> None:
    step = next_step(votes(seen, ONE[0]), ONE)
    assert [number for _, number in step.ask] == asked
    assert step.stopped == (((ONE[0], 1),) if seen == "aa" else ())


@pytest.mark.parametrize("count", [3, 4, 5, 7])
def test_early_stop_never_changes_the_majority_and_saves_calls(count: int) -> None:
    draw, panel, saved = random.Random(count), replace(ONE[0], votes=count), 0
    for _ in range(300):
        all_votes = [
            Vote(voter=panel.voter(n), raw="", label=draw.choice(["a", "a", "b", None])) for n in range(1, count + 1)
        ]
        given: list[Vote] = []
        while ask := next_step(given, [panel]).ask:
            given += [all_votes[number - 1] for _, number in ask]
        assert consensus([v.label for v in given]) == consensus([v.label for v in all_votes])
        saved += count - len(given)
    assert saved > 0


@pytest.mark.parametrize("count", [3, 4, 5, 7])
@pytest.mark.parametrize("later", [1, 3])
def test_early_stop_before_an_escalation_changes_no_label(count: int, later: int) -> None:
    draw, saved = random.Random(count), 0
    first, second = (replace(panel, votes=n) for panel, n in zip(TWO_STAGES, (count, later), strict=True))
    for _ in range(300):
        drawn = {
            panel.voter(n): Vote(voter=panel.voter(n), raw="", label=draw.choice(["a", "a", "a", "b", None]))
            for panel in (first, second)
            for n in range(1, panel.votes + 1)
        }
        stops, all_asked = (_asked(drawn, [replace(first, early_stop=early), second]) for early in (True, False))
        assert consensus([v.label for v in stops]) == consensus([v.label for v in all_asked])
        saved += len(all_asked) - len(stops)
    assert (saved > 0) == (count > later + 2)  # else the later votes could always matter


def _asked(drawn: dict[Voter, Vote], asked: list[Panel]) -> list[Vote]:
    given: list[Vote] = []
    while ask := next_step(given, asked).ask:
        given += [drawn[panel.voter(number)] for panel, number in ask]
    return sorted(given, key=lambda vote: (vote.voter.vote, vote.voter.teacher != "t"))


def test_imported_votes_count_towards_what_is_settled() -> None:
    imported = [Vote(voter=Voter("old", "column", n), raw="a", label="a") for n in range(1, 5)]
    assert next_step(imported, ONE) == ((), ((ONE[0], 3),))


def test_without_early_stop_all_votes_are_asked_at_once() -> None:
    assert [number for _, number in next_step([], TWO_STAGES).ask] == [1, 2, 3]


@pytest.mark.parametrize(
    ("seen", "escalates"), [("aaa", False), ("aab", True), ("abc", True), ("aa-", True), ("---", True)]
)
def test_a_second_teacher_is_asked_only_in_doubt(seen: str, escalates: bool) -> None:  # noqa: FBT001
    step = next_step(votes(seen, TWO_STAGES[0]), TWO_STAGES)
    assert [panel.teacher for panel, _ in step.ask] == (["big"] if escalates else [])


def test_doubt_is_measured_against_the_wanted_agreement() -> None:
    two_of_three = votes("aab", ONE[0])
    assert in_doubt(two_of_three, Escalate(agreement_below=0.7))
    assert not in_doubt(two_of_three, Escalate(agreement_below=0.6))


def test_votes_of_a_second_teacher_do_not_make_the_first_stage_sure() -> None:
    seen = [*votes("ab-", TWO_STAGES[0]), *votes("a", TWO_STAGES[1])]
    assert next_step(seen, TWO_STAGES).ask == ()


def test_a_panel_whose_context_overflows_is_not_asked_and_the_second_teacher_is() -> None:
    seen = [Vote(voter=TWO_STAGES[0].voter(1), raw="", label=None)]
    step = next_step(seen, TWO_STAGES, {TWO_STAGES[0].key})
    assert [panel.teacher for panel, _ in step.ask] == ["big"]


def test_what_is_possible_is_the_most_that_can_be_asked() -> None:
    def possible(seen: str, asked: tuple[Panel, ...]) -> list[int]:
        return [count for _, count in possible_votes(votes(seen, asked[0]), asked)]

    assert possible("", TWO_STAGES) == [3, 1]
    assert possible("aaa", TWO_STAGES) == []
    assert possible("aab", TWO_STAGES) == [1]
    assert possible("aa", ONE) == []


def test_the_probability_of_a_label_is_the_product_over_its_tokens() -> None:
    tokens = [('{"label": "', -1.0), ("very", -0.5), (" bad", -0.25), ('"}', -2.0)]
    assert label_probability(tokens, "very bad") == pytest.approx(2.718281828**-0.75)
    assert label_probability(tokens, "good") is None
    assert label_probability([], "very bad") is None
    assert label_probability([("bad then ", -9.0), ("bad", -0.1)], "bad") == pytest.approx(2.718281828**-0.1)
