from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from training_data import WORDS, sentences, small_task, tiny_roberta

from tutelage.core import compute
from tutelage.core.arrays import Floats
from tutelage.core.compute import cores
from tutelage.core.errors import StudentError
from tutelage.core.workspace import Workspace
from tutelage.loaders.sources import Source
from tutelage.training.prediction.engines import selection as choosing
from tutelage.training.prediction.engines import torch as torch_engines
from tutelage.training.prediction.engines.agreement import SAMPLE
from tutelage.training.prediction.engines.classifier import EngineClassifier
from tutelage.training.prediction.engines.first_token import MODEL_TYPES
from tutelage.training.prediction.engines.network import network_of
from tutelage.training.prediction.engines.openvino import openvino_bf16
from tutelage.training.prediction.engines.selection import ENGINES, choose_engine, classifier_on
from tutelage.training.prediction.engines.torch import TorchEngine
from tutelage.training.prediction.job import PredictionJob
from tutelage.training.prediction.predict import predict
from tutelage.training.registry import find_student
from tutelage.training.students.encoder import EncoderStudent
from tutelage.training.students.frozen import FrozenStudent
from tutelage.training.students.head import Head
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

LABELS = tuple(WORDS)
LONG = "profit rose and " * 60
TEXTS = ["up", LONG, *(text for text, _ in sentences(60, seed=3)), LONG + "fell", "an émigré, 雪"]

MANY = TEXTS * (1 + SAMPLE // len(TEXTS))
"""As many as the check of an engine takes."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)]))


@pytest.fixture(scope="module")
def workspace(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = small_task(tmp_path_factory.mktemp("task"))
    train(made, parse_student(tiny, learning_rate=5e-3, epochs=6, max_length=40))
    return made


@pytest.fixture(scope="module")
def folder(workspace: Workspace) -> Path:
    return find_student(workspace.students).path


@pytest.fixture(scope="module")
def encoder(workspace: Workspace) -> EncoderStudent:
    student = find_student(workspace.students).load()
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
    classifier = EngineClassifier(network, TorchEngine(network, dtype="bf16"))
    found = classifier.compute(classifier.prepare(TEXTS))
    assert classifier.name == "torch bf16"
    assert np.abs(found - encoder.predict_proba(TEXTS)).max() < 0.1
    assert encoder.model.dtype.itemsize == 4  # the student itself stays as it was


def test_a_processor_without_bf16_and_a_machine_without_gpu(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch_engines, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for engine, why in (("torch-bf16", "does not support bf16"), ("cuda", "no GPU")):
        with pytest.raises(StudentError, match=f"--engine {engine}: .*{why}"):
            choose_engine(encoder, "encoder", tmp_path, TEXTS, engine, print)


def test_exports_are_made_once(encoder: EncoderStudent, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = probs_of(encoder, folder, "onnx", TEXTS)
    assert sorted(path.name[:5] for path in (folder / "exports").iterdir()) == ["fp32-", "int8-"]
    monkeypatch.setattr("torch.onnx.export", None)
    assert (probs_of(encoder, folder, "onnx", TEXTS) == first).all()


class Liar:
    """An engine that gives every text the same scores."""

    name, tokens_a_batch, workers, pads = "liar", 512, 1, True

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
        chosen, classifier = choose_engine(encoder, "encoder", tmp_path, MANY, wanted, said.append)
        assert chosen.name == classifier.name == "torch fp32"
        assert len(said) == 1
        assert "liar: the same label as torch on" in said[0]
        assert "below 99%, using the next engine" in said[0]


def test_one_that_agrees_is_taken_and_the_share_is_told(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, cuda=lambda _network: Liar(), torch_bf16=TorchEngine)
    said: list[str] = []
    chosen, _ = choose_engine(encoder, "encoder", tmp_path, MANY, "auto", said.append)
    assert (chosen.engine, chosen.name, chosen.agreement, chosen.sample) == ("torch-bf16", "torch fp32", 1.0, SAMPLE)
    assert said[1] == f"torch fp32: the same label as torch on 100.0% of {SAMPLE} texts"


class Broken(Liar):
    """An engine that can be made but does not compute."""

    name = "broken"

    def scores(self, _ids: Any, _mask: Any) -> Floats:
        raise RuntimeError("no kernel image for this GPU\nand more")


def test_one_that_fails_while_computing_is_passed_over_or_named(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, cuda=lambda _network: Broken(), torch_bf16=TorchEngine)
    said: list[str] = []
    assert choose_engine(encoder, "encoder", tmp_path, MANY, "auto", said.append)[0].engine == "torch-bf16"
    assert said[0] == ("cuda: this engine cannot run the student: no kernel image for this GPU; using the next engine")
    with pytest.raises(StudentError, match=r"--engine cuda: .*: no kernel image for this GPU; use --engine torch"):
        choose_engine(encoder, "encoder", tmp_path, TEXTS, "cuda", said.append)


def test_few_texts_are_not_worth_an_export(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, onnx=TorchEngine)
    many = TEXTS * (1 + choosing.FEW // len(TEXTS))
    assert choose_engine(encoder, "encoder", tmp_path, TEXTS, "auto", print)[0].engine == "torch"
    assert choose_engine(encoder, "encoder", tmp_path, many, "auto", print)[0].engine == "onnx"
    assert choose_engine(encoder, "encoder", tmp_path, [], "auto", print)[0].engine == "torch"


def test_a_window_that_long_texts_fill_is_worth_an_export(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, onnx=TorchEngine)
    monkeypatch.setattr(choosing, "FEW_CHARACTERS", sum(map(len, TEXTS)))
    assert choose_engine(encoder, "encoder", tmp_path, TEXTS, "auto", print)[0].engine == "onnx"
    assert choose_engine(encoder, "encoder", tmp_path, TEXTS[1:], "auto", print)[0].engine == "torch"


def test_a_library_that_fails_is_named(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no operator for this\nand more")

    monkeypatch.setattr("torch.onnx.export", fail)
    with pytest.raises(StudentError, match="--engine onnx: this engine cannot run the student: no operator for this;"):
        choose_engine(encoder, "encoder", tmp_path, TEXTS, "onnx", print)


def test_predict_names_the_engine_and_its_agreement(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    rows = [{"text": text} for text, _ in sentences(50, seed=8)]
    entry, said = find_student(workspace.students), list[str]()
    job = PredictionJob(
        workspace=workspace, entry=entry, source=Source(str(write_csv(rows))), out=str(tmp_path / "out.parquet")
    )
    done = predict(job, "onnx", say=said.append)
    assert done.engine in {"onnx int8", "torch bf16", "torch fp32"}
    assert said[0].startswith("onnx int8: the same label as torch on")
    own = entry.load().predict_proba([row["text"] for row in rows]).argmax(axis=1)
    labels = pd.read_parquet(tmp_path / "out.parquet")["label"]
    assert (labels == np.array(workspace.task.label_names)[own]).mean() > 0.9


@pytest.mark.parametrize("kind", sorted(MODEL_TYPES))
def test_a_lean_copy_scores_the_same_with_less(kind: str) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    config = AutoConfig.for_model(kind, vocab_size=60, num_labels=3, pad_token_id=1, **size)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    network = network_of(EncoderStudent(model, None, LABELS, 40), Path())
    assert network
    ids, mask = torch.randint(5, 60, (4, 20)), torch.ones((4, 20), dtype=torch.int64)
    mask[1, 7:], ids[1, 7:] = 0, 1
    lean = network.lean()
    for given in (mask, torch.ones_like(mask)):
        with torch.inference_mode(), FlopCounterMode(display=False) as before:
            own = network.module(ids, given)
        with torch.inference_mode(), FlopCounterMode(display=False) as after:
            found = lean(ids, given)
        assert torch.allclose(own, found, atol=1e-5)
        assert after.get_total_flops() < 0.75 * before.get_total_flops()
    assert own.std() > 1e-4  # scores that differ, else equal ones would show nothing


def test_another_kind_of_model_is_left_as_it_is() -> None:
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    model = DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=60, dim=32, hidden_dim=64, n_layers=1, n_heads=4)
    ).eval()
    network = network_of(EncoderStudent(model, None, LABELS, 40), Path())
    assert network
    ids, mask = torch.randint(5, 60, (2, 9)), torch.ones((2, 9), dtype=torch.int64)
    with torch.inference_mode():
        assert torch.equal(network.lean()(ids, mask), network.module(ids, mask))


def test_batches_are_computed_side_by_side_and_put_back_in_order(encoder: EncoderStudent) -> None:
    network = network_of(encoder, Path())
    assert network
    engine = Meeting(network)
    classifier = EngineClassifier(network, engine)
    found = classifier.compute(classifier.prepare(TEXTS))
    assert engine.met
    assert np.abs(found - encoder.predict_proba(TEXTS)).max() < 1e-5


class Meeting(TorchEngine):
    """Waits, in its first batch, until a second one is being computed."""

    workers, tokens_a_batch = 2, 64

    def __init__(self, network: Any) -> None:
        super().__init__(network, tokens_a_batch=64)
        self._barrier, self.met = threading.Barrier(2), False

    def scores(self, ids: Any, mask: Any) -> Floats:
        if not self.met:
            self._barrier.wait(30)
            self.met = True
        return super().scores(ids, mask)


@pytest.mark.parametrize(("flag", "first"), [("amx_bf16", "openvino"), ("avx512_bf16", "onnx")])
def test_auto_takes_what_is_faster_on_this_processor(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str, first: str
) -> None:
    engines(monkeypatch, openvino=TorchEngine, onnx=TorchEngine)
    monkeypatch.setattr(compute, "_flags", lambda: {flag})
    many = TEXTS * (1 + choosing.FEW // len(TEXTS))
    assert choose_engine(encoder, "encoder", tmp_path, many, "auto", print)[0].engine == first


@pytest.mark.parametrize(("wanted", "found"), [("3", 3), ("0", None), ("many", None), ("", None)])
def test_cores_are_those_that_the_process_may_use(
    wanted: str, found: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert cores() == (found or len(os.sched_getaffinity(0)))


def test_openvino_answers_once_before_threads_share_it(encoder: EncoderStudent, folder: Path) -> None:
    network = network_of(encoder, folder)
    assert network
    assert hasattr(openvino_bf16(network)._own, "request")  # two first calls at once hang now and then
