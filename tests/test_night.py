"""A night without Argilla, what one would do, how long it may take, and what its champion says of new texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from filed import Filed
from training_data import sentences, tiny_roberta

from tutelage.core.errors import ServerError
from tutelage.core.locks import locked
from tutelage.feedback.snapshot import load_snapshot
from tutelage.steps.retrain import LOCK
from tutelage.training.measures.drift import LEAST, prediction_drift
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
    assert task.project.retrain().outcome == "nothing_new"
    task.answer(30)
    second = task.project.retrain()
    assert (second.outcome, second.new_answers, second.decisions) == ("kept", 30, 1), second.message


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
    assert len(done.removed) == 1, "the first challenger's snapshot is the champion's, the second's is not"


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
