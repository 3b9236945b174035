"""The holdout: gold-labelled rows that nothing trains on, locked at their first use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loaders.ledger import Ledger
from loaders.sources import Source
from loaders.texts import normalised
from tutelage.errors import StudentError, TaskError
from tutelage.workspace import Workspace, write_text

LOCK = "holdout.lock.json"


@dataclass(frozen=True)
class HeldOut:
    """What must not be trained on: record ids, and texts by any of their ids."""

    ids: frozenset[str]
    texts: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over ids and texts, whatever their order."""
        return _sha256(json.dumps([sorted(self.ids), sorted(set(self.texts))], ensure_ascii=False))


def text_key(text: str) -> str:
    """First 16 hex digits of a SHA-256 over the normalised text: what makes two texts the same."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:16]


def held_out(workspace: Workspace) -> HeldOut:
    """The task's holdout: its share of the ledger, or its file, and what was locked earlier."""
    ids, texts = _from_file(workspace) if workspace.task.holdout.file else _from_share(workspace)
    locked = read_lock(workspace.root).get("rows", {})
    with Ledger(workspace.db) as ledger:
        known = _texts(ledger, [*ids, *locked])
    return HeldOut(frozenset([*ids, *locked]), tuple({*texts, *known}))


def _texts(ledger: Ledger, ids: Sequence[str], batch: int = 500) -> list[str]:
    found: list[str] = []
    for start in range(0, len(ids), batch):
        found += ledger.text_of(ids[start : start + batch]).values()
    return found


def _from_share(workspace: Workspace) -> tuple[list[str], list[str]]:
    if not workspace.task.holdout.share:
        return [], []
    with Ledger(workspace.db) as ledger:
        held = [record for record in ledger.records(workspace.task) if workspace.task.holds_out(record.id)]
    return [record.id for record in held], [record.text for record in held]


def _from_file(workspace: Workspace) -> tuple[list[str], list[str]]:
    name = workspace.task.holdout.file
    source = Source(name if name.startswith("hf://") else str(workspace.root / name))
    columns = source.columns()
    if not {"id", "text"} & set(columns):
        raise TaskError(f"{name}: holdout.file needs a column 'id' or 'text'; it has: {', '.join(columns)}")
    rows = list(source.rows())
    return [row.cell("id") for row in rows if row.cell("id")], [row.cell("text") for row in rows if row.cell("text")]


# The lock


def read_lock(root: Path) -> dict[str, Any]:
    """``holdout.lock.json``: when it was first used, and per row id a hash of its text and gold label; or nothing."""
    path = root / LOCK
    try:
        lock: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError as error:
        raise StudentError(f"{path}: is damaged ({error}); restore it, or remove it to lock the holdout anew") from None
    return lock


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
