"""OpenVINO in bf16, on processors that compute in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.engines.export import PLAIN, plain_export
from training.engines.interface import Network
from training.student import Floats, Ints
from tutelage.errors import StudentError

KIND = PLAIN
"""What is kept; OpenVINO rounds to bf16 as it loads."""


class OpenVinoEngine:
    """A model that OpenVINO compiled for this processor."""

    name = "openvino bf16"
    tokens_a_batch = 1024

    def __init__(self, path: Path) -> None:
        import openvino

        self._model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        """Scores of shape (B, K)."""
        return np.array(self._model({"input_ids": ids, "attention_mask": mask})[0], dtype=np.float64)


def openvino_bf16(network: Network) -> OpenVinoEngine:
    """The engine on the cached export, which is made where there is none.

    Raises
    ------
    StudentError
        When this processor does not compute in bf16.
    """
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise StudentError("this processor does not compute in bf16; use --engine onnx or torch")
    return OpenVinoEngine(plain_export(network))
