"""Families of models, each as a tiny one of random weights: trained, saved, and on every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, sentencepiece_only, tiny_model
from training_data import WORDS, sentences

from tutelage.core.arrays import Floats, one_hot
from tutelage.core.compute import cpu_has_bf16
from tutelage.core.errors import StudentError
from tutelage.training.prediction.engines.engine import Network
from tutelage.training.prediction.engines.export import plain_export
from tutelage.training.prediction.engines.network import network_of
from tutelage.training.prediction.engines.selection import classifier_on
from tutelage.training.students.encoder import new_encoder
from tutelage.training.students.fit import fit_student, load_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.students.training_set import TrainingSet

LABELS = tuple(WORDS)
ROWS = sentences(120)
LONG = "profit rose and " * 60
TEXTS = ["up", LONG, *(text for text, _ in sentences(30, seed=3)), LONG + "fell", "an émigré, 雪"]

NOT_EXPORTED = {"longformer", "xlnet"}
"""Families that torch cannot export to ONNX."""

QUICK = {"modernbert", "deberta-v2"}
EACH = [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.long) for kind in FAMILIES]


def training_set() -> TrainingSet:
    labels = np.array([LABELS.index(label) for _, label in ROWS])
    return TrainingSet(
        ids=tuple(map(str, range(len(ROWS)))),
        texts=tuple(text for text, _ in ROWS),
        labels=labels,
        weights=np.ones(len(ROWS)),
        targets=one_hot(labels, len(LABELS)),
    )


def family(kind: str, path: Path, **config: Any) -> str:
    return str(tiny_model(kind, path, [text for text, _ in ROWS], **config))


def trained(student: str, folder: Path) -> tuple[Any, Any]:
    """The student as it was trained, and as it is loaded again."""
    recipe = parse_student(student, learning_rate=5e-3, epochs=3, max_length=40)
    fitted = fit_student(recipe, training_set(), LABELS, folder / "work", lambda _: None)
    (folder / "student").mkdir()
    fitted.student.save(folder / "student")
    return fitted.student, load_student(folder / "student", recipe.kind, LABELS)


def probs_of(student: Any, folder: Path, engine: str, texts: list[str] = TEXTS) -> Floats:
    classifier = classifier_on(student, "encoder", folder, engine)
    return classifier.compute(classifier.prepare(texts))


@pytest.mark.parametrize("kind", EACH)
def test_a_family_is_tuned_and_answers_alike_on_every_engine(kind: str, tmp_path: Path) -> None:
    student, again = trained(family(kind, tmp_path / "model"), tmp_path)
    own = student.predict_proba(TEXTS)
    assert own.std() > 0.01  # answers that differ, else equal ones would show nothing
    assert (again.predict_proba(TEXTS) == own).all()
    assert np.abs(np.concatenate([again.predict_proba([text]) for text in TEXTS]) - own).max() < 1e-5
    check_engines(again, tmp_path / "student", own, exports=kind not in NOT_EXPORTED)


def check_engines(student: Any, folder: Path, own: Floats, *, exports: bool) -> None:
    assert np.abs(probs_of(student, folder, "torch") - own).max() < 1e-5
    if cpu_has_bf16():
        assert np.abs(probs_of(student, folder, "torch-bf16") - own).max() < 0.05
    if not exports:
        with pytest.raises(StudentError, match="torch cannot export its kind of model"):
            probs_of(student, folder, "onnx")
        return
    assert np.abs(exported_probs(student, folder) - own).max() < 1e-3
    for engine in ("onnx", "openvino") if cpu_has_bf16() else ("onnx",):
        assert np.abs(probs_of(student, folder, engine) - own).max() < 0.1


def exported_probs(student: Any, folder: Path) -> Floats:
    """What the export in float32 says, from which the engines' are made."""
    import onnxruntime

    from tutelage.training.prediction.engines.classifier import EngineClassifier

    network = network_of(student, folder)
    assert network
    session = onnxruntime.InferenceSession(str(plain_export(network)), providers=["CPUExecutionProvider"])

    class Plain:
        name, tokens_a_batch, pads, workers = "plain", 256, True, 1

        def scores(self, ids: Any, mask: Any) -> Floats:
            return np.asarray(session.run(None, {"input_ids": ids, "attention_mask": mask})[0], dtype=np.float64)

    classifier = EngineClassifier(network, Plain())
    return classifier.compute(classifier.prepare(TEXTS))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_decoder_without_a_token_to_pad_with_pads_with_the_end(kind: str, tmp_path: Path) -> None:
    student = new_encoder(family(kind, tmp_path), LABELS, 40)
    assert student.tokenizer.pad_token == student.tokenizer.eos_token
    own = student.predict_proba(TEXTS)
    assert np.abs(probs_of(student, tmp_path, "torch") - own).max() < 1e-5
    assert np.abs(np.concatenate([student.predict_proba([text]) for text in TEXTS]) - own).max() < 1e-5


def test_a_model_that_reads_the_last_place_is_padded_at_the_left(tmp_path: Path) -> None:
    student = new_encoder(family("xlnet", tmp_path), LABELS, 40)
    assert student.max_length == 40  # XLNet's configuration refuses to say how many tokens it takes
    assert student.tokenizer.padding_side == "left"
    own = student.predict_proba(TEXTS)
    assert own.std() > 0.01
    assert np.abs(probs_of(student, tmp_path, "torch") - own).max() < 1e-5


def test_a_tokenizer_that_is_published_as_sentencepiece_only_is_read(tmp_path: Path) -> None:
    student = new_encoder(str(sentencepiece_only(tmp_path, [text for text, _ in ROWS])), LABELS, 40)
    ids = student.tokenizer("profit rose")["input_ids"]
    tokens = student.tokenizer.convert_ids_to_tokens(ids)
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert len(tokens) > 3
    assert "[UNK]" not in tokens


def test_a_model_that_takes_no_attention_mask_is_refused_in_one_line(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel

    path = Path(family("bert", tmp_path))
    config = AutoConfig.for_model("fnet", vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=1)
    AutoModel.from_config(config).save_pretrained(path)
    with pytest.raises(StudentError, match="of the kind fnet takes no attention_mask"):
        new_encoder(str(path), LABELS, 40)


class Undecided(torch.nn.Module):
    """What it computes depends on the values of its input, which torch cannot export."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return ids.float() if mask.sum() > 3 else mask.float()


def test_a_failed_export_prints_nothing_and_is_named_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = Network(module=Undecided(), tokenizer=None, max_length=40, exports=tmp_path)
    with pytest.raises(RuntimeError, match=r"^torch cannot export its kind of model to ONNX$"):
        plain_export(network)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
