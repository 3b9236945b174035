"""Several processes that train one student, as ``accelerate launch`` and ``torchrun`` start them."""

from __future__ import annotations

import os

from tutelage.errors import StudentError


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def share(batch_size: int) -> int:
    """Rows of each batch that a process takes: ``--batch-size`` counts those of all.

    Raises
    ------
    StudentError
        When the processes would get unequal shares.
    """
    count = processes()
    if batch_size % count:
        fewer = batch_size - batch_size % count
        fits = f"{fewer} or {fewer + count}" if fewer else str(count)
        raise StudentError(f"--batch-size {batch_size}: {count} processes cannot share it evenly; take {fits}")
    return batch_size // count


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def wait_for_all() -> None:
    """Return when all processes have come here; only training that is shared out has them meet."""
    if processes() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.barrier()
