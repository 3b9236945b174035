from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from training_data import WORDS, fill, freeze, make_workspace, records, sentences, small_task, tiny_roberta

from tutelage.core.errors import SnapshotError, StudentError
from tutelage.core.locks import locked
from tutelage.core.records import Progress, Record, Response
from tutelage.core.workspace import Workspace
from tutelage.loaders.holdout import held_out
from tutelage.loaders.rows import normalised, text_key
from tutelage.training.registry import find_student, list_students
from tutelage.training.students.encoder import EncoderStudent
from tutelage.training.students.fit import fit_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import TrainResult, train

FAST = {"learning_rate": 5e-3, "epochs": 6, "max_length": 40}


def quietly(workspace: Workspace, student: str = "linear", **options: float) -> TrainResult:
    return train(workspace, parse_student(student, **options))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)]))


def test_the_same_call_finds_the_finished_student(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    first, again = quietly(workspace), quietly(workspace)
    assert first.is_new
    assert not again.is_new
    assert first.id == again.id
    assert len(list_students(workspace.students)) == 1


def test_of_two_calls_at_once_the_second_waits_and_finds_the_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = small_task(tmp_path)
    is_training, is_waiting, said = threading.Event(), threading.Event(), []

    def slow_fit(*given: Any, **options: Any) -> Any:
        is_training.set()
        is_waiting.wait(5)
        return fit_student(*given, **options)

    def listen(state: Progress) -> None:
        said.append(state.step)
        if state.step.startswith("waiting"):
            is_waiting.set()

    monkeypatch.setattr("tutelage.training.train.fit_student", slow_fit)
    with ThreadPoolExecutor() as calls:
        first = calls.submit(quietly, workspace)
        assert is_training.wait(30)
        second = calls.submit(train, workspace, "linear", progress=listen)
    name = first.result().id
    assert said[-1] == f"waiting for another call that trains {name}"
    assert (first.result().is_new, second.result().is_new) == (True, False)
    assert second.result().id == name
    assert list(workspace.students.iterdir()) == [workspace.students / name]


def test_after_a_call_that_failed_the_next_one_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_given: Any, **_options: Any) -> Any:
        raise KeyboardInterrupt

    workspace = small_task(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tutelage.training.train.fit_student", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quietly(workspace)
    trained = quietly(workspace)
    assert trained.is_new
    assert list(workspace.students.iterdir()) == [workspace.students / trained.id]


def test_several_processes_do_not_wait_for_another_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = small_task(tmp_path)
    name = quietly(workspace).id
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        locked(workspace.students / f".lock-{name}", on_wait=lambda _holder: None),
        pytest.raises(StudentError, match=f"{name} is being trained by another call; run this again"),
    ):
        quietly(workspace)


def test_same_snapshot_same_student(tmp_path: Path, tiny: str) -> None:
    texts = [text for text, _ in sentences(20, seed=9)]
    for student in ("linear", tiny):
        probs = []
        for place in ("one", "two"):
            workspace = small_task(tmp_path / place)
            probs.append(
                find_student(workspace.students, quietly(workspace, student, **FAST).id).load().predict_proba(texts)
            )
            shutil.rmtree(tmp_path / place)
        assert (probs[0] == probs[1]).all(), student


def test_nothing_of_the_holdout_is_trained_on(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, holdout={"share": 0.3})
    rows = sentences(200)
    twins = [(f"  {text.replace(' ', '  ')}", gold) for text, gold in rows[:60]]
    near = [(f"{text}!", gold) for text, gold in rows[60:120]]
    made = records([*rows, *twins, *near])
    fill(workspace, made, {})
    freeze(workspace, made)
    out = held_out(workspace)
    assert 60 < len(out.ids) < 140
    trained = quietly(workspace)
    keys = find_student(workspace.students, trained.id).seen()
    assert keys
    assert not keys & {text_key(text) for text in out.texts}
    manifest = find_student(workspace.students, trained.id).manifest
    assert manifest.left_out["near_duplicates"] > 10
    held = {normalised(text).rstrip("!") for text in out.texts}
    marked = [record for record in made if record.id in manifest.near_duplicates]
    keys_out = {text_key(text) for text in out.texts}
    assert all(manifest.near_duplicates[record.id] in keys_out for record in marked)
    with_mark = {normalised(r.text) for r in made if normalised(r.text).rstrip("!") in held}
    assert not keys & {text_key(text) for text in with_mark}


def test_a_holdout_file_keeps_its_ids_and_texts_out(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, holdout={"file": "gold.csv"})
    made = records(sentences(100))
    fill(workspace, made, {})
    freeze(workspace, made)
    (tmp_path / "gold.csv").write_text(f"id,text\nr0,{made[0].text}\nelsewhere,{made[1].text}\nr2,\n", "utf-8")
    trained = quietly(workspace)
    keys = find_student(workspace.students, trained.id).seen()
    assert not keys & {text_key(made[i].text) for i in range(3)}
    assert trained.left_out["holdout"] == 3


def test_a_holdout_file_without_id_and_text_says_so(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, holdout={"file": "gold.csv"})
    made = records(sentences(30))
    fill(workspace, made, {})
    freeze(workspace, made)
    (tmp_path / "gold.csv").write_text("key\nr0\n", "utf-8")
    with pytest.raises(Exception, match="needs a column 'id' or 'text'; its columns: key"):
        quietly(workspace)


def test_rows_without_label_are_left_out_and_a_human_label_counts(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    made = records(sentences(60), wrong=0)
    fill(workspace, made, {})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    answers: dict[str, Sequence[Response]] = {
        "r0": [
            Response(
                record_id="r0", user_id="u", annotator="ann", status="discarded", label=None, reason="", updated_at=at
            )
        ],
        "r1": [
            Response(
                record_id="r1", user_id="u", annotator="ann", status="submitted", label="down", reason="", updated_at=at
            )
        ],
    }
    freeze(workspace, made, answers)
    trained = quietly(workspace)
    assert trained.left_out["no_label"] == 1
    assert trained.rows == 59
    assert text_key(made[0].text) not in find_student(workspace.students, trained.id).seen()


def test_an_encoder_learns_and_reloads_equal(tmp_path: Path, tiny: str) -> None:
    workspace = small_task(tmp_path)
    trained = quietly(workspace, tiny, **FAST)
    entry = find_student(workspace.students, trained.id)
    first, again = entry.load(), entry.load()
    texts = [text for text, _ in sentences(80, seed=5)]
    gold = np.array([list(WORDS).index(label) for _, label in sentences(80, seed=5)])
    probs = first.predict_proba(texts)
    assert (probs == again.predict_proba(texts)).all()
    assert (probs.argmax(axis=1) == gold).mean() > 0.45  # by chance a third
    assert not list(workspace.students.glob(".w*")), "work folders are gone"
    assert {path.suffix for path in entry.path.iterdir()} <= {".json", ".safetensors", ".md", ".png"}
    assert entry.manifest.training["validation_macro_f1"]
    assert entry.manifest.took.energy_kwh > 0


def test_probabilities_stay_with_their_texts_in_batches_of_any_length(tmp_path: Path, tiny: str) -> None:
    workspace = small_task(tmp_path)
    student = find_student(workspace.students, quietly(workspace, tiny, **FAST).id).load()
    assert isinstance(student, EncoderStudent)
    texts = [" ".join(["profit rose"] * n) for n in (1, 30, 2, 200, 3, 9)] + ["", "sales fell"] * 40
    together = student.predict_proba(texts)
    alone = np.vstack([student.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_hub_pipeline_reads_the_folder(tmp_path: Path, tiny: str) -> None:
    from transformers import pipeline

    workspace = small_task(tmp_path)
    entry = find_student(workspace.students, quietly(workspace, tiny, **FAST).id)
    text = "profit rose by 7 euros in Espoo"
    said = pipeline("text-classification", model=str(entry.path))(text, top_k=None)
    mine = dict(zip(WORDS, entry.load().predict_proba([text])[0], strict=True))
    assert {row["label"]: pytest.approx(row["score"], abs=1e-5) for row in said} == mine


def test_a_model_that_is_nowhere_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StudentError, match=r"--student no-such/model: cannot be loaded.*--student linear"):
        quietly(small_task(tmp_path), "no-such/model")


def test_weights_in_pickle_are_refused(tmp_path: Path, tiny: str) -> None:
    import torch
    from safetensors.torch import load_file

    copy = tmp_path / "pickled"
    shutil.copytree(tiny, copy)
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(StudentError, match="cannot be loaded"):
        quietly(small_task(tmp_path / "task"), str(copy))


def test_no_snapshot_and_nothing_to_learn_from_say_so(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    fill(workspace, records(sentences(5)), {})
    with pytest.raises(SnapshotError, match="tutelage pull"):
        quietly(workspace)
    freeze(workspace, [])
    with pytest.raises(SnapshotError, match=r"no rows to train on \(it has no records\); label more texts"):
        quietly(workspace)
    freeze(workspace, [Record(f"r{number}", text, None, ()) for number, (text, _) in enumerate(sentences(5))])
    with pytest.raises(SnapshotError, match=r"no rows to train on \(5 without a label\)"):
        quietly(workspace)


def test_labels_that_no_text_has_are_named(tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]) -> None:
    assert quietly(small_task(tmp_path / "all")).unseen_labels == ()
    workspace = make_workspace(tmp_path / "one")
    made = records([(text, label) for text, label in sentences(60) if label == "up"], wrong=0)
    fill(workspace, made, {})
    freeze(workspace, made)
    said = tutelage("train", "--student", "linear", "--task", workspace.root).stderr
    others = [label for label in WORDS if label != "up"]
    assert f"no text was labelled {', '.join(map(repr, others))}: not learned\n" in said


def test_a_half_written_student_is_no_student(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    trained = quietly(workspace)
    (Path(trained.path) / "student.json").unlink()
    assert list_students(workspace.students) == []
    assert quietly(workspace).is_new


@pytest.mark.parametrize(
    ("options", "said"), [({"epochs": 0}, "--epochs 0"), ({"validation": 1.0}, "--validation 1.0")]
)
def test_impossible_numbers_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(StudentError, match=said):
        parse_student("some/model", **options)


def test_the_command_prints_one_json_object(
    tmp_path: Path, tiny: str, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    small_task(tmp_path)
    done = tutelage("train", "--student", tiny, "--epochs", 1, "--task", tmp_path, "--json")
    trained = json.loads(done.stdout)
    assert trained["is_new"]
    assert trained["rows"] > 100
    assert done.stderr == ""


def test_auto_reads_snapshot_and_holdout_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, calls = small_task(tmp_path), Counter[str]()

    def count(module: str, name: str) -> None:
        function = getattr(import_module(module), name)
        monkeypatch.setattr(f"{module}.{name}", lambda *given, **more: calls.update([name]) or function(*given, **more))

    count("tutelage.training.train", "load_snapshot")
    count("tutelage.training.train", "held_out")
    count("tutelage.training.students.training_set", "near_duplicates")
    monkeypatch.setattr("tutelage.training.students.fit.find_spec", lambda _name: None)
    trained = train(workspace, "auto")
    assert trained.why.startswith("linear, because torch is not installed")
    assert calls == {"load_snapshot": 1, "held_out": 1, "near_duplicates": 1}
