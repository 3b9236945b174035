"""``rejects.jsonl``: what could not be used, and why, one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Rejects:
    """Appends to ``path``; what an earlier run wrote there is not written again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[int] = set()  # hashes: the lines themselves would fill the memory
        if path.exists():
            self._read()

    def _read(self) -> None:
        whole = 0
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self._known.add(hash(line))
                    whole += len(line)
        if whole < self._path.stat().st_size:  # a run was killed while it wrote its last line
            os.truncate(self._path, whole)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Append these rows; JSON in ASCII, so that a row in a foreign encoding can be shown too."""
        lines = [f"{json.dumps(row)}\n".encode("ascii") for row in rows]
        new = [line for line in lines if hash(line) not in self._known]
        if new:
            with self._path.open("ab") as file:
                file.writelines(new)
        self._known.update(map(hash, new))
