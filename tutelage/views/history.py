"""``history.jsonl``: what came of each run of the periodic job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HISTORY = "history.jsonl"
_READ = {"at", "outcome", "message", "server", "dataset", "activity", "snapshot", "challenger", "champion"}
"""What is read of an earlier line; every version wrote these."""


def read_history(root: Path) -> list[dict[str, Any]]:
    """The lines of ``history.jsonl``, the oldest first; one that is cut short or none of the job's is left out."""
    path = root / HISTORY
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return [line for line in found if line.keys() >= _READ]
