"""ONNX exports of a network beside its checkpoint, cached for these versions of the libraries."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from tutelage.core.files import replacing
from tutelage.training.prediction.engines.engine import Network

PLAIN = "fp32"
_FORM = 3
"""Version of the export; incrementing it invalidates earlier exports."""


def exported(network: Network, kind: str, make: Callable[[Path], None]) -> Path:
    """The cached export of this kind; ``make`` writes it where there is none yet."""
    path = cached(network.exports, kind)
    if not path.exists():
        with replacing(path) as temporary, _quiet():
            make(temporary)
    return path


def cached(exports: Path, kind: str) -> Path:
    """The path of the cached export of this kind."""
    return exports / f"{kind}-{_FORM}-torch{version('torch')}-transformers{version('transformers')}.onnx"


def plain_export(network: Network) -> Path:
    """The cached export in float32, from which the others are made."""
    return exported(network, PLAIN, lambda path: _write_plain(network, path))


def _write_plain(network: Network, path: Path) -> None:
    """Export with dynamic batch size and sequence length."""
    import torch

    module = network.lean()
    for part in module.modules():
        if hasattr(part, "set_attn_implementation"):
            part.set_attn_implementation("eager")  # torch's own attention exports as twice the operators
    try:
        _export(module, path)
    except torch.onnx.OnnxExporterError:
        raise RuntimeError("torch cannot export its kind of model to ONNX") from None


def _export(module: Any, path: Path) -> None:
    import torch

    ids, mask = torch.ones((2, 16), dtype=torch.int64), torch.ones((2, 16), dtype=torch.int64)
    sizes = {0: torch.export.Dim("rows"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        module,
        (ids, mask),  # one tensor for both would make them one input
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["scores"],
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporters log, warn of and print; errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):  # a failed export prints its whole graph
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
