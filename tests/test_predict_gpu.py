"""What the engine on a GPU does where the GPU is small or old; none is needed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from training_data import WORDS, sentences, tiny_roberta

from tutelage.core import compute
from tutelage.core.arrays import Floats
from tutelage.core.errors import StudentError
from tutelage.core.records import unreported
from tutelage.training.prediction.engines import torch as torch_engines
from tutelage.training.prediction.engines.classifier import EngineClassifier
from tutelage.training.prediction.engines.engine import Network
from tutelage.training.prediction.engines.network import network_of
from tutelage.training.prediction.engines.selection import choose_engine
from tutelage.training.prediction.engines.torch import TorchEngine
from tutelage.training.prediction.predict import predict_windows
from tutelage.training.prediction.windows import Window
from tutelage.training.students.encoder import EncoderStudent, new_encoder

TEXTS = [text for text, _ in sentences(40)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EncoderStudent:
    return new_encoder(str(tiny_roberta(tmp_path_factory.mktemp("tiny"), TEXTS)), tuple(WORDS), 40)


@pytest.fixture
def network(encoder: EncoderStudent) -> Network:
    found = network_of(encoder, Path())
    assert found
    return found


class Small(TorchEngine):
    """An engine with memory for three rows."""

    def _scores(self, ids: Any, mask: Any) -> Floats:
        import torch

        if len(ids) > 3:
            raise torch.OutOfMemoryError
        return super()._scores(ids, mask)


def test_a_batch_too_large_for_the_gpu_is_computed_in_halves(encoder: EncoderStudent, network: Network) -> None:
    classifier = EngineClassifier(network, Small(network))
    found = classifier.compute(classifier.prepare(TEXTS))
    assert np.abs(found - encoder.predict_proba(TEXTS)).max() < 1e-5


def test_one_row_too_large_for_the_gpu_is_an_error(
    encoder: EncoderStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Small, "_scores", full)
    monkeypatch.setattr(torch_engines, "cuda", Small)
    with pytest.raises(StudentError, match=r"--engine cuda: .*CUDA out of memory"):
        choose_engine(encoder, "encoder", tmp_path, TEXTS, "cuda", print)


def test_memory_that_is_short_after_the_check_is_an_error(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nand more")

    monkeypatch.setattr(Small, "_scores", full)
    out = Mock(**{"has.return_value": False})
    windows = iter([Window(0, ("up",), None)])
    with pytest.raises(StudentError, match=r"torch fp32: .*: CUDA out of memory\.; run this again, or with --engine"):
        predict_windows(EngineClassifier(network, Small(network)), windows, out, unreported)
    out.add.assert_not_called()


@pytest.mark.parametrize(("native", "name"), [(True, "cuda bf16"), (False, "cuda fp16")])
def test_a_gpu_without_bf16_computes_in_fp16(
    network: Network, monkeypatch: pytest.MonkeyPatch, *, native: bool, name: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, _device, dtype: types.append(dtype) or module)
    types: list[Any] = []
    assert torch_engines.cuda(network).name == name
    assert types == [torch.bfloat16 if native else torch.float16]


def test_a_processor_is_asked_for_bf16_beside_a_gpu_too(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(compute, "_flags", set)
    with pytest.raises(StudentError, match="this CPU does not support bf16"):
        torch_engines.torch_bf16(network)
