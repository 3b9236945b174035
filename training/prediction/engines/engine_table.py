"""The engines; a new one is a module in this folder and an entry in this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EngineEntry:
    """An engine's factory.

    Parameters
    ----------
    module, factory
        The module in this folder, and its function from a network to the engine.
    exports
        Whether it runs an exported model, which takes time to create; the module's ``KIND`` names the export.
    """

    module: str
    factory: str
    exports: bool = False


REFERENCE = "torch"
"""The reference engine, which all others are compared with."""

RAY = "ray"
"""In place of an engine: the workers of a cluster choose their own."""

ENGINES = {
    "cuda": EngineEntry(module="torch", factory="cuda"),
    "openvino": EngineEntry(module="openvino", factory="openvino_bf16", exports=True),
    "onnx": EngineEntry(module="onnx", factory="onnx_int8", exports=True),
    "torch-bf16": EngineEntry(module="torch", factory="torch_bf16"),
    REFERENCE: EngineEntry(module="torch", factory="torch_fp32"),
}
"""By name, in the order in which ``auto`` tries them."""

CHOICES = ("auto", *ENGINES)
"""The values of ``--engine``."""
