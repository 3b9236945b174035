"""One run at a time asks for a task's votes; the lock goes with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.errors import TeacherError


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; it stays there, empty or with the last holder's process id.

    Raises
    ------
    TeacherError
        When another process holds it; names that process.
    """
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise TeacherError(
                f"{path.parent}: another annotate is running here (process {holder}); wait for it or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
