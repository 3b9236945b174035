"""The check of an engine against torch: on texts the student was not trained on, the same for every step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from training_data import sentences, small_task, tiny_roberta

from tutelage.core.arrays import Floats, Ints
from tutelage.core.errors import StudentError
from tutelage.core.records import Record
from tutelage.core.workspace import Workspace
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.rows import text_key
from tutelage.loaders.sources import Source
from tutelage.training.check_texts import check_texts
from tutelage.training.prediction.engines import selection as choosing
from tutelage.training.prediction.engines.agreement import ENOUGH_UNSEEN, SAMPLE, check_sample
from tutelage.training.prediction.engines.selection import ENGINES, choose_engine
from tutelage.training.prediction.engines.torch import TorchEngine
from tutelage.training.prediction.job import PredictionJob
from tutelage.training.prediction.predict import predict
from tutelage.training.prediction.ray_cluster import _choose_remotely
from tutelage.training.prediction.serving.batching import ready_student
from tutelage.training.prediction.texts import predict_texts
from tutelage.training.registry import Entry, find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

NEW = [text for text, _ in sentences(900, seed=77)]


def trained(root: Path) -> Workspace:
    """A task with a small encoder; nothing in it is unlabelled."""
    tiny = tiny_roberta(root / "tiny", [text for text, _ in sentences(240)])
    made = small_task(root / "task")
    train(made, parse_student(str(tiny), learning_rate=5e-3, epochs=3, max_length=40))
    return made


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return trained(tmp_path_factory.mktemp("few"))


@pytest.fixture
def many(few: Workspace) -> Workspace:
    """The same with unlabelled records; no check was made yet."""
    with Ledger(few.db) as ledger:
        ledger.add([Record(f"new{number}", text) for number, text in enumerate(NEW)])
    for path in (entry_of(few).path / "exports").glob("check-*"):
        path.unlink()
    return few


def entry_of(workspace: Workspace) -> Entry:
    return find_student(workspace.students)


def no_word(_words: str) -> None:
    pass


def job(workspace: Workspace, source: Path, out: Path) -> PredictionJob:
    return PredictionJob(workspace=workspace, entry=entry_of(workspace), source=Source(str(source)), out=str(out))


def test_with_few_new_texts_those_of_the_training_fill_the_sample_up(few: Workspace) -> None:
    unseen, known = check_texts(few, entry_of(few), SAMPLE)
    entry = entry_of(few)
    assert entry.validated() <= set(map(text_key, unseen))
    assert entry.validated()
    assert 0 < len(unseen) < ENOUGH_UNSEEN
    assert set(map(text_key, known)) == entry.seen() - entry.validated()
    checked = check_sample(lambda: (unseen, known), ["a text to predict"])
    assert (checked.texts, checked.unseen) == ([*unseen, *known], len(unseen))


def test_enough_new_texts_are_taken_alone_and_never_the_holdout(many: Workspace) -> None:
    unseen, known = check_texts(many, entry_of(many), SAMPLE)
    assert len(unseen) == SAMPLE
    fitted_on = entry_of(many).seen() - entry_of(many).validated()
    held = held_out(many)
    assert not [text for text in unseen if text_key(text) in fitted_on or Record("", text) in held]
    assert held.texts
    assert check_sample(lambda: (unseen, known), []).texts == unseen


def test_a_student_without_its_task_is_checked_on_what_is_predicted(few: Workspace, tmp_path: Path) -> None:
    copied = Workspace(tmp_path)
    assert check_texts(copied, entry_of(few), SAMPLE) == ([], [])
    assert check_sample(lambda: ([], []), NEW).unseen is None
    assert len(check_sample(lambda: ([], []), NEW).texts) == SAMPLE


class Memory(TorchEngine):
    """Agrees with torch on the texts of the training; elsewhere it says the opposite of it."""

    known: frozenset[bytes]

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        found, name = super().scores(ids, mask), self.known
        wrong = [row for row, one in enumerate(ids) if one[mask[row] > 0].tobytes() not in name]
        found[wrong] *= -1
        return found


class Crowded(TorchEngine):
    """A text's answer depends on how many there are."""

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        self.name, self.pads = "crowded", False

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        return super().scores(ids, mask) * (1.0 if len(ids) == 1 else 1.2)


def only(monkeypatch: pytest.MonkeyPatch, engine: Callable[[Any], Any]) -> None:
    """Beside the reference there is one engine."""
    real = choosing._make

    def make(name: str, network: Any) -> Any:
        if name == "torch":
            return real(name, network)
        if name == "torch-bf16":
            return engine(network)
        raise StudentError("not here")

    assert {"torch", "torch-bf16"} < set(ENGINES)
    monkeypatch.setattr(choosing, "_make", make)


def test_predict_and_serve_student_come_to_the_same_verdict(
    many: Workspace, tmp_path: Path, write_csv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of(many)
    student = entry.load()
    assert hasattr(student, "tokenizer")
    known = [text for text, _ in sentences(240) if text_key(text) in entry.seen()]
    tokens = student.tokenizer(known, truncation=True, max_length=40)["input_ids"]
    Memory.known = frozenset(np.array(ids).tobytes() for ids in tokens)
    only(monkeypatch, Memory)
    served, said = list[str](), list[str]()
    chosen, _ = ready_student(many, entry, "auto", served.append)
    source = write_csv([{"text": text} for text in known * 8])  # an engine's best case: all of them are of the training
    done = predict(job(many, source, tmp_path / "out.parquet"), "auto", say=said.append)
    ray = _choose_remotely(many.students, entry.id, known * 8, job(many, source, tmp_path / "out").sample())
    assert chosen.name == done.engine == ray.name == "torch fp32"
    assert served == said
    assert f"of {SAMPLE} texts that the student was not trained on; that is below 99%" in said[0]


def test_a_verdict_is_kept_for_the_next_call(many: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, TorchEngine)
    entry = entry_of(many)
    first, _ = ready_student(many, entry, "auto", no_word)
    (file,) = (entry.path / "exports").glob("check-torch-bf16-*.json")
    assert json.loads(file.read_text("utf-8"))["unseen"] == first.sample == SAMPLE
    monkeypatch.setattr(choosing, "compared_with_torch", None)  # a second check would fail
    said: list[str] = []
    student = entry.load()
    again, _ = choose_engine(student, "encoder", entry.path, NEW[:20], "auto", said.append)
    assert again == first
    assert said == ["torch fp32: the same label as torch on 100.0% of 256 texts that the student was not trained on"]
    file.write_text("{", "utf-8")  # damaged: it is as if there were none
    assert choose_engine(student, "encoder", entry.path, NEW[:20], "auto", no_word)[0].verdict is None


def test_one_whose_answers_depend_on_the_batch_is_used_by_name_only(
    many: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, Crowded)
    said: list[str] = []
    assert ready_student(many, entry_of(many), "auto", said.append)[0].name == "torch fp32"
    assert "crowded: a probability changes by up to 0.0" in said[1]
    assert said[1].endswith("with the other texts of its batch; using the next engine")
    chosen, _ = ready_student(many, entry_of(many), "torch-bf16", said.append)
    assert chosen.name == "crowded"
    assert said[-1].endswith("with the other texts of its batch")


def test_every_way_gives_the_same_last_decimal(many: Workspace, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    out = tmp_path / "out.parquet"
    predict(job(many, write_csv([{"text": text} for text in NEW]), out), "onnx")
    columns = [f"prob_{name}" for name in many.task.label_names]
    chosen, classifier = ready_student(many, entry_of(many), "onnx", no_word)
    assert chosen.name == "onnx int8"
    alone = np.concatenate([classifier.compute(classifier.prepare([text])) for text in NEW[:100]])
    assert (alone.round(6) == pd.read_parquet(out)[columns].to_numpy()[:100]).all()  # what files hold
    assert (alone == predict_texts(many, NEW[:100], engine="onnx")[columns].to_numpy()).all()
