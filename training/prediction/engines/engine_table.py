"""The engines: a new one is a module in this folder and an entry in this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineEntry:
    """Where an engine is made.

    Parameters
    ----------
    module, factory
        The module here, and the function in it that makes the engine of a network.
    exports
        Whether it runs an export of the model, which takes time to make; the module's ``KIND`` names it.
    """

    module: str
    factory: str
    exports: bool = False


REFERENCE = "torch"
"""The engine that all others are compared with."""

RAY = "ray"
"""In place of an engine: each machine of a cluster takes its own."""

ENGINES = {
    "cuda": EngineEntry("torch", "cuda"),
    "openvino": EngineEntry("openvino", "openvino_bf16", exports=True),
    "onnx": EngineEntry("onnx", "onnx_int8", exports=True),
    "torch-bf16": EngineEntry("torch", "torch_bf16"),
    REFERENCE: EngineEntry("torch", "torch_fp32"),
}
"""By name, in the order in which they are tried."""

CHOICES = ("auto", *ENGINES)
"""What ``--engine`` takes."""
