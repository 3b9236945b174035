"""A night without Argilla, what one would do, how long it may take, and what its champion says of new texts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from filed import Filed
from training_data import fill, make_workspace, sentences, tiny_roberta

from tutelage.core.errors import ServerError
from tutelage.core.locks import locked
from tutelage.core.pred_probs import read_pred_probs
from tutelage.core.records import Record, Vote, Voter
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.rows import text_key
from tutelage.loaders.voting.vote_matrix import vote_matrix
from tutelage.steps.retrain import LOCK
from tutelage.training.measures.drift import LEAST, prediction_drift
from tutelage.training.registry import find_student
from tutelage.views.history import read_history

Run = Callable[..., CompletedProcess[str]]
LABELS = ("up", "down", "flat")


# Answers from files only


def test_a_task_whose_answers_come_in_files_needs_no_argilla(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task")
    assert task.project.retrain().outcome == "nothing_new"
    task.answer(30)
    first = task.project.retrain()
    assert (first.outcome, first.new_answers, first.sent) == ("promoted", 30, True), first.message
    assert task.project.status().ranked > 0
    assert first.challenger
    assert first.challenger in Path(first.report).read_text("utf-8")
    quiet = task.project.retrain()
    assert (quiet.outcome, quiet.report) == ("nothing_new", "")
    task.answer(30)
    second = task.project.retrain()
    assert (second.outcome, second.new_answers, second.decisions) == ("kept", 30, 1), second.message
    assert not task.project.status().behind.evaluation


def test_a_challenger_that_could_not_be_compared_is_compared_by_the_next_run(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task")
    task.answer(30)
    champion = task.project.retrain().champion
    model = task.workspace.students / str(champion) / "head.npz"
    whole = model.read_bytes()
    model.write_bytes(b"{")
    task.answer(30)
    failed = task.project.retrain()
    assert (failed.outcome, failed.challenger is None) == ("failed", False), failed.message
    model.write_bytes(whole)
    assert task.project.plan_retrain().trains
    done = task.project.retrain()
    assert (done.challenger, done.new_answers, done.decisions) == (failed.challenger, 30, 1), done.message
    assert task.project.retrain().outcome == "nothing_new"


def test_a_report_that_breaks_undoes_no_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Filed(tmp_path / "task")
    task.answer(30)
    monkeypatch.setattr("tutelage.report.page.render_page", Mock(side_effect=KeyError("words")))
    done = task.project.retrain()
    assert (done.outcome, done.report, done.problems) == ("promoted", "", ["KeyError: 'words'"])
    assert read_history(task.root)[-1]["outcome"] == "promoted"


# Files of new texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_that_is_being_written_waits_for_a_later_run(tmp_path: Path, encoding: str) -> None:
    source = {"file": "new.csv", "id": "key", "encoding": encoding}
    task = Filed(tmp_path / "task", sources=[source])
    new = task.root / "new.csv"
    new.write_text("key,text\nn1,The board met in Rauma.\nn2,A branch cl", encoding)
    for done in (task.project.plan_retrain(), task.project.retrain()):
        assert (done.new_texts, len(done.problems)) == (0, 1)
        assert f"{new}: is still being written" in done.problems[0]
    new.write_text("key,text\nn1,The board met in Rauma.\nn2,A branch closed in Kemi.\n", encoding)
    done = task.project.retrain()
    assert (done.new_texts, done.problems) == (2, [])


def test_a_file_that_ends_within_a_line_and_rests_is_whole(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", sources=[{"file": "new.csv"}])
    (task.root / "new.csv").write_text("text\nThe board met in Rauma.", "utf-8")
    os.utime(task.root / "new.csv", (time.time() - 3600,) * 2)
    assert task.project.plan_retrain().new_texts == 1


def test_rows_that_cannot_be_used_are_told_once(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", sources=[{"file": "new.csv", "id": "key"}])
    (task.root / "new.csv").write_text("key,text\nn1,The board met in Rauma.\nr1,Not what r1 was.\n", "utf-8")
    said = f"{task.root / 'new.csv'}: has rows that cannot be used, 1 in all; rejects.jsonl says why"
    assert task.project.retrain().problems == [said]
    assert task.project.plan_retrain().problems == []
    assert task.project.retrain().problems == []


# A dry run


def test_a_dry_run_says_what_a_run_does_and_writes_nothing(tmp_path: Path, tutelage: Run) -> None:
    task = Filed(tmp_path / "task", sources=[{"file": "new.csv"}, {"file": "missing.csv"}], retrain={"keep": 1})
    task.bring("new.csv", ["The board met in Rauma.", "A branch closed in Kemi.", ""])
    task.answer(30)
    for _ in range(3):
        before = task.files()
        plan = json.loads(tutelage("retrain", "--dry-run", "--task", task.root, "--json").stdout)
        assert task.files() == before
        done = task.project.retrain()
        assert (plan["new_texts"], plan["new_answers"]) == (done.new_texts, done.new_answers)
        assert plan["trains"] == (done.challenger is not None)
        assert plan["problems"] == done.problems
        assert plan["removes"] == done.removed
        task.answer(30)
    assert [name.split("/")[0] for name in done.removed] == ["students", "reports"], (
        "the snapshot is the champion's too"
    )


def test_a_dry_run_of_a_task_without_texts_names_the_task(tmp_path: Path, tutelage: Run) -> None:
    root = make_workspace(tmp_path / "task").root
    done = tutelage("retrain", "--dry-run", "--task", root, ok=False)
    assert f"{root}/task.db: holds no records" in done.stderr


def test_a_dry_run_says_that_a_run_is_at_work_and_that_argilla_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Filed(tmp_path / "task")
    with locked(task.root / LOCK, on_wait=lambda _holder: None):
        assert task.project.plan_retrain().busy
    assert not task.project.plan_retrain().busy
    from tutelage.loaders.ledger import QUEUE, Ledger

    with Ledger(task.workspace.db) as ledger:
        ledger.use_dataset("somewhere", QUEUE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "empty"))
    with pytest.raises(ServerError, match="no Argilla is running"):
        task.project.plan_retrain()
    assert read_history(task.root) == []


# A time limit


def test_a_run_over_its_time_ends_between_steps_and_the_next_goes_on(tmp_path: Path, tutelage: Run) -> None:
    task = Filed(tmp_path / "task", sources=[{"file": "new.csv"}])
    task.bring("new.csv", ["The board met in Rauma."])
    task.answer(30)
    done = tutelage("retrain", "--task", task.root, "--time-limit", "0.0001s", "--json", ok=False)
    said = json.loads(done.stdout)
    assert (done.returncode, said["outcome"], said["new_texts"]) == (1, "failed", 1)
    assert "the next run goes on" in said["message"]
    again = task.project.retrain(time_limit=3600)
    assert (again.outcome, again.new_texts, again.new_answers) == ("promoted", 0, 30)
    assert task.project.status().behind.ranks == 0


def test_a_challenger_that_is_trained_is_compared_although_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or training that takes longer than the limit would never bring a champion where people answer every day."""
    task = Filed(tmp_path / "task")
    task.answer(30)
    now = iter([0.0, 0.0, 0.0])  # the beginning, after loading, after reading; later it is late
    monkeypatch.setattr("tutelage.steps.night.monotonic", lambda: next(now, 1e6))
    done = task.project.retrain(time_limit=3600)
    assert (done.outcome, done.sent, len(done.problems)) == ("promoted", False, 1), done.message
    assert "before the ranking" in done.problems[0]


def test_a_training_over_its_time_ends_at_a_checkpoint_from_which_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tutelage.core.records import CHECKPOINT_SAVED, Progress
    from tutelage.project import Project
    from tutelage.training.students.recipe import Recipe

    model = tiny_roberta(tmp_path / "tiny", [text for text, _ in sentences(50)])
    task = Filed(tmp_path / "task", count=80, student=str(model))
    monkeypatch.setattr(
        "tutelage.training.train.parse_student", lambda name, **_: Recipe(kind="encoder", model=name, epochs=2)
    )
    task.answer(20)
    now = iter([0.0, 0.0, 0.0])  # the beginning, after loading, after reading; later it is late
    monkeypatch.setattr("tutelage.steps.night.monotonic", lambda: next(now, 1e6))
    ended = task.project.retrain(time_limit=3600)
    assert (ended.outcome, ended.challenger) == ("failed", None)
    assert "at a checkpoint" in ended.message
    monkeypatch.setattr("tutelage.steps.night.monotonic", lambda: 0.0)
    states = list[Progress]()
    done = Project(task.root, progress=states.append).retrain(time_limit=3600)
    assert done.outcome == "promoted", done.message
    assert states.count(CHECKPOINT_SAVED) == 1, "of two epochs the first is not trained again"


# Drift


def _probabilities(shares: tuple[float, ...], count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(shares, size=count)


@pytest.mark.parametrize(("reference", "texts"), [(300, 300), (1000, 60)])
def test_drift_is_seldom_reported_where_there_is_none(reference: int, texts: int) -> None:
    """In 400 comparisons without drift about 20 at the most; more than 32 have a probability of 1 in 200."""
    found = [_probabilities((6, 3, 1), reference + texts, seed) for seed in range(400)]
    verdicts = [prediction_drift("s", LABELS, each[:reference], each[reference:]).verdict for each in found]
    assert 2 <= verdicts.count("drift") <= 32


def test_drift_of_labels_and_of_confidence_is_found() -> None:
    then = _probabilities((6, 3, 1), 400, 0)
    moved = prediction_drift("s", LABELS, then, _probabilities((3, 6, 1), 400, 1))
    assert moved.verdict == "drift"
    assert moved.labels["up"].then - moved.labels["up"].now > 0.3
    assert "up" in moved.message or "down" in moved.message
    unsure = prediction_drift("s", LABELS, then, 0.6 * _probabilities((6, 3, 1), 400, 1) + 0.4 / 3)
    assert unsure.verdict == "drift"
    assert unsure.low_confidence
    assert unsure.low_confidence.then == pytest.approx(0.1, abs=0.01)
    assert unsure.low_confidence.now > 0.3
    assert "low confidence" in unsure.message


@pytest.mark.parametrize("texts", [0, 1, LEAST - 1])
def test_few_texts_are_counted_and_not_tested(texts: int) -> None:
    found = prediction_drift("s", LABELS, _probabilities((6, 3, 1), 200, 0), _probabilities((6, 3, 1), texts, 1))
    assert (found.verdict, found.p_value, found.texts) == ("too few texts", None, texts)


def test_a_night_compares_new_texts_with_the_holdout_of_before(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", sources=[{"file": "new.csv"}])
    task.answer(30)
    first = task.project.retrain()
    assert first.drift is None
    new = [text for text, label in sentences(400, seed=8) if label == "up"]
    task.bring("new.csv", new)
    second = task.project.retrain()
    assert second.drift
    held = {record for record in task.gold if task.workspace.task.holds_out(record)}
    last = max(int(name[1:]) for name in load_snapshot(task.workspace.snapshots, first.snapshot).labels())
    assert second.drift.reference == sum(int(name[1:]) < last for name in held)
    assert second.drift.labels["up"].now > 0.8
    line = read_history(task.root)[-1]["drift"]
    assert (line["verdict"], line["student"], line["p_value"] < 0.001) == ("drift", first.champion, True)
    assert set(line["labels"]["up"]) == {"then", "now"}


# Texts without a vote, for which the champion suggests a label


def test_the_champion_suggests_for_texts_without_a_vote_and_no_student_learns_it(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", retrain={"new_texts": "student"}, sources=[{"file": "new.csv"}])
    task.answer(30)
    known = [text for text, _ in sentences(400, seed=3)][:2]
    new = [text for text, _ in sentences(30, seed=8)]
    task.bring("new.csv", [*known, *new])
    done = task.project.retrain()
    frame = task.project.records().set_index("text")
    open_ = frame.loc[new][~frame.loc[new]["held_out"]]
    assert done.proposed == len(open_) > 5
    cards = [task.project.show(name) for name in open_["id"]]
    assert {card.agent for card in cards} == {f"student:{done.champion}"}
    expected = task.project.predict(list(open_.index), student=done.champion or "")
    assert [card.suggestion for card in cards] == list(expected["label"])
    assert {card.agreement for card in cards} == {None}
    assert all(card.suspect_rank for card in cards)
    with Ledger(task.workspace.db) as ledger:
        before = {record.id: record for record in ledger.records(task.workspace.task)}
        assert not [record for record in before.values() if record.proposal and record.votes]
    task.answer(30)
    again = task.project.retrain()
    rows = load_snapshot(task.workspace.snapshots, again.snapshot).frame().set_index("id").loc[open_["id"]]
    assert set(rows["source"]) == {"student"}
    assert rows["label"].isna().all(), "a student's label is no label to learn"
    assert again.proposed == (len(open_) if again.outcome == "promoted" else 0)


def test_a_given_label_a_vote_and_an_answer_are_never_overridden(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", retrain={"new_texts": "student"})
    free = [name for name in ("n1", "n2", "n3", "n4", "n5", "n6") if not task.workspace.task.holds_out(name)][:4]
    given, voted, answered, bare = free
    vote = Vote(voter=Voter("tutor", "cot"), raw="who knows", label=None)
    made = [
        Record(given, "profit fell by 1 euros in Rauma", "flat"),
        Record(voted, "profit fell by 2 euros in Rauma", None, (vote,)),
        Record(answered, "profit fell by 3 euros in Rauma"),
        Record(bare, "profit fell by 4 euros in Rauma"),
    ]
    fill(task.workspace, made, {})
    task.project.import_review(pd.DataFrame({"id": [answered], "label": ["up"]}), annotator="ann")
    task.answer(30)
    done = task.project.retrain()
    assert done.proposed == 1
    cards = {name: task.project.show(name) for name in free}
    assert (cards[given].suggestion, cards[given].agent) == ("flat", "given")
    assert cards[voted].suggestion is cards[answered].suggestion is None
    assert cards[bare].agent == f"student:{done.champion}"


def test_in_the_ranking_the_champion_counts_once_and_only_where_it_did_not_train(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", retrain={"new_texts": "student"}, sources=[{"file": "new.csv"}])
    task.answer(30)
    task.bring("new.csv", [text for text, _ in sentences(30, seed=8)])
    champion = task.project.retrain().champion
    night = read_pred_probs(task.workspace.pred_probs, LABELS)
    task.project.rank(push=False)
    alone = read_pred_probs(task.workspace.pred_probs, LABELS)
    seen = find_student(task.workspace.students, champion or "").seen()
    with Ledger(task.workspace.db) as ledger:
        records = {record.id: record for record in ledger.records(task.workspace.task)}
    trained = [name for name in night.index if text_key(records[name].text) in seen]
    others = [name for name in night.index if name not in set(trained)]
    assert np.allclose(night.loc[trained], alone.loc[trained])
    predicted = task.project.predict([records[name].text for name in others], student=champion or "")
    assert np.allclose(night.loc[others], predicted.drop(columns="label"))
    proposed = [records[name] for name in others if records[name].proposal]
    assert proposed
    assert vote_matrix(proposed, task.workspace.task).shape == (len(proposed), 0)


def test_a_champion_whose_training_texts_are_unknown_has_no_word_and_ends_no_night(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", retrain={"new_texts": "student"}, sources=[{"file": "new.csv"}])
    task.answer(30)
    champion = task.project.retrain().champion
    task.bring("new.csv", [text for text, _ in sentences(30, seed=8)])
    (task.workspace.students / str(champion) / "seen.json").unlink()
    done = task.project.retrain()
    assert (done.outcome, done.proposed, done.drift, done.sent) == ("nothing_new", 0, None, True), done.message
    assert "training texts" in done.problems[-1]
