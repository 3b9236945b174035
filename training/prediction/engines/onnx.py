"""ONNX Runtime with dynamic int8 quantisation: fast on every CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.compute import cores
from tutelage.training.prediction.engines.engine import Network
from tutelage.training.prediction.engines.export import exported, plain_export

KIND = "int8"


class OnnxEngine:
    """An ONNX Runtime session on the CPU: one batch per core is faster than one batch on all cores."""

    name = "onnx int8"
    tokens_a_batch = 256

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = 1
        self.workers = cores()
        self._session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],  # the fused operator is slower
        )

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        """Logits of shape (B, K)."""
        return np.asarray(self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0], dtype=np.float64)


def onnx_int8(network: Network) -> OnnxEngine:
    """The engine on the cached export, which is created where there is none."""
    return OnnxEngine(exported(network, KIND, lambda path: _write_int8(network, path)))


def _write_int8(network: Network, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(plain_export(network)))
    del model.graph.value_info[:]  # shapes that quantisation invalidates
    # Per-channel scales: fewer labels differ from float32, at the same speed.
    quantize_dynamic(
        model, str(path), weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
    )
