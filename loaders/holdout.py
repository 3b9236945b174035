"""The holdout, the same for every step: nothing trains on it, shows it to annotators, or ranks by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tutelage.core.errors import StudentError, TaskError
from tutelage.core.files import write_text
from tutelage.core.records import Record
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.rows import Row, normalised
from tutelage.loaders.sources import Source

LOCK = "holdout.lock.json"


@dataclass(frozen=True)
class HeldOut:
    """What must not be trained on: record ids, and texts under any id."""

    ids: frozenset[str]
    texts: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over ids and texts, independent of their order."""
        content = json.dumps([sorted(self.ids), sorted(set(self.texts))], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def __contains__(self, record: Record) -> bool:
        """Whether a record is in the holdout, or has the text of one that is."""
        return record.id in self.ids or normalised(record.text) in self._normalised

    @cached_property
    def _normalised(self) -> frozenset[str]:
        return frozenset(map(normalised, self.texts))


def held_out(workspace: Workspace) -> HeldOut:
    """The task's holdout: its share of the ledger, or its file, and what was locked earlier.

    The share is drawn by a hash of the id; a file (CSV, JSONL or Parquet, its path relative to
    the task directory, or hf://owner/name) names ids, texts or both.

    Raises
    ------
    TaskError
        When the file has neither column, or a row with neither value.
    """
    task, root = workspace.task, workspace.root
    ids, texts = _from_file(task, root) if task.holdout.file else (set[str](), set[str]())
    ids |= read_lock(root).get("rows", {}).keys()
    if not (ids or texts or task.holdout.share):
        return HeldOut(frozenset(), ())
    named = {normalised(text) for text in texts}
    with Ledger(workspace.db) as ledger:
        for record in ledger.records(task):
            if record.id in ids or task.holds_out(record.id) or normalised(record.text) in named:
                ids.add(record.id)
                texts.add(record.text)
    return HeldOut(frozenset(ids), tuple(texts))


def _from_file(task: Task, root: Path) -> tuple[set[str], set[str]]:
    name = task.holdout.file
    source = Source(name if name.startswith("hf://") else str(root / name))
    columns = source.columns()
    if not {"id", "text"} & set(columns):
        raise TaskError(f"{name}: holdout.file needs a column 'id' or 'text'; its columns: {', '.join(columns)}")
    ids, texts = set[str](), set[str]()
    for row in source.rows():
        row_id, text = _named(row, name)
        ids |= {row_id} - {""}
        texts |= {text} if text.strip() else set()
    return ids, texts


def _named(row: Row, file: str) -> tuple[str, str]:
    row_id, text = row.cell("id").strip(), row.cell("text")
    problem = row.problem or ("" if row_id or text.strip() else "has neither an id nor a text")
    if problem:
        raise TaskError(
            f"{file}: row {row.number} of holdout.file {problem}, so it cannot be held out; correct or remove the row"
        )
    return row_id, text


def read_lock(root: Path) -> dict[str, Any]:
    """``holdout.lock.json``: when it was locked, and a hash of text and gold label by row id; or empty."""
    path = root / LOCK
    try:
        lock = json.loads(path.read_text("utf-8")) if path.exists() else {}
        lock = {**lock, "rows": dict(lock["rows"])} if lock != {} else {}
    except (ValueError, LookupError, TypeError) as error:
        raise StudentError(
            f"{path}: is damaged ({error}); restore it, or remove it to lock the holdout again"
        ) from None
    return lock


def lock_holdout(root: Path, rows: Iterable[tuple[str, str, str]]) -> frozenset[str]:
    """Lock rows (id, text, gold label) at the first call; later calls check them.

    Returns the locked ids. Rows added to the holdout later are not among them, so that
    evaluations of different dates are on the same rows.

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
            f" are missing or changed (first: {changed[0]}), so scores would not be comparable with earlier ones;"
            " restore them, or remove the lock file to start a new holdout"
        )
    return frozenset(locked["rows"])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
