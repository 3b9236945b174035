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
        whole, newline, torn = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        self._known = set(whole.decode("ascii", "replace").splitlines())
        if torn:  # a run was killed while it wrote its last line
            os.truncate(path, len(whole + newline))

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Append these rows; JSON in ASCII, so that a row in a foreign encoding can be shown too."""
        lines = [line for line in map(json.dumps, rows) if line not in self._known]
        if lines:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        self._known.update(lines)
