"""How much voters count: weights found without gold, and consensus with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from training_data import make_workspace

from tutelage.core.records import Record, Vote, Voter
from tutelage.core.task import parse_task
from tutelage.feedback.argilla.payload import VOTES, payload_of
from tutelage.loaders.consensus import consensus, suggest
from tutelage.loaders.voting.vote_matrix import consensus_weights, weighed
from tutelage.loaders.voting.voter_weights import kappa, voter_weights
from tutelage.project import Project

TASK = parse_task("name: n\nlabels: [a, b, c]\n")
NO = -1


def crowd(count: int = 400, right: tuple[float, ...] = (0.85, 0.8, 0.75, 0.0)) -> tuple[Any, Any]:
    """True labels and votes; a voter is right with the given probability, the last one of the default never."""
    draw = np.random.default_rng(0)
    gold = draw.integers(0, 3, count)
    others = (gold[:, None] + draw.integers(1, 3, (count, len(right)))) % 3
    return gold, np.where(draw.random(others.shape) < right, gold[:, None], others)


def records_of(votes: Any, given: str | None = None) -> list[Record]:
    return [
        Record(
            f"r{row}",
            f"text {row}",
            given,
            tuple(Vote(voter=Voter(f"v{v}", "p"), raw="", label="abc"[said]) for v, said in enumerate(labels)),
        )
        for row, labels in enumerate(votes)
    ]


def share_right(records: list[Record], gold: Any) -> float:
    return float(
        np.mean([found.label == "abc"[k] for r, k in zip(records, gold, strict=True) if (found := suggest(r))])
    )


def test_a_weight_follows_from_the_agreement_with_the_others_and_one_who_is_always_wrong_has_none() -> None:
    weights = voter_weights(crowd()[1], 3)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] > weights[1] > 0.5
    assert weights[0] > weights[2] > 0.5
    assert weights[3] == 0


def test_kappa_is_cohens() -> None:
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    gold, votes = crowd()
    for voter in range(3):
        table = confusion_matrix(gold, votes[:, voter]).astype(float)
        assert kappa(table) == pytest.approx(cohen_kappa_score(gold, votes[:, voter]))
    assert kappa(np.zeros((3, 3))) == kappa(np.diag([5.0, 0, 0])) == 0


@pytest.mark.parametrize(
    "votes", [np.empty((3, 0), int), np.full((3, 2), NO), [[0], [1]], [[0, 1], [1, 2]], [[0, 0]] * 9]
)
def test_where_nothing_tells_voters_apart_they_count_the_same(votes: Any) -> None:
    votes = np.array(votes)
    assert voter_weights(votes, 3).tolist() == [1.0] * votes.shape[1]


def test_parts_make_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = voter_weights(crowd()[1], 3)
    monkeypatch.setattr("tutelage.loaders.voting.voter_weights.AT_ONCE", 21)
    assert voter_weights(crowd()[1], 3).tolist() == whole.tolist()


def test_weighing_is_right_more_often_than_counting_where_one_of_four_is_an_adversary() -> None:
    gold, votes = crowd()
    plain = records_of(votes)
    tied = [i for i, row in enumerate(votes) if (found := consensus([*map(str, row)])) and found.tie]
    better = weighed(plain, consensus_weights(plain, TASK))
    assert share_right(better, gold) > share_right(plain, gold) + 0.03
    ties = [[records[i] for i in tied] for records in (plain, better)]
    assert share_right(ties[1], gold[tied]) > share_right(ties[0], gold[tied]) + 0.1


def test_three_voters_and_given_labels_are_not_weighed() -> None:
    three = records_of(crowd()[1][:, 1:])
    assert consensus_weights(three, TASK) == {}
    given = records_of(crowd()[1], given="c")
    found = [suggest(record) for record in weighed(given, consensus_weights(given, TASK))]
    assert {each.label for each in found if each} == {"c"}
    assert {each.outweighed for each in found if each} == {()}


def test_weights_stay_until_one_moves_far() -> None:
    records = records_of(crowd()[1])
    first = consensus_weights(records, TASK)
    assert consensus_weights(records[:390], TASK) != first
    assert consensus_weights(records[:390], TASK, first) == first
    assert consensus_weights(records[:20], TASK, first) != first


def test_near_equals_are_a_tie_which_the_heavier_takes() -> None:
    assert consensus(["a", "b"], [1.0, 1.05]) == ("b", True)
    assert consensus(["a", "b"], [1.0, 1.2]) == ("b", False)
    assert consensus(["a", None, "b"], [0.0, 9.0, 0.0]) == ("a", True)


def test_the_card_says_where_most_votes_say_otherwise() -> None:
    votes = tuple(
        Vote(voter=Voter(f"v{i}", "p"), raw="", label=label, weight=weight)
        for i, (label, weight) in enumerate([("a", 0.2), ("a", 0.3), ("b", 1.9), ("b", 0.1), ("a", 0.2)])
    )
    record = Record("r", "t", None, votes)
    found = suggest(record)
    assert found is not None
    assert (found.label, found.outweighed, found.tie) == ("b", ("a",), False)
    assert "Suggested is b, though a has as many votes or more" in payload_of(record, found, None, TASK).fields[VOTES]
    plain = suggest(Record("r", "t", None, votes[:1]))
    assert "Suggested" not in payload_of(record, plain, None, TASK).fields[VOTES]


def test_a_ranking_weighs_and_the_record_shows_it(tmp_path: Any) -> None:
    """An adversary and a voter without a clue against two good ones."""
    gold, votes = crowd(120, (0.95, 0.95, 0.3, 0.0))
    workspace = make_workspace(tmp_path / "t", labels=["a", "b", "c"])
    project = Project(workspace.root)
    frame = pd.DataFrame(
        {"id": [f"r{i}" for i in range(len(gold))], "text": [f"text number {i}" for i in range(len(gold))]}
    )
    for voter, said in enumerate(votes.T):
        frame[f"vote__{voter}"] = ["abc"[k] for k in said]
    project.import_votes(frame, text="text", id="id", votes=["vote__*"])
    assert project.show("r0").votes[3].weight == 1
    project.rank(push=False)
    weights = [vote.weight for vote in project.show("r0").votes]
    assert weights[3] == 0 < weights[2] < 1 < weights[1]
    split = next(i for i, row in enumerate(votes) if row[0] == row[1] != row[2] == row[3])
    card = project.show(f"r{split}")
    assert (card.suggestion, card.outweighed) == ("abc"[votes[split, 0]], ("abc"[votes[split, 2]],))
