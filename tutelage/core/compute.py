"""Compute resources: this machine's processors, and the processes that train one student together."""

from __future__ import annotations

import os
from pathlib import Path

from tutelage.core.errors import StudentError


def cores() -> int:
    """The number of cores to use: ``OMP_NUM_THREADS`` where it is set, else those available to this process."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether torch can use a GPU."""
    import torch

    return bool(torch.cuda.is_available())


def has_bf16() -> bool:
    """Whether training can use bf16: on the GPU, or without one on the CPU."""
    return gpu_has_bf16() if has_gpu() else cpu_has_bf16()


def gpu_has_bf16() -> bool:
    """Whether the GPU supports bf16 natively."""
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def cpu_has_bf16() -> bool:
    """Whether the CPU supports bf16 natively."""
    return "avx512_bf16" in _flags() or has_matrix_units()


def has_matrix_units() -> bool:
    """Whether the CPU has matrix units for bf16 (AMX), many times as fast as its vector units."""
    return "amx_bf16" in _flags()


def _flags() -> set[str]:
    """The CPU's feature flags, as Linux names them."""
    info = Path("/proc/cpuinfo")
    return set(info.read_text("utf-8").split()) if info.exists() else set()


# Distributed training: processes, as ``accelerate launch`` and ``torchrun`` start them


def process_number() -> int:
    """The rank of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """The number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def batch_size_per_process(batch_size: int) -> int:
    """The batch size of one process; ``--batch-size`` is the global batch size, of all processes together.

    Raises
    ------
    StudentError
        When the global batch size is not divisible by the number of processes.
    """
    count = process_count()
    if batch_size % count:
        lower = batch_size - batch_size % count
        fits = f"{lower} or {lower + count}" if lower else str(count)
        raise StudentError(
            f"--batch-size {batch_size}: the global batch size must be divisible by the {count} processes; use {fits}"
        )
    return batch_size // count


def is_main() -> bool:
    """Whether this is the main process: the one that writes files and prints."""
    return process_number() == 0


def wait_for_all() -> None:
    """Wait until all processes have reached this point; at once where training is not distributed."""
    if process_count() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.barrier()


def main_decides(value: bool) -> bool:  # noqa: FBT001  # a value, not an option
    """The main process's value in all processes that train together."""
    from torch import distributed

    if not distributed.is_initialized():
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def check_launcher() -> None:
    """Refuse to train in one process where a launcher was told to start several and started one.

    Raises
    ------
    StudentError
        With the launcher that starts them.
    """
    is_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ  # set by every ``accelerate launch``
    if is_accelerate and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise StudentError(
            "accelerate launch --cpu starts one process only, whatever --num_processes says;"
            " for several use: torchrun --nproc-per-node 2 -m tutelage train, and the options after it"
        )
