"""A text's answer does not depend on the texts that are predicted with it, whatever computes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_data import WORDS, sentences, tiny_roberta

from tutelage.core.arrays import Floats
from tutelage.core.compute import cpu_has_bf16
from tutelage.training.prediction.engines.selection import ENGINES, classifier_on
from tutelage.training.prediction.serving.batching import BatchQueue
from tutelage.training.students.encoder import EncoderStudent, new_encoder

TEXTS = [text for text, _ in sentences(120, seed=3)]
TEXTS += [f"{text}, and {other}" for text, other in zip(TEXTS[::3], TEXTS[1::3], strict=True)]
CLOSE = {"torch": 1e-5}
"""The largest change of a probability; to the last bit where none is named."""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> EncoderStudent:
    """A tiny encoder whose probabilities differ between texts, with some weights much larger than others."""
    import torch

    torch.manual_seed(0)
    made = new_encoder(str(tiny_roberta(tmp_path_factory.mktemp("tiny"), TEXTS)), tuple(WORDS), 40)
    with torch.no_grad():
        for weights in made.model.parameters():
            weights.add_(torch.randn_like(weights) * 0.1)
        made.model.roberta.encoder.layer[0].output.dense.weight[0] *= 20
        scores, last = np.log(made.predict_proba(TEXTS)), made.model.classifier.out_proj
        factor = 2 / scores.std(axis=0).max()
        last.bias.sub_(torch.tensor(scores.mean(axis=0))).mul_(factor)
        last.weight.mul_(factor)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("student")


@pytest.fixture(params=[name for name in ENGINES if name != "cuda"])
def answering(request: pytest.FixtureRequest, student: EncoderStudent, folder: Path) -> tuple[Any, float]:
    """An engine, and how close its answers must be."""
    if request.param in {"openvino", "torch-bf16"} and not cpu_has_bf16():
        pytest.skip("this processor has no bf16")
    return classifier_on(student, "encoder", folder, request.param), CLOSE.get(request.param, 0.0)


def answers(classifier: Any, texts: list[str]) -> Floats:
    found: Floats = classifier.compute(classifier.prepare(texts))
    return found


def check_same(found: Floats, expected: Floats, close: float) -> None:
    assert np.abs(found - expected).max() <= close
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_one_by_one_shuffled_and_among_longer_texts(answering: tuple[Any, float]) -> None:
    classifier, close = answering
    together = answers(classifier, TEXTS)
    assert together.std(axis=0).max() > 0.02  # answers that differ, else equal ones would show nothing
    check_same(np.concatenate([answers(classifier, [text]) for text in TEXTS]), together, close)
    order = random.Random(0).sample(range(len(TEXTS)), len(TEXTS))
    check_same(answers(classifier, [TEXTS[row] for row in order]), together[order], close)
    crowd = ["profit rose and fell " * 20] * 20
    check_same(answers(classifier, [*TEXTS[:40], *crowd])[:40], together[:40], close)


def test_32_requests_at_once(answering: tuple[Any, float]) -> None:
    classifier, close = answering
    together, batches = answers(classifier, TEXTS), list[int]()

    async def ask_all() -> list[Floats]:
        queue = BatchQueue(classifier, lambda texts, _cut: batches.append(texts))
        async with queue.running():
            return await asyncio.gather(*(queue.answer(TEXTS[row : row + 5]) for row in range(0, len(TEXTS), 5)))

    check_same(np.concatenate(asyncio.run(ask_all())), together, close)
    assert len(TEXTS) // 5 == 32
    assert max(batches) > 5  # requests were answered together
