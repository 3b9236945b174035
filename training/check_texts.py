"""The texts of a task on which a student's engines are checked."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from tutelage.core.errors import TutelageError
from tutelage.core.records import Record
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.rows import text_key
from tutelage.training.registry import Entry


def check_texts(workspace: Workspace, entry: Entry, count: int) -> tuple[list[str], list[str]]:
    """At most ``count`` texts that the student was not trained on, and as many that it was trained on.

    The former are those of its validation, and records that it never saw; the holdout is left alone. Which ones is
    decided by a hash of the text, so that every step takes the same. Where the task cannot be read there are none.
    """
    unseen, trained = _Drawn(count), _Drawn(count)
    try:
        fitted_on = entry.seen() - entry.validated()
        for text in _texts(workspace, entry):
            key = text_key(text)
            (trained if key in fitted_on else unseen).add(key, text)
    except TutelageError:
        return [], []
    return unseen.texts(), trained.texts()


def _texts(workspace: Workspace, entry: Entry) -> Iterator[str]:
    """The texts of the ledger; without one, those of the student's snapshot that it saw in training."""
    if not workspace.db.exists():
        seen, frame = entry.seen(), load_snapshot(workspace.snapshots, entry.manifest.snapshot).frame()
        yield from (text for text in frame["text"] if text_key(text) in seen)
        return
    held = held_out(workspace)
    with Ledger(workspace.db) as ledger:
        yield from (text for record_id, text in ledger.texts() if Record(record_id, text) not in held)


class _Drawn:
    """The texts of the lowest keys, each once."""

    def __init__(self, count: int) -> None:
        self._count, self._texts = count, dict[str, str]()

    def add(self, key: str, text: str) -> None:
        self._texts[key] = text
        if len(self._texts) > 10 * self._count:
            self._cut()

    def texts(self) -> list[str]:
        self._cut()
        return list(self._texts.values())

    def _cut(self) -> None:
        self._texts = {key: self._texts[key] for key in heapq.nsmallest(self._count, self._texts)}
