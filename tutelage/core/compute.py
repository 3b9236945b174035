"""What there is to compute with: this machine's processors, and the processes that train one student together."""

from __future__ import annotations

import os
from pathlib import Path

from tutelage.core.errors import StudentError


def cores() -> int:
    """How many cores to use: ``OMP_NUM_THREADS`` where it is set, else those that this process may run on."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether there is a GPU that torch can use."""
    import torch

    return bool(torch.cuda.is_available())


def has_bf16() -> bool:
    """Whether training computes in bf16: on the GPU, or without one on the processor."""
    return gpu_has_bf16() if has_gpu() else cpu_has_bf16()


def gpu_has_bf16() -> bool:
    """Whether the GPU computes in bf16 itself."""
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def cpu_has_bf16() -> bool:
    """Whether the processor computes in bf16 itself."""
    return "avx512_bf16" in _flags() or has_matrix_units()


def has_matrix_units() -> bool:
    """Whether the processor has units for products of bf16 matrices, many times as fast as its vector units."""
    return "amx_bf16" in _flags()


def _flags() -> set[str]:
    """What the processor can do, as Linux names it."""
    info = Path("/proc/cpuinfo")
    return set(info.read_text("utf-8").split()) if info.exists() else set()


# Processes, as ``accelerate launch`` and ``torchrun`` start them


def process_number() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def share(batch_size: int) -> int:
    """Rows of each batch that a process takes: ``--batch-size`` counts those of all.

    Raises
    ------
    StudentError
        When the processes would get unequal shares.
    """
    count = process_count()
    if batch_size % count:
        fewer = batch_size - batch_size % count
        fits = f"{fewer} or {fewer + count}" if fewer else str(count)
        raise StudentError(f"--batch-size {batch_size}: {count} processes cannot share it evenly; take {fits}")
    return batch_size // count


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return process_number() == 0


def wait_for_all() -> None:
    """Return when all processes have come here; only training that is shared out has them meet."""
    if process_count() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.barrier()
