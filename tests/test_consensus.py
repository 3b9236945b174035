"""From votes to a suggestion."""

from __future__ import annotations

import itertools
import re

import pytest

from tutelage.core.records import Record, Vote, Voter
from tutelage.loaders.consensus import agent_of, agreement, best_reason, consensus, suggest


def vote(label: str | None, reason: str = "", teacher: str = "llm", number: int = 1) -> Vote:
    return Vote(voter=Voter(teacher, "plain", number), raw=label or "?", label=label, reason=reason)


def record(*labels: str | None, given: str | None = None) -> Record:
    return Record("r", "text", given, tuple(vote(label, number=n) for n, label in enumerate(labels)))


@pytest.mark.parametrize(
    ("labels", "label", "tie"),
    [
        (["a"], "a", False),
        (["a", "b", "b"], "b", False),
        (["a", None, None, None], "a", False),
        (["b", "a", None], "b", True),
        (["a", "b", "b", "a", "c"], "a", True),
        (["c", "b", "a"], "c", True),
        (["c", "b", "a", "a", "b"], "b", True),
    ],
)
def test_the_majority_wins_and_a_tie_goes_to_the_first_voted(labels: list[str | None], label: str, tie: bool) -> None:  # noqa: FBT001  # a column of the table
    assert consensus(labels) == (label, tie)


@pytest.mark.parametrize("labels", [[], [None], [None, None]])
def test_abstentions_alone_make_no_consensus_and_no_suggestion(labels: list[str | None]) -> None:
    assert consensus(labels) is None
    assert suggest(record(*labels)) is None


def test_a_tie_is_never_settled_at_random() -> None:
    for labels in itertools.permutations(["a", "b", "c", "d"]):
        assert {consensus(labels) for _ in range(20)} == {(labels[0], True)}


@pytest.mark.parametrize(
    ("label", "labels", "score"),
    [
        ("a", ["a", "a", "b"], 2 / 3),
        ("a", ["a", None, None], 1.0),
        ("a", ["b", "b"], 0.0),
        ("a", [None], None),
        ("a", [], None),
    ],
)
def test_agreement_is_the_fraction_of_the_votes_that_equal_the_label(
    label: str, labels: list[str | None], score: float | None
) -> None:
    assert agreement(label, labels) == score


def test_agreement_is_the_score_of_the_suggestion() -> None:
    suggestion = suggest(record("a", "b", "a", None))
    assert suggestion
    assert (suggestion.label, suggestion.score, suggestion.tie, suggestion.agent) == ("a", 2 / 3, False, "llm")


@pytest.mark.parametrize(
    ("votes", "score", "tie"), [(["b", "b", "a"], 1 / 3, False), (["b", "c"], 0.0, True), ([], None, False)]
)
def test_a_given_label_is_the_suggestion_in_place_of_the_consensus(
    votes: list[str | None],
    score: float | None,
    tie: bool,  # noqa: FBT001  # a column of the table
) -> None:
    suggestion = suggest(record(*votes, given="a"))
    assert suggestion
    assert (suggestion.label, suggestion.score, suggestion.tie, suggestion.agent) == ("a", score, tie, "given")


@pytest.mark.parametrize(
    ("teachers", "agent"),
    [
        (["mistralai/Mixtral-8x7B"], "mistralai/Mixtral-8x7B"),
        (["a@b+c", "a@b+c"], "a-b-c"),
        (["one", "two", "one"], "one_two"),
        (["Phi 4 (new)"], "Phi-4-new-"),
        (["учитель"], "teacher"),
        ([""], "teacher"),
        (["@"], "teacher"),
        (["x" * 150, "y" * 150], "x" * 150 + "_" + "y" * 49),
    ],
)
def test_the_agent_holds_what_argilla_takes(teachers: list[str], agent: str) -> None:
    found = agent_of([vote("a", teacher=teacher, number=n) for n, teacher in enumerate(teachers)])
    assert found == agent
    assert re.fullmatch(r"(?=.*[a-zA-Z0-9])[a-zA-Z0-9-_:./\s]{1,200}", found), "the server's own rule"


def test_the_best_reason_is_the_one_that_shares_most_with_the_others() -> None:
    votes = [
        vote("a", "the moon is made of cheese"),
        vote("a", "profit rose in the third quarter"),
        vote("a", "profit rose strongly"),
        vote("b", "profit rose in the third quarter strongly"),
    ]
    assert best_reason(votes, "a") == "profit rose in the third quarter"


def test_equally_good_reasons_give_the_first_and_none_gives_nothing() -> None:
    assert best_reason([vote("a", "one"), vote("a", "two")], "a") == "one"
    assert best_reason([vote("b", "one")], "a") == ""
    assert best_reason([], "a") == ""
    assert best_reason([vote("a", " "), vote("a", "FAIL"), vote("a", "None"), vote("a", " n/a")], "a") == ""
    assert best_reason([vote("a", "..."), vote("a", "nan")], "a") == "..."
