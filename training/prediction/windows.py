"""Windows of rows to predict, and the reasons for rejected rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tutelage.core.rejects import Reject
from tutelage.loaders.rows import TEXT_MAX_LENGTH, problem_of
from tutelage.loaders.sources import Source

ROWS = 16_384
CHARACTERS = 4_000_000
"""Maximum rows and characters of a window, which is held in memory."""


@dataclass(frozen=True)
class Window:
    """Consecutive rows; without an id column the id is the row's number in the source, from 1."""

    number: int
    ids: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def digest(self) -> str:
        """First 16 hex digits of a SHA-256 over the rows."""
        return hashlib.sha256(json.dumps([self.ids, self.texts]).encode()).hexdigest()[:16]


def windows(source: Source, text: str, id_: str, reject: Callable[[Reject], None]) -> Iterator[Window]:
    """The usable rows in the source's order; the others go to ``reject``, each with its reason.

    Texts are truncated to 100,000 characters.

    Raises
    ------
    SourceError
        When the source or a column is missing, or the file has another encoding.
    """
    columns = [name for name in (text, id_) if name]
    source.require(columns, ". Set them with --text and --id.")
    ids: list[str] = []
    texts: list[str] = []
    number = size = 0
    for row in source.rows(columns):
        if problem := problem_of(row, text, id_):
            cells = {name: row.cell(name) for name in columns}
            reject(Reject(source=source.name, row=row.number, reason=problem, values=cells))
            continue
        ids.append(row.cell(id_) if id_ else str(row.number))
        texts.append(row.cell(text)[:TEXT_MAX_LENGTH])
        size += len(texts[-1])
        if len(ids) == ROWS or size >= CHARACTERS:
            yield Window(number, tuple(ids), tuple(texts))
            number, size, ids, texts = number + 1, 0, [], []
    if ids:
        yield Window(number, tuple(ids), tuple(texts))
