"""The server's log: what it was started with as standard output and error, kept short.

`tutelage up` opens ``server.log``. Where it has grown large it becomes ``server.log.1``, that one ``.2``, and so on;
the oldest is removed. All are the owner's alone.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

LARGEST = 5_000_000  # bytes
OLD = 3  # logs that are kept beside the current one
STREAMS = (1, 2)  # standard output and error


class ShortLog(logging.Handler):
    """Writes nothing itself: looks, at each line that is logged, whether the log has grown too large."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, _line: logging.LogRecord) -> None:
        """Rotate where it is time."""
        now = os.fstat(STREAMS[-1])
        if now.st_size > LARGEST and self._path.exists() and os.path.samestat(now, self._path.stat()):
            rotate(self._path)


def rotate(path: Path) -> None:
    """Move the log and the older ones on by one, and go on with an empty one."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, OLD + 1))]
    for newer, older in zip(names[-2::-1], names[:0:-1], strict=True):
        if newer.exists():
            newer.replace(older)
    empty = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    for stream in STREAMS:
        os.dup2(empty, stream)
    os.close(empty)


def keep_short(path: Path) -> None:
    """Watch over the log from now on; after all loggers have their handlers."""
    watch = ShortLog(path)
    for name in (None, "uvicorn", "uvicorn.access"):  # uvicorn's hand nothing on to the root
        logging.getLogger(name).addHandler(watch)
    if path.exists():
        watch.emit(logging.makeLogRecord({}))
