"""The columns of a source that stand in the output too, with their types where they have any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

from tutelage.core.errors import SourceError
from tutelage.loaders.rows import Row
from tutelage.loaders.sources import Source

OBJECT = "\0object"
"""The one column of packed rows that are JSON objects; no file's column is called so."""


class Kept(Protocol):
    """What is kept of each row: ``columns`` of the source; ``schema`` is that of packed rows."""

    columns: tuple[str, ...]
    schema: Any

    def item(self, row: Row) -> tuple[Any, int]:
        """What is kept of a row, and about how many bytes that has."""
        ...

    def pack(self, items: Sequence[Any]) -> Any:
        """The items as an Arrow table."""
        ...

    def problem(self, row: Row) -> str:
        """Why a row cannot be kept; empty where it can."""
        ...


def kept_of(source: Source, chosen: Sequence[str] | None, added: Sequence[str]) -> Kept:
    """What is kept of a source's rows: all columns, or those chosen; the output has those of ``added`` beside them.

    Raises
    ------
    SourceError
        When a chosen column is not there, or one has the name of an added one.
    """
    source.require(chosen or (), ". Choose them with --columns.")
    columns = tuple(dict.fromkeys(source.columns() if chosen is None else chosen))
    _check_clash(source, columns, added)
    types = source.types()
    if types is not None or not columns:
        return KeptCells(columns, types)
    return KeptObjects(columns, every=chosen is None, added=added)


def _check_clash(source: Source, columns: Sequence[str], added: Sequence[str]) -> None:
    clash = [name for name in columns if name in added]
    if clash:
        others = ",".join(name for name in source.columns() if name not in added)
        raise SourceError(
            f"{source.name}: has {' and '.join(map(repr, clash))}, which OUT is to hold for the student's own answers;"
            f" name the columns to keep without {'it' if len(clash) == 1 else 'them'}: --columns '{others}'"
        )


class KeptCells:
    """Cells of columns that each have one type: a CSV file's are text."""

    def __init__(self, columns: tuple[str, ...], types: Any) -> None:
        import pyarrow as pa

        self.columns = columns
        self.schema = pa.schema([types.field(name).remove_metadata() for name in columns])

    def item(self, row: Row) -> tuple[Any, int]:
        """Text, or the row's place in an Arrow batch."""
        if not self.columns:
            return (), 0
        if row.original is None:
            cells = [row.values[name] for name in self.columns]
            return cells, sum(map(len, cells))
        batch, place = row.original
        return (batch, place), batch.nbytes // max(1, batch.num_rows)

    def pack(self, items: Sequence[Any]) -> Any:
        """A table with the schema."""
        import pyarrow as pa

        if self.columns and items and isinstance(items[0], tuple):
            taken = [self._take(batch, places) for batch, places in _by_batch(items)]
            return pa.concat_tables(taken).unify_dictionaries().combine_chunks()
        return pa.table(list(map(list, zip(*items, strict=True))) or self._empty(), schema=self.schema)

    def _empty(self) -> list[list[str]]:
        return [[] for _ in self.columns]

    def _take(self, batch: Any, places: list[int]) -> Any:
        import pyarrow as pa

        arrays = [batch.column(name).take(pa.array(places)) for name in self.columns]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def problem(self, _row: Row) -> str:
        """None."""
        return ""


def _by_batch(items: Sequence[tuple[Any, int]]) -> Iterator[tuple[Any, list[int]]]:
    """Each batch, and the places in it, of items in their order."""
    for _, group in groupby(items, key=lambda item: id(item[0])):
        same = list(group)
        yield same[0][0], [place for _, place in same]


class KeptObjects:
    """JSON objects; with ``every``, keys that come up late are kept too. They are packed as JSON text."""

    def __init__(self, columns: tuple[str, ...], *, every: bool, added: Sequence[str]) -> None:
        import pyarrow as pa

        self.columns, self._every, self._added = columns, every, frozenset(added)
        self.schema = pa.schema([(OBJECT, pa.large_string())])

    def item(self, row: Row) -> tuple[str, int]:
        """The object as JSON text in ASCII, which holds lone surrogates too."""
        values = row.original
        kept = values if self._every else {name: values[name] for name in self.columns if name in values}
        text = json.dumps(kept)
        return text, len(text)

    def pack(self, items: Sequence[Any]) -> Any:
        """A table of one column."""
        import pyarrow as pa

        return pa.table([pa.array(items, pa.large_string())], schema=self.schema)

    def problem(self, row: Row) -> str:
        """Why a row's keys cannot stand in the output: the first rows, by which the columns are checked, lack them."""
        clash = self._added & row.original.keys() if self._every else ()
        if not clash:
            return ""
        return f"has the key {min(clash)!r}, which OUT holds itself; name the columns to keep with --columns"
