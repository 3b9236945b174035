"""``history.jsonl``: what came of each run of the periodic job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HISTORY = "history.jsonl"


def read_history(root: Path) -> list[dict[str, Any]]:
    """The lines of ``history.jsonl``, the oldest first; one that a crash cut short is left out."""
    path = root / HISTORY
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found
