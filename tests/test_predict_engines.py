from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from training_data import WORDS, sentences, small_task, tiny_roberta

from loaders.sources import Source
from training.encoder import EncoderStudent
from training.engines import choose as choosing
from training.engines import torch as torch_engines
from training.engines.choose import ENGINES, choose, classifier_on
from training.engines.classifier import EngineClassifier
from training.engines.network import network_of
from training.engines.torch import TorchEngine
from training.frozen import FrozenStudent
from training.head import Head
from training.predict import predict
from training.predict_job import Job
from training.recipe import parse_student
from training.registry import find
from training.student import Floats, load_student
from training.train import train
from tutelage.errors import StudentError
from tutelage.workspace import Workspace

LABELS = tuple(WORDS)
LONG = "profit rose and " * 60
TEXTS = ["up", LONG, *(text for text, _ in sentences(60, seed=3)), LONG + "fell", "an émigré, 雪"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)]))


@pytest.fixture(scope="module")
def workspace(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = small_task(tmp_path_factory.mktemp("task"))
    train(made, parse_student(tiny, learning_rate=5e-3, epochs=6, max_length=40), None, lambda _words: None)
    return made


@pytest.fixture(scope="module")
def folder(workspace: Workspace) -> Path:
    return find(workspace.students).path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> EncoderStudent:
    student = load_student(folder)
    assert isinstance(student, EncoderStudent)
    return student


@pytest.fixture(scope="module")
def frozen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frozen")


@pytest.fixture(scope="module")
def frozen(tiny: str) -> FrozenStudent:
    from sentence_transformers import SentenceTransformer

    body = SentenceTransformer(tiny)
    body.max_seq_length = 40
    width = body.get_embedding_dimension()
    coef = np.random.default_rng(0).normal(size=(3, width)) * 5
    return FrozenStudent(body, Head(coef, np.array([0.0, -np.inf, 0.1])), LABELS)


def probs_of(student: Any, folder: Path, engine: str, texts: list[str]) -> Floats:
    classifier = classifier_on(student, "encoder", folder, engine)
    return classifier.compute(classifier.prepare(texts))


@pytest.mark.parametrize(("engine", "close"), [("torch", 1e-5), ("openvino", 0.1), ("onnx", 0.15)])
def test_engines_say_what_the_student_says(encoder: EncoderStudent, folder: Path, engine: str, close: float) -> None:
    own, found = encoder.predict_proba(TEXTS), probs_of(encoder, folder, engine, TEXTS)
    assert found.shape == (len(TEXTS), 3)
    assert np.abs(found - own).max() < close
    assert (found.argmax(axis=1) == own.argmax(axis=1)).mean() > 0.9
    assert len(set(own.argmax(axis=1))) > 1  # else the line above shows nothing


@pytest.mark.parametrize(("engine", "close"), [("torch", 1e-5), ("openvino", 0.1), ("onnx", 0.15)])
def test_a_frozen_encoder_has_engines_too(
    frozen: FrozenStudent, frozen_folder: Path, engine: str, close: float
) -> None:
    own, found = frozen.predict_proba(TEXTS), probs_of(frozen, frozen_folder, engine, TEXTS)
    assert np.abs(found - own).max() < close
    assert found[:, 1].max() == 0  # a label that was never seen


def test_bf16_of_torch(encoder: EncoderStudent) -> None:
    network = network_of(encoder, Path())
    assert network
    classifier = EngineClassifier(network, TorchEngine(network, bf16=True))
    found = classifier.compute(classifier.prepare(TEXTS))
    assert classifier.name == "torch bf16"
    assert np.abs(found - encoder.predict_proba(TEXTS)).max() < 0.1
    assert encoder.model.dtype.itemsize == 4  # the student itself stays as it was


def test_a_processor_without_bf16_and_a_machine_without_gpu(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch_engines, "has_bf16", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for engine, why in (("torch-bf16", "does not compute in bf16"), ("cuda", "no GPU")):
        with pytest.raises(StudentError, match=f"--engine {engine}: .*{why}"):
            choose(encoder, "encoder", tmp_path, TEXTS, engine, print)


def test_exports_are_made_once(encoder: EncoderStudent, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = probs_of(encoder, folder, "onnx", TEXTS)
    assert sorted(path.name[:5] for path in (folder / "exports").iterdir()) == ["fp32-", "int8-"]
    monkeypatch.setattr("torch.onnx.export", None)
    assert (probs_of(encoder, folder, "onnx", TEXTS) == first).all()


class Liar:
    """An engine that gives every text the same scores."""

    name, tokens_a_batch = "liar", 512

    def scores(self, ids: Any, _mask: Any) -> Floats:
        return np.tile([9.0, 0.0, 0.0], (len(ids), 1))


def engines(monkeypatch: pytest.MonkeyPatch, **makers: Callable[[Any], Any]) -> None:
    """Replace some engines' makers; the others cannot be had here."""

    def cannot(_network: Any) -> Any:
        raise StudentError("not here")

    known = {name: makers.get(name.replace("-", "_"), cannot) for name in ENGINES if name != "torch"}
    real = choosing._make
    monkeypatch.setattr(choosing, "_make", lambda name, net: known[name](net) if name in known else real(name, net))


def test_one_that_does_not_agree_is_passed_over(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, torch_bf16=lambda _network: Liar())
    for wanted in ("auto", "torch-bf16"):
        said: list[str] = []
        chosen, classifier = choose(encoder, "encoder", tmp_path, TEXTS, wanted, said.append)
        assert chosen.name == classifier.name == "torch fp32"
        assert len(said) == 1
        assert "liar: the same label as torch on" in said[0]
        assert "under 99%, the next engine is taken" in said[0]


def test_one_that_agrees_is_taken_and_the_share_is_told(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, cuda=lambda _network: Liar(), torch_bf16=TorchEngine)
    said: list[str] = []
    chosen, _ = choose(encoder, "encoder", tmp_path, TEXTS, "auto", said.append)
    assert dataclasses.astuple(chosen) == ("torch-bf16", "torch fp32", 1.0, len(TEXTS))
    assert said[1] == f"torch fp32: the same label as torch on 100.0% of {len(TEXTS)} texts"


def test_few_texts_are_not_worth_an_export(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, onnx=TorchEngine)
    many = TEXTS * (1 + choosing.FEW // len(TEXTS))
    assert choose(encoder, "encoder", tmp_path, TEXTS, "auto", print)[0].engine == "torch"
    assert choose(encoder, "encoder", tmp_path, many, "auto", print)[0].engine == "onnx"
    assert choose(encoder, "encoder", tmp_path, [], "auto", print)[0].engine == "torch"


def test_a_library_that_fails_is_named(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no operator for this\nand more")

    monkeypatch.setattr("torch.onnx.export", fail)
    with pytest.raises(StudentError, match="--engine onnx: this student cannot be run by it: no operator for this;"):
        choose(encoder, "encoder", tmp_path, TEXTS, "onnx", print)


def test_predict_names_the_engine_and_its_agreement(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    rows = [{"text": text} for text, _ in sentences(50, seed=8)]
    entry, said = find(workspace.students), list[str]()
    job = Job(workspace, entry, Source(str(write_csv(rows))), str(tmp_path / "out.parquet"))
    done = predict(job, "onnx", say=said.append)
    assert done.engine in {"onnx int8", "torch bf16", "torch fp32"}
    assert said[0].startswith("onnx int8: the same label as torch on")
    own = entry.load().predict_proba([row["text"] for row in rows]).argmax(axis=1)
    labels = pd.read_parquet(tmp_path / "out.parquet")["label"]
    assert (labels == np.array(workspace.task.label_names)[own]).mean() > 0.9
