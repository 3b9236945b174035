"""Windows of rows to predict, and the reasons for rejected rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tutelage.core.rejects import Reject
from tutelage.loaders.rows import TEXT_MAX_LENGTH, Row, problem_of
from tutelage.loaders.sources import TEXT_ADVICE, Source
from tutelage.training.prediction.kept import Kept

ROWS = 16_384
CHARACTERS = 4_000_000
KEPT_BYTES = 64_000_000
"""Maximum rows, characters, and bytes of the other columns, of a window, which is held in memory."""


@dataclass(frozen=True)
class Window:
    """Consecutive rows: N texts, and an Arrow table of N rows with what is kept of each."""

    number: int
    texts: tuple[str, ...]
    kept: Any

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of a SHA-256 over the rows."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.kept.schema) as stream:
            stream.write_table(self.kept)
        digest = hashlib.sha256(json.dumps(self.texts).encode())
        digest.update(sink.getvalue())
        return digest.hexdigest()[:16]


def windows(source: Source, text: str, kept: Kept, reject: Callable[[Reject], None]) -> Iterator[Window]:
    """The usable rows in the source's order; the others go to ``reject``, each with its reason.

    Texts are truncated to 100,000 characters.

    Raises
    ------
    SourceError
        When the source or its column of texts is missing, or the file has another encoding.
    """
    source.require([text], TEXT_ADVICE)
    number, filling = 0, _Filling(kept)
    for row in source.rows([text], kept.columns):
        if problem := problem_of(row, text) or kept.problem(row):
            reject(Reject(source=source.name, row=row.number, reason=problem, values={text: row.cell(text)}))
            continue
        filling.add(row, row.cell(text)[:TEXT_MAX_LENGTH])
        if filling.full:
            yield filling.window(number)
            number, filling = number + 1, _Filling(kept)
    if filling.texts:
        yield filling.window(number)


class _Filling:
    """A window in the making."""

    def __init__(self, kept: Kept) -> None:
        self.texts: list[str] = []
        self._kept, self._items = kept, list[Any]()
        self._characters = self._bytes = 0

    @property
    def full(self) -> bool:
        return len(self.texts) == ROWS or self._characters >= CHARACTERS or self._bytes >= KEPT_BYTES

    def add(self, row: Row, text: str) -> None:
        item, size = self._kept.item(row)
        self.texts.append(text)
        self._items.append(item)
        self._characters += len(text)
        self._bytes += size

    def window(self, number: int) -> Window:
        return Window(number, tuple(self.texts), self._kept.pack(self._items))
