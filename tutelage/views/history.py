"""``history.jsonl``: what came of each run of the periodic job."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.core.files import open_itself

HISTORY = "history.jsonl"
_READ = {"at", "outcome", "message", "server", "dataset", "activity", "snapshot", "challenger", "champion"}
"""What is read of an earlier line; every version wrote these."""


def read_history(root: Path) -> list[dict[str, Any]]:
    """The lines of ``history.jsonl``, the oldest first; one that is cut short or none of the job's is left out."""
    path = root / HISTORY
    lines = path.read_text("utf-8", "replace").split("\n") if path.exists() else []  # a message may hold U+2028
    found = []
    for line in lines:
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return [line for line in found if line.keys() >= _READ]


def check_writable(root: Path) -> None:
    """Raise what ``append_history`` would raise; the file is made where there is none."""
    os.close(_opened(root))


def append_history(root: Path, line: Mapping[str, Any]) -> None:
    """Add a line, on the disk when this returns; one that a crash cut short before it stays apart.

    Raises
    ------
    OSError, TaskError
        When it cannot be written.
    """
    with os.fdopen(_opened(root), "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        cut = size and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write(b"\n" * bool(cut) + json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _opened(root: Path) -> int:
    return open_itself(root / HISTORY, os.O_RDWR | os.O_CREAT | os.O_APPEND)
