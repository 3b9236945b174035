"""Streams rows from files, standard input and the Hub: CSV, JSONL, Parquet, ``-``, ``hf://``.

CSV and JSONL may be compressed: ``.gz``, ``.bz2``, ``.zst``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tutelage.core.errors import SourceError
from tutelage.loaders.encodings import (
    check_encoding,
    format_of,
    is_compressed,
)
from tutelage.loaders.readers import (
    CsvReader,
    FrameReader,
    HubReader,
    JsonlReader,
    ParquetReader,
    Reader,
    StandardInput,
    first_line,
    uncompressed,
)
from tutelage.loaders.rows import Row

SETTLED = 600.0
"""Seconds without a change after which a file that ends within a line is taken for whole."""
TEXT_ADVICE = ". Name the one with the texts with --text."
"""What is said where the column of the texts is missing."""


@dataclass(frozen=True)
class Source:
    """Where rows come from: a path, ``hf://owner/name`` with an optional split, ``-``, standard input, or a frame."""

    name: str
    encoding: str = "utf-8"
    split: str = "train"
    frame: Any = field(default=None, compare=False, repr=False)
    """A pandas frame in place of a file; ``name`` is what messages call it."""

    def columns(self) -> list[str]:
        """The names of the columns, in the source's order."""
        with _readable(self.name):
            return self._reader.columns

    def require(self, names: Iterable[str], advice: str = "") -> None:
        """Refuse a source without these columns; empty names mean none.

        Raises
        ------
        SourceError
            With the source's columns, and ``advice``.
        """
        available = self.columns()
        missing = ", ".join(repr(name) for name in names if name and name not in available)
        if missing:
            raise SourceError(f"{self.name}: no column {missing}; its columns: {', '.join(available)}{advice}")

    def types(self) -> Any:
        """The columns as an Arrow schema; None where the rows are JSON objects, each with types of its own."""
        with _readable(self.name):
            return self._reader.types()

    def rows(self, columns: Sequence[str] = (), kept: Sequence[str] = ()) -> Iterator[Row]:
        """The rows, each value as text; missing values are empty.

        ``columns`` are those needed as text: of a Parquet file no others are read, except ``kept``, which stand in
        ``original`` only.
        """
        with _readable(self.name):
            yield from self._reader.rows(columns, kept)

    @property
    def can_be_read_again(self) -> bool:
        """Whether ``rows`` gives them a second time; standard input is gone."""
        return self.name != "-" or self.frame is not None

    def row_count(self) -> int | None:
        """How many rows there are, for progress; None where counting takes long.

        In a text file these are its lines: rows of several lines make it too many.
        """
        with _readable(self.name):
            return self._reader.row_count()

    @cached_property
    def _reader(self) -> Reader:
        if self.frame is not None:
            return FrameReader(self.frame)
        if self.name == "-":
            return StandardInput(self.encoding)
        if self.name.startswith("hf://"):
            return HubReader(self.name.removeprefix("hf://"), self.split)
        path = Path(self.name)
        if not path.is_file():
            raise SourceError(f"{path}: no such file; write hf://owner/name for a dataset on the Hub")
        ending = format_of(path)
        if ending == ".parquet":
            return ParquetReader(uncompressed(path))
        check_encoding(path, self.encoding)
        is_jsonl = ending in {".jsonl", ".ndjson", ".json"}
        return JsonlReader(path, self.encoding) if is_jsonl else CsvReader(path, self.encoding)


def is_being_written(path: Path) -> bool:
    """Whether a text file ends within a line and was changed a moment ago: its last row may be cut short."""
    if not path.is_file() or is_compressed(path) or format_of(path) == ".parquet":
        return False
    with _readable(str(path)), path.open("rb") as file:
        found = os.fstat(file.fileno())
        file.seek(-min(4, found.st_size), os.SEEK_END)
        end = file.read().rstrip(b"\0")  # of an end of line in UTF-16
    return end[-1:] not in {b"\n", b"\r"} and time.time() - found.st_mtime < SETTLED


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = "; it is damaged or cut off: fetch or compress it again" if _is_archive(name, error) else ""
        raise SourceError(f"{name}: cannot be read: {first_line(error)}{advice}") from None


def _is_archive(name: str, error: OSError) -> bool:
    """Whether the bytes of a compressed file, and not the machine, are the reason; those errors have no number."""
    return error.errno is None and is_compressed(Path(name))
