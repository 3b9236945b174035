"""Which suggestions look wrong: scores and order, on arrays whose answer is known."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tutelage.core.errors import TutelageError
from tutelage.core.pred_probs import read_pred_probs, write_pred_probs
from tutelage.core.records import Rank, Record, Response, Vote, Voter
from tutelage.core.task import parse_task
from tutelage.feedback.curate import Curated, curate
from tutelage.feedback.ranking.label_quality import label_quality, rank_by_quality
from tutelage.feedback.ranking.rank_records import rank_records, suggested_labels
from tutelage.loaders.consensus import suggest
from tutelage.loaders.voting.vote_matrix import vote_matrix

TASK = parse_task("name: n\nlabels: [a, b, c]\nqueue: 3\n")
NO = -1


def quality(suggested: Any, votes: Any, probs: Any, method: Any = "crowdlab") -> np.ndarray[Any, Any]:
    return label_quality(
        np.array(suggested),
        np.array(votes, dtype=int).reshape(len(suggested), -1),
        np.array(probs, dtype=float),
        method=method,
    )


def confident(labels: Any, n_labels: int = 3, sure: float = 0.8) -> np.ndarray[Any, Any]:
    """Probabilities of a student that says these labels."""
    probs = np.full((len(labels), n_labels), (1 - sure) / (n_labels - 1))
    probs[np.arange(len(labels)), labels] = sure
    return probs


# Scores


PROBS = [[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6]]


def test_without_votes_the_score_is_what_the_student_gives_the_suggestion() -> None:
    assert quality([0, 2, 1], [[], [], []], PROBS) == pytest.approx([0.7, 0.4, 0.2])


def test_one_voter_alone_is_no_crowd() -> None:
    assert quality([0, 2, 1], [[0], [2], [1]], PROBS) == pytest.approx([0.7, 0.4, 0.2])


def test_voters_who_never_meet_or_never_agree_are_no_crowd() -> None:
    assert quality([0, 2, 1], [[0, NO], [NO, 2], [1, NO]], PROBS) == pytest.approx([0.7, 0.4, 0.2])
    assert quality([0, 2, 1], [[0, 1], [2, 0], [1, 2]], PROBS) == pytest.approx([0.7, 0.4, 0.2])
    assert quality([1, 0], [[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]) == pytest.approx([0.5, 0.5])


def test_nothing_suggested_scores_nothing() -> None:
    assert quality([NO, 2, 1], [[NO, NO], [2, 2], [1, 1]], PROBS)[0] == 0
    assert quality([NO, NO], [[NO], [NO]], PROBS[:2]).tolist() == [0, 0]
    none = np.empty((0, 3))
    assert label_quality(none[:, 0].astype(int), none.astype(int), none).tolist() == []


def crowd() -> tuple[Any, Any, Any]:
    """30 records, 3 voters: record 7's suggestion has most votes, yet the best voter and the student say otherwise."""
    truth = np.arange(30) % 3
    votes = np.stack([truth, truth, truth], axis=1)
    votes[::4, 1] = (truth[::4] + 1) % 3  # the second voter is often wrong
    votes[1::5, 2] = (truth[1::5] + 2) % 3  # and so is the third
    votes[7] = [1, 2, 2]
    suggested = truth.copy()
    suggested[7] = 2
    return suggested, votes, confident(truth)


def test_a_wrong_suggestion_that_bad_voters_made_is_found() -> None:
    scores = quality(*crowd())
    assert scores.argmin() == 7
    assert scores[7] < np.delete(scores, 7).min() - 0.25


def test_the_scores_do_not_depend_on_the_order_of_records_voters_or_labels() -> None:
    suggested, votes, probs = crowd()
    scores = quality(suggested, votes, probs)
    rows = np.random.default_rng(1).permutation(len(suggested))
    assert quality(suggested[rows], votes[rows], probs[rows]) == pytest.approx(scores[rows])
    assert quality(suggested, votes[:, [2, 0, 1]], probs) == pytest.approx(scores)
    new = np.array([2, 0, 1])  # label i is now called new[i]
    assert quality(new[suggested], new[votes], probs[:, np.argsort(new)]) == pytest.approx(scores)


def test_wrong_order_of_columns_would_be_seen() -> None:
    suggested, votes, probs = crowd()
    assert quality(suggested, votes, probs[:, [1, 0, 2]]).argmin() != 7


def test_the_suggestion_is_scored_and_not_the_consensus() -> None:
    votes, probs = [[0, 0, 1], *[[i % 3] * 3 for i in range(9)]], confident([0, *(i % 3 for i in range(9))])
    others = [i % 3 for i in range(9)]
    of_majority, of_minority = quality([0, *others], votes, probs)[0], quality([1, *others], votes, probs)[0]
    assert of_minority < 0.5 < of_majority


def test_a_suggestion_that_nobody_voted_has_the_students_word() -> None:
    suggested, votes, probs = crowd()
    suggested[3] = (votes[3, 0] + 1) % 3
    assert suggested[3] not in votes[3]
    votes[5] = NO  # and so has one on which nobody voted
    scores = quality(suggested, votes, probs)
    assert scores[[3, 5]] == pytest.approx(probs[[3, 5], suggested[[3, 5]]])
    assert scores.argsort()[:2].tolist() == [3, 7]


def test_a_voter_who_always_abstained_changes_nothing() -> None:
    suggested, votes, probs = crowd()
    more = np.column_stack([np.full(len(votes), NO), votes])
    assert quality(suggested, more, probs) == pytest.approx(quality(suggested, votes, probs))


def test_a_label_that_nobody_voted_is_no_obstacle() -> None:
    votes = [[0, 0], [2, 2], [0, 2]]
    assert quality([0, 2, 0], votes, PROBS).argmin() == 2


def test_a_score_is_a_probability_whatever_the_votes() -> None:
    draw = np.random.default_rng(3)
    for _ in range(60):
        n, voters, k = draw.integers(1, 7), draw.integers(1, 4), draw.integers(2, 4)
        votes = draw.integers(-1, k, (n, voters))
        suggested = np.array([row[row >= 0][0] if (row >= 0).any() else NO for row in votes])
        probs = draw.dirichlet(np.full(k, 0.3), n) if draw.random() < 0.5 else np.full((n, k), 1 / k)
        scores = label_quality(suggested, votes, probs)
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()


def test_the_last_ties_of_cleanlab_are_drawn_the_same_way_each_time() -> None:
    votes = [[NO, 0, 1], [1, NO, 0], [0, NO, 1], [1, 1, NO], [0, NO, 1], [0, 0, 0], [1, NO, NO]]
    suggested, sure = [0, 1, 0, 1, 0, 0, 1], [0.5, 0.8, 0.5, 0.8, 0.8, 0.5, 0.5]
    probs = [[p, 1 - p] for p in sure]
    runs = []
    for seed in range(5):
        np.random.seed(seed)  # noqa: NPY002  # the generator that cleanlab uses
        runs.append(quality(suggested, votes, probs).tolist())
        after = np.random.random()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        assert after == np.random.random(), "nobody else's draws change"  # noqa: NPY002
    assert all(run == runs[0] for run in runs)


# Order


def test_no_suggestion_first_then_by_quality() -> None:
    ranks = rank_by_quality(["a", "b", "c", "d"], np.array([0, NO, 1, 0]), np.array([0.3, 0.0, 0.0, 0.2]), seed=0)
    assert [(r.record_id, r.suspect_rank) for r in ranks] == [("b", 1), ("c", 2), ("d", 3), ("a", 4)]
    assert [r.label_quality for r in ranks] == [0.0, 0.0, 0.2, 0.3]


def test_ties_are_broken_by_the_seed_and_not_by_the_order_of_the_file() -> None:
    ids, none = [f"r{i}" for i in range(30)], np.zeros(30, dtype=int)

    def ranked(names: list[str], seed: int) -> list[str]:
        return [r.record_id for r in rank_by_quality(names, none, np.full(30, 0.5), seed=seed)]

    first = ranked(ids, 0)
    assert ranked(ids[::-1], 0) == first
    assert first not in (ids, ids[::-1], sorted(ids))
    assert len({tuple(ranked(ids, seed)) for seed in range(5)}) == 5


# Records


def record(name: str, *labels: str | None, given: str | None = None) -> Record:
    votes = tuple(Vote(voter=Voter("llm", "p", n), raw=label or "?", label=label) for n, label in enumerate(labels, 1))
    return Record(name, f"text {name}", given, votes)


def answered(name: str, user: str = "ann", status: Any = "submitted") -> Response:
    return Response(
        record_id=name,
        user_id=user,
        annotator=user,
        status=status,
        label="a",
        reason="",
        updated_at=datetime(2024, 1, 1, tzinfo=UTC),
    )


def curated(records: list[Record], *responses: Response) -> list[Curated]:
    by_id = {name: list(group) for name, group in itertools.groupby(responses, key=lambda r: r.record_id)}
    return curate(records, by_id, {})


def frame(records: list[Record], probs: Any) -> pd.DataFrame:
    return pd.DataFrame(probs, index=[r.id for r in records], columns=list(TASK.label_names))


def test_votes_become_a_matrix_with_a_column_for_each_voter() -> None:
    records = [record("1", "a", None, "c"), record("2"), record("3", "b", given="c")]
    assert vote_matrix(records, TASK).tolist() == [[NO, 0, 2], [NO, NO, NO], [2, 1, NO]]
    assert suggested_labels(curated(records), TASK).tolist() == [0, NO, 2]
    assert vote_matrix([record("1"), record("2", None)], TASK).shape == (2, 0)


def test_given_labels_without_votes_are_ranked_by_the_student() -> None:
    records = [record("1", given="a"), record("2", given="b"), record("3", given="c")]
    ranks, _ = rank_records(curated(records), TASK, frame(records, PROBS))
    assert [(r.record_id, r.label_quality) for r in ranks] == [("2", 0.5), ("3", 0.6), ("1", 0.7)]


def test_records_that_people_settled_get_no_rank_and_the_others_close_up() -> None:
    records = [record(str(i), "a", "a", "a") for i in range(5)] + [record("x", None, None, None)]
    people = [answered("1"), answered("2", status="draft"), answered("3", status="discarded")]
    ranks, _ = rank_records(curated(records, *people), TASK, frame(records, confident([0, 1, 0, 1, 2, 0])))
    assert {r.record_id for r in ranks} == {"0", "2", "4", "x"}
    assert [r.suspect_rank for r in ranks] == [1, 2, 3, 4]
    assert ranks[0].record_id == "x", "nothing but abstentions: looked at first"
    assert ranks[1].record_id == "4", "the student says otherwise"


def test_a_record_is_ranked_until_it_has_enough_answers() -> None:
    two = parse_task("name: n\nlabels: [a, b, c]\nargilla: {min_submitted: 2}\n")
    records = [record("1", "a"), record("2", "a")]
    people = [answered("1"), answered("2"), answered("2", "bob")]
    assert [r.record_id for r in rank_records(curated(records, *people), two, frame(records, PROBS[:2])).ranks] == ["1"]


def test_the_rank_does_not_depend_on_the_order_of_records_or_probabilities() -> None:
    records = [record(str(i), "abc"[i % 3], "abc"[i % 3], "abc"[(i // 2) % 3]) for i in range(20)]
    probs = frame(records, confident([(i // 3) % 3 for i in range(20)]))
    there = {r.record_id: r for r in rank_records(curated(records), TASK, probs).ranks}
    back = {
        r.record_id: r for r in rank_records(curated(records[::-1]), TASK, probs.sample(frac=1, random_state=0)).ranks
    }
    assert {name: r.suspect_rank for name, r in there.items()} == {name: r.suspect_rank for name, r in back.items()}


def test_each_suggestion_has_a_voter() -> None:
    """What lets CROWDLAB score it; the other case is caught all the same."""
    for labels in itertools.product(["a", "b", None], repeat=3):
        for given in (None, "c"):
            one = record("1", *labels, given=given)
            found = suggest(one)
            assert found is None or TASK.label_names.index(found.label) in vote_matrix([one], TASK)[0]


# The file of probabilities


def test_probabilities_come_back_by_id_in_the_tasks_order(tmp_path: Path) -> None:
    write_pred_probs(tmp_path / "p.parquet", ["x", "y"], ["id", "b"], np.array([[0.1, 0.9], [0.6, 0.4]]))
    read = read_pred_probs(tmp_path / "p.parquet", ["id", "b"])
    assert list(read.columns) == ["id", "b"]
    assert read.loc["y"].tolist() == [0.6, 0.4]


@pytest.mark.parametrize("labels", [["b", "a"], ["a"], ["a", "b", "c"], ["a", "x"]])
def test_probabilities_for_other_labels_or_another_order_are_refused(tmp_path: Path, labels: list[str]) -> None:
    write_pred_probs(tmp_path / "p.parquet", ["x"], ["a", "b"], np.array([[0.1, 0.9]]))
    with pytest.raises(TutelageError, match="the task's labels are"):
        read_pred_probs(tmp_path / "p.parquet", labels)


def test_a_rank_says_where_a_record_stands() -> None:
    assert Rank("r", 0.5, 1) == rank_by_quality(["r"], np.array([0]), np.array([0.5]), seed=3)[0]
