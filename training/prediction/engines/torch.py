"""PyTorch: float32 on the CPU, the reference; bf16 on the CPU; bf16 or fp16 on a GPU."""

from __future__ import annotations

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.compute import cpu_has_bf16, gpu_has_bf16, has_gpu
from tutelage.core.errors import StudentError
from tutelage.training.prediction.engines.engine import Network

_TYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class TorchEngine:
    """A network on a device, in fp32, bf16 or fp16."""

    workers = 1

    def __init__(
        self, network: Network, *, device: str = "cpu", dtype: str = "fp32", tokens_a_batch: int = 1024
    ) -> None:
        import torch

        self.name = f"{'torch' if device == 'cpu' else device} {dtype}"
        self.tokens_a_batch, self._device = tokens_a_batch, device
        self.pads = device != "cpu" or dtype == "fp32"
        module = network.module if dtype == "fp32" else network.lean()  # the reference is not modified
        self._module = module.to(device, getattr(torch, _TYPES[dtype])).eval()

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        """Logits of shape (B, K); a batch that exceeds the GPU's memory is split in halves."""
        import torch

        try:
            return self._scores(ids, mask)
        except torch.OutOfMemoryError:
            if len(ids) == 1:
                raise
        half = len(ids) // 2  # outside the handler, where the failed attempt's memory is free again
        return np.concatenate([self.scores(ids[:half], mask[:half]), self.scores(ids[half:], mask[half:])])

    def _scores(self, ids: Ints, mask: Ints) -> Floats:
        import torch

        with torch.inference_mode():
            inputs = [torch.from_numpy(part).to(self._device, non_blocking=True) for part in (ids, mask)]
            scores = self._module(*inputs).float().cpu().numpy()
        return np.asarray(scores, dtype=np.float64)


def torch_fp32(network: Network) -> TorchEngine:
    """The reference: float32 on the CPU."""
    return TorchEngine(network)


def torch_bf16(network: Network) -> TorchEngine:
    """Bf16 on a CPU that supports it.

    Raises
    ------
    StudentError
        When this CPU does not support it.
    """
    if not cpu_has_bf16():
        raise StudentError("this CPU does not support bf16; use --engine onnx or torch")
    return TorchEngine(network, dtype="bf16")


def cuda(network: Network) -> TorchEngine:
    """Bf16 on the first GPU; fp16 on one that does not support bf16.

    Raises
    ------
    StudentError
        When torch finds none.
    """
    if not has_gpu():
        raise StudentError("torch finds no GPU here; use --engine auto")
    return TorchEngine(network, device="cuda", dtype="bf16" if gpu_has_bf16() else "fp16", tokens_a_batch=1 << 16)
