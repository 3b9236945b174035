"""The holdout: gold-labelled rows that nothing trains on, locked at their first use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from loaders.holdout import LOCK, read_lock
from loaders.texts import normalised
from tutelage.errors import StudentError
from tutelage.workspace import write_text


def text_key(text: str) -> str:
    """First 16 hex digits of a SHA-256 over the normalised text: what makes two texts the same."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:16]


def lock(root: Path, rows: Iterable[tuple[str, str, str]]) -> frozenset[str]:
    """Lock rows of id, text and gold label at the first call; later calls check them.

    Returns the ids that were locked: a row that came into the holdout later is not among them, so
    that figures of today and of last month are of the same rows.

    Raises
    ------
    StudentError
        When a locked row is missing or has another text or gold label.
    """
    now = {row_id: _sha256(f"{normalised(text)}\0{gold}") for row_id, text, gold in rows}
    locked = read_lock(root)
    if not locked:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        write_text(root / LOCK, json.dumps({"locked_at": at, "rows": now}, indent=1) + "\n")
        return frozenset(now)
    changed = [row_id for row_id, content in locked["rows"].items() if now.get(row_id) != content]
    if changed:
        raise StudentError(
            f"{root / LOCK}: {len(changed)} of the {len(locked['rows'])} rows locked on {locked['locked_at'][:10]}"
            f" are gone or changed (first: {changed[0]}), so figures would not compare with earlier ones;"
            " restore them, or remove the lock file to start a new holdout"
        )
    return frozenset(locked["rows"])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
