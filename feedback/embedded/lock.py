"""One server per data directory: a lock that is released with the process, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

PATIENCE = 2.0  # seconds; a check whether a server runs holds the lock for an instant


class Lock:
    """Held from `take` on; the file's text says who holds it: ``{"pid": ..., "url": ...}``."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._path = path

    def take(self) -> None:
        """Take the lock, or exit with a message when another server has it."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise SystemExit(
                        f"Another server is already running on {self._path.parent}; stop it first."
                    ) from None
                time.sleep(0.05)
            else:
                break
        os.ftruncate(self._file, 0)

    def announce(self, url: str) -> None:
        """Write the pid of the holder and its URL into the file."""
        os.pwrite(self._file, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

    def release(self) -> None:
        """Leave the file empty: this server was stopped, it did not crash."""
        os.ftruncate(self._file, 0)
        os.close(self._file)
