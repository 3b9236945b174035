"""OpenVINO in bf16, on CPUs that support it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.compute import cores
from tutelage.core.errors import StudentError
from tutelage.training.prediction.engines.engine import Network
from tutelage.training.prediction.engines.export import PLAIN, plain_export

KIND = PLAIN
"""The kind of export; OpenVINO converts it to bf16 when loading."""


class OpenVinoEngine:
    """A model that OpenVINO compiled for this CPU: one batch per core."""

    name = "openvino bf16"
    tokens_a_batch = 1024
    pads = False

    def __init__(self, path: Path) -> None:
        import openvino

        self.workers = cores()
        options = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "NUM_STREAMS": self.workers,
            "INFERENCE_NUM_THREADS": self.workers,
        }
        self._model = openvino.Core().compile_model(str(path), "CPU", options)
        self._own = threading.local()
        one = np.ones((1, 1), dtype=np.int64)
        self.scores(one, one)  # the binding initialises in its first call; two concurrent first calls can hang

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        """Logits of shape (B, K)."""
        if not hasattr(self._own, "request"):
            self._own.request = self._model.create_infer_request()
        return np.array(self._own.request.infer({"input_ids": ids, "attention_mask": mask})[0], dtype=np.float64)


def openvino_bf16(network: Network) -> OpenVinoEngine:
    """The engine on the cached export, which is created where there is none.

    Raises
    ------
    StudentError
        When this CPU does not support bf16.
    """
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise StudentError("this CPU does not support bf16; use --engine onnx or torch")
    return OpenVinoEngine(plain_export(network))
