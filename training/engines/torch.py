"""PyTorch: float32 on the processor, the reference of all others; bf16 on the processor; bf16 on a GPU."""

from __future__ import annotations

import copy

import numpy as np

from training.engines.interface import Network
from training.finetune import has_bf16
from training.student import Floats, Ints
from tutelage.errors import StudentError


class TorchEngine:
    """A network on a device, computing in a type."""

    def __init__(
        self, network: Network, *, device: str = "cpu", bf16: bool = False, tokens_a_batch: int = 1024
    ) -> None:
        import torch

        self.name = f"{'torch' if device == 'cpu' else device} {'bf16' if bf16 else 'fp32'}"
        self.tokens_a_batch, self._device = tokens_a_batch, device
        own = copy.deepcopy(network.module) if bf16 else network.module  # the reference stays as it is
        self._module = own.to(device, torch.bfloat16 if bf16 else torch.float32).eval()

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        """Scores of shape (B, K)."""
        import torch

        with torch.inference_mode():
            inputs = [torch.from_numpy(part).to(self._device, non_blocking=True) for part in (ids, mask)]
            scores = self._module(*inputs).float().cpu().numpy()
        return np.asarray(scores, dtype=np.float64)


def torch_fp32(network: Network) -> TorchEngine:
    """The reference: float32 on the processor."""
    return TorchEngine(network)


def torch_bf16(network: Network) -> TorchEngine:
    """Bf16 on a processor that computes in it.

    Raises
    ------
    StudentError
        When this one does not.
    """
    if not has_bf16():
        raise StudentError("this processor does not compute in bf16; use --engine onnx or torch")
    return TorchEngine(network, bf16=True)


def cuda(network: Network) -> TorchEngine:
    """Bf16 on the first GPU.

    Raises
    ------
    StudentError
        When torch finds none.
    """
    import torch

    if not torch.cuda.is_available():
        raise StudentError("torch finds no GPU here; use --engine auto")
    return TorchEngine(network, device="cuda", bf16=True, tokens_a_batch=1 << 16)
