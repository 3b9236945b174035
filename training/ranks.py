"""Several processes that train one student, as ``accelerate launch`` starts them."""

from __future__ import annotations

import os


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Return when all processes have come here."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.barrier()
