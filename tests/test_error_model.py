"""What speaks for a suggestion without reviews, and what reviews teach, on arrays whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tutelage.feedback.ranking.error_model import ErrorModel, posterior_mode
from tutelage.feedback.ranking.label_quality import METHODS, label_quality
from tutelage.feedback.ranking.rank_records import Ranker
from tutelage.feedback.ranking.support import Evidence
from tutelage.feedback.ranking.verdicts import Verdict, verdicts_of

NO = -1


def students(labels: Any, n_labels: int, sure: float = 0.8) -> Any:
    """Probabilities of a student that says these labels."""
    probs = np.full((len(labels), n_labels), (1 - sure) / (n_labels - 1))
    probs[np.arange(len(labels)), labels] = sure
    return probs


def crowd(count: int = 300, n_labels: int = 3, right: float = 0.8, voters: int = 3) -> tuple[Any, Any, Any]:
    """True labels, votes, and the suggestions: those of the first voter."""
    draw = np.random.default_rng(0)
    gold = draw.integers(0, n_labels, count)
    others = (gold[:, None] + draw.integers(1, n_labels, (count, voters))) % n_labels
    votes = np.where(draw.random(others.shape) < right, gold[:, None], others)
    return gold, votes, votes[:, 0].copy()


# Without reviews


def test_the_formula_on_numbers_done_by_hand() -> None:
    evidence = Evidence(np.array([0, 0]), np.array([[0, 1], [0, NO]]), np.array([[0.6, 0.4], [0.3, 0.7]]))
    evidence.__dict__.update(weights=np.array([1.5, 0.5]), student=0.5)
    assert evidence.support == pytest.approx([(1.5 + 1.5 * 0.6) / 3.5, (1.5 + 1.5 * 0.3) / 3.0])


def test_a_student_who_knows_is_worth_much_and_one_who_guesses_nothing() -> None:
    gold, votes, _ = crowd()
    suggested = np.array([np.bincount(row).argmax() for row in votes])
    knows = Evidence(suggested, votes, students(gold, 3))
    guesses = Evidence(suggested, votes, students(np.random.default_rng(1).integers(0, 3, len(gold)), 3))
    assert knows.student > 0.2
    assert guesses.student < 0.1
    says_otherwise = Evidence(suggested, votes, students((suggested + 1) % 3, 3))
    assert says_otherwise.student == 0


def test_a_worthless_student_only_decides_between_equals() -> None:
    _, votes, suggested = crowd()
    probs = students((suggested + 1) % 3, 3)
    probs[:, :] = np.random.default_rng(0).dirichlet(np.ones(3), len(votes))
    evidence = Evidence(suggested, votes, probs)
    evidence.__dict__["student"] = 0.0
    order = np.argsort(evidence.support)
    agreement = evidence.agreement[order]
    assert (np.diff(agreement) >= -1e-4).all()
    equal = np.isclose(np.diff(agreement), 0)
    assert (np.diff(evidence.confidence[order])[equal] >= -1e-6).all()
    assert equal.sum() > 100


def test_a_single_voter_leaves_the_word_to_the_student() -> None:
    _, votes, suggested = crowd()
    probs = np.random.default_rng(0).dirichlet(np.ones(3), len(votes))
    for silent in (votes[:, :0], votes[:, :1], np.column_stack([votes[:, :1], np.full((len(votes), 2), NO)])):
        scores = label_quality(suggested, silent, probs)
        assert scores == pytest.approx(probs[np.arange(len(votes)), suggested])


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_takes_whatever_votes_there_are(method: Any) -> None:
    draw = np.random.default_rng(3)
    for _ in range(40):
        n, voters, k = draw.integers(1, 9), draw.integers(0, 5), draw.integers(2, 5)
        votes, suggested = draw.integers(-1, k, (n, voters)), draw.integers(-1, k, n)
        scores = label_quality(suggested, votes, draw.dirichlet(np.full(k, 0.3), n), method=method)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert not scores[suggested == NO].any()


# With reviews


def model(n_labels: int = 3, **keys: Any) -> tuple[ErrorModel, Any, Any]:
    gold, votes, suggested = crowd(n_labels=n_labels, **keys)
    probs = students(gold, n_labels, 0.5)
    lengths = np.arange(len(gold))
    return ErrorModel(Evidence(suggested, votes, probs), lengths), suggested, (suggested != gold).astype(int)


def test_the_coefficients_are_where_the_gradient_is_zero_and_the_prior_holds_what_no_row_tells() -> None:
    draw = np.random.default_rng(0)
    rows, outcome = np.column_stack([draw.normal(size=(50, 2)), np.zeros(50)]), draw.integers(0, 2, 50)
    mean, sd = np.array([1.0, -1.0, 0.7]), np.array([0.5, 2.0, 0.1])
    found = posterior_mode(rows, outcome, mean, sd)
    wrong = 1 / (1 + np.exp(-rows @ found))
    assert rows.T @ (wrong - outcome) + (found - mean) / sd**2 == pytest.approx(np.zeros(3), abs=1e-6)
    assert found[2] == pytest.approx(0.7)


def test_a_label_that_people_correct_again_and_again_becomes_suspect() -> None:
    learner, suggested, _ = model(right=1.0)
    rows = np.concatenate([np.flatnonzero(suggested == k)[:9] for k in range(3)])
    wrong = learner.wrong(rows, suggested[rows], (suggested[rows] == 1).astype(int))
    unseen = np.setdiff1d(np.arange(len(suggested)), rows)
    assert wrong[unseen][suggested[unseen] == 1].min() > wrong[unseen][suggested[unseen] != 1].max() + 0.2


def test_reviews_find_more_than_the_order_without_them() -> None:
    """A voter who is right about one label only: nothing but reviews tells."""
    gold, votes, _ = crowd(600, right=0.9)
    votes[:, 0] = np.where(gold == 2, (gold + 1) % 3, votes[:, 0])
    suggested = votes[:, 0].copy()
    probs = np.full((len(gold), 3), 1 / 3)
    evidence, is_wrong = Evidence(suggested, votes, probs), (suggested != gold).astype(int)
    learner, done, quality = ErrorModel(evidence, np.ones(len(gold), int)), np.empty(0, int), evidence.support
    static = is_wrong[np.argsort(quality, kind="stable")[:300]].sum()
    while len(done) < 300:
        order = np.argsort(quality, kind="stable")
        done = np.concatenate([done, order[~np.isin(order, done)][:25]])
        quality = 1 - learner.wrong(done, suggested[done], is_wrong[done])
    assert is_wrong[done].sum() >= static


def test_a_review_of_another_suggestion_than_todays_is_learned_as_what_it_was() -> None:
    learner, suggested, _ = model(right=1.0)
    rows = np.arange(9)
    then = (suggested[rows] + 1) % 3  # what people saw, before the votes said otherwise
    wrong = learner.wrong(rows, then, np.ones(9, int))
    blamed = learner.wrong(rows, suggested[rows], np.ones(9, int))
    assert wrong[9:].mean() < blamed[9:].mean() - 0.1


def test_many_labels_and_labels_that_no_review_has_seen_are_no_obstacle() -> None:
    learner, suggested, is_wrong = model(n_labels=40, voters=22)
    for rows in (np.array([0]), np.arange(30)):
        wrong = learner.wrong(rows, suggested[rows], is_wrong[rows])
        assert np.isfinite(wrong).all()
        assert ((wrong >= 0) & (wrong <= 1)).all()


# Verdicts


def test_a_verdict_is_on_what_was_shown(shown_and_answered: Any) -> None:
    curated, shown = shown_and_answered
    assert verdicts_of(curated, shown) == {
        "kept": Verdict("a", is_wrong=False),
        "changed": Verdict("a", is_wrong=True),
        "then b": Verdict("b", is_wrong=True),
        "not shown": Verdict("a", is_wrong=False),
    }


@pytest.fixture
def shown_and_answered() -> Any:
    from datetime import UTC, datetime

    from tutelage.core.records import Record, Response, Shown, Voter
    from tutelage.core.records import Vote as VoteOf
    from tutelage.feedback.curate import curate

    at = datetime(2024, 1, 2, tzinfo=UTC)

    def answer(record: str, label: str | None, status: Any = "submitted", user: str = "ann") -> Response:
        return Response(
            record_id=record, user_id=user, annotator=user, status=status, label=label, reason="", updated_at=at
        )

    answers = {
        "kept": [answer("kept", "a")],
        "changed": [answer("changed", "b")],
        "then b": [answer("then b", "a")],
        "not shown": [answer("not shown", "a")],
        "discarded": [answer("discarded", None, "discarded")],
        "tied": [answer("tied", "a"), answer("tied", "b", user="bob")],
        "draft": [answer("draft", "b", "draft")],
    }
    votes = (VoteOf(voter=Voter("llm", "p"), raw="a", label="a"),)
    records = [Record(name, name, None, votes) for name in [*answers, "open"]]

    def seen(label: str | None) -> list[Shown]:
        return [Shown(label=label, reason="", score=1.0, agent="llm", since=datetime(2024, 1, 1, tzinfo=UTC))]

    shown = {name: seen("a") for name in answers} | {"then b": seen("b"), "not shown": seen(None)}
    return curate(records, answers, {}), shown


def test_a_ranker_ranks_again_and_again(shown_and_answered: Any) -> None:
    from tutelage.core.task import parse_task

    curated, shown = shown_and_answered
    task = parse_task("name: n\nlabels: [a, b]\n")
    ids = [item.record.id for item in curated]
    probs = pd.DataFrame(students(np.zeros(len(ids), int), 2), index=ids, columns=["a", "b"])
    ranker = Ranker(curated, task, probs)
    first, second = ranker.rank({"open"}, {}), ranker.rank({"open"}, verdicts_of(curated, shown))
    assert (first.by.reviewed, second.by.reviewed, second.by.wrong) == (0, 4, 2)
    assert first.ranks[0].label_quality == pytest.approx(0.8)
    assert second.ranks[0].label_quality < 0.8
    assert Ranker(curated, task, probs, method="cleanlab").rank({"open"}, verdicts_of(curated, shown)).by.reviewed == 0
