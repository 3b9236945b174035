"""ONNX Runtime with int8 products, a scale for each row of what is multiplied: fast on every CPU.

A row is one token of one text, so a text's answer does not depend on the other texts of its batch. ONNX Runtime's own
``quantize_dynamic`` takes one scale for all tokens of all texts: there every text changes the answers of the others.

    scale = max |x| of the row / 127      q = uint8(x / scale + 128), rounded
    x · W ≈ scale · ((q - 128) · int8(W)) · scales of W's columns
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.compute import cores
from tutelage.training.prediction.engines.engine import Network
from tutelage.training.prediction.engines.export import exported, plain_export

KIND = "int8-rows"

_LARGEST = 127
_NEARLY_ZERO = 1e-30
"""In place of the maximum of a row of zeros."""

_CONSTANTS = {
    "rows_axis": np.array([-1], np.int64),
    "rows_largest": np.array(_LARGEST, np.float32),
    "rows_least": np.array(_NEARLY_ZERO, np.float32),
    "rows_shift": np.array(_LARGEST + 1.5, np.float32),  # conversion to integers cuts off: a half more rounds
    "rows_zero": np.array(_LARGEST + 1, np.uint8),
    "rows_weights_zero": np.array(0, np.int8),
    "rows_one": np.array(1, np.float32),
}


class OnnxEngine:
    """An ONNX Runtime session on the CPU: one batch per core is faster than one batch on all cores."""

    name = "onnx int8"
    tokens_a_batch = 512
    pads = False

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

    onnx.save(_quantise_rows(onnx.load(str(plain_export(network)))), str(path))


def _quantise_rows(model: Any) -> Any:
    """The model, changed in place: each product with constant weights is one of int8, for ONNX Runtime."""
    from onnx import helper

    graph = model.graph
    del graph.value_info[:]  # shapes that quantisation invalidates
    rewriting = _Rewriting(weights={one.name: one for one in graph.initializer})
    for node in graph.node:
        rewriting.add(node)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(rewriting.nodes)
    used = {name for node in rewriting.nodes for name in node.input}
    graph.initializer.extend(one for one in rewriting.weights.values() if one.name in used)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


@dataclass(frozen=True)
class _Rewriting:
    """The nodes of the new graph so far, its constants, and which tensors are quantised already."""

    weights: dict[str, Any]
    nodes: list[Any] = field(default_factory=list)
    _quantised: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, value in _CONSTANTS.items():
            self._constant(name, value)

    def add(self, node: Any) -> None:
        """Add a node, or in its place those of its product in int8."""
        if node.op_type in {"MatMul", "Gemm"} and node.input[1] in self.weights:
            self._add_product(node)
        else:
            self.nodes.append(node)

    def _add_product(self, node: Any) -> None:
        rows, result = node.input[0], node.output[0]
        bias = list(node.input[2:])
        columns = self._add_weights(node)
        self._quantise(rows)
        inputs = [f"{rows}_int8", f"{columns}_int8", "rows_one", f"{columns}_scale", "rows_zero", "rows_weights_zero"]
        self._node("MatMulIntegerToFloat", inputs, f"{result}_unscaled", domain="com.microsoft")
        product = f"{result}_product" if bias else result
        self._node("Mul", [f"{result}_unscaled", f"{rows}_scale"], product)
        if bias:
            self._node("Add", [product, *bias], result)

    def _add_weights(self, node: Any) -> str:
        """Weights in int8, a scale for each column; returns the prefix of their names."""
        from onnx import numpy_helper

        name = node.input[1]
        values = numpy_helper.to_array(self.weights[name])
        if any(one.name == "transB" and one.i for one in node.attribute):
            values, name = values.T, f"{name}_transposed"
        scales = np.maximum(np.abs(values).max(axis=0), _NEARLY_ZERO) / _LARGEST
        self._constant(f"{name}_int8", np.rint(values / scales).astype(np.int8))
        self._constant(f"{name}_scale", scales.astype(np.float32))
        return str(name)

    def _quantise(self, rows: str) -> None:
        from onnx import TensorProto

        if rows in self._quantised:
            return
        self._quantised.add(rows)
        self._node("Abs", [rows], f"{rows}_abs")
        self._node("ReduceMax", [f"{rows}_abs", "rows_axis"], f"{rows}_max", keepdims=1)
        self._node("Max", [f"{rows}_max", "rows_least"], f"{rows}_range")
        self._node("Div", [f"{rows}_range", "rows_largest"], f"{rows}_scale")
        self._node("Div", ["rows_largest", f"{rows}_range"], f"{rows}_factor")
        self._node("Mul", [rows, f"{rows}_factor"], f"{rows}_scaled")
        self._node("Add", [f"{rows}_scaled", "rows_shift"], f"{rows}_shifted")
        self._node("Cast", [f"{rows}_shifted"], f"{rows}_int8", to=TensorProto.UINT8)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def _constant(self, name: str, value: Any) -> None:
        from onnx import numpy_helper

        self.weights[name] = numpy_helper.from_array(value, name)
