"""Rows to predict: windows of good rows, and what is wrong with the others."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from loaders.sources import Row, Source
from loaders.texts import ID_MAX_LENGTH, TEXT_MAX_LENGTH
from tutelage.errors import SourceError

ROWS = 16_384
CHARACTERS = 4_000_000
"""A window ends at so many rows or characters, whichever comes first: what is held in memory at once."""

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Window:
    """Rows that follow each other; without an id column the id is the row's number in the source, from 1."""

    number: int
    ids: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What these rows say, as 16 hex digits."""
        return hashlib.sha256(json.dumps([self.ids, self.texts]).encode()).hexdigest()[:16]


def windows(source: Source, text: str, id_: str, reject: Callable[[dict[str, Any]], None]) -> Iterator[Window]:
    """The good rows in the source's order; bad ones go to ``reject``, each with its reason.

    A text is read up to its first hundred thousand characters.

    Raises
    ------
    SourceError
        When the source or a column is missing, or the file is in another encoding.
    """
    columns = [name for name in (text, id_) if name]
    _check_columns(source, columns)
    ids: list[str] = []
    texts: list[str] = []
    number = size = 0
    for row in source.rows(columns):
        if problem := row.problem or _problem(row, text, id_):
            cells = {name: row.cell(name) for name in columns}
            reject({"source": source.name, "row": row.number, "reason": problem, "values": cells})
            continue
        ids.append(row.cell(id_) if id_ else str(row.number))
        texts.append(row.cell(text)[:TEXT_MAX_LENGTH])
        size += len(texts[-1])
        if len(ids) == ROWS or size >= CHARACTERS:
            yield Window(number, tuple(ids), tuple(texts))
            number, size, ids, texts = number + 1, 0, [], []
    if ids:
        yield Window(number, tuple(ids), tuple(texts))


def _check_columns(source: Source, names: list[str]) -> None:
    there = source.columns()
    missing = [name for name in names if name not in there]
    if missing:
        raise SourceError(
            f"{source.name}: no column {', '.join(map(repr, missing))}; it has: {', '.join(there)}."
            " Name them with --text and --id."
        )


def _problem(row: Row, text: str, id_: str) -> str:
    if not row.cell(text).strip():
        return "has no text"
    if any(_HALF_A_PAIR.search(row.cell(name)) for name in (text, id_) if name):
        return "holds half a surrogate pair"
    if id_ and not 0 < len(row.cell(id_).strip()) <= ID_MAX_LENGTH:
        return f"id must have 1 to {ID_MAX_LENGTH} characters"
    return ""
