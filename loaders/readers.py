"""One reader for each kind of source: CSV, JSON lines, standard input, Parquet, a frame, a dataset on the Hub."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, cast

from tutelage.core.errors import SourceError
from tutelage.core.formats.strict_json import RepeatedKeyError, read_json
from tutelage.loaders.encodings import (
    check_codec,
    format_of,
    is_compressed,
    open_text,
    undecodable,
    undecoded,
    without_mark,
)
from tutelage.loaders.rows import Row

_CSV_FIELD_LIMIT = 1 << 30
_COUNTED = 1 << 28
"""Bytes of the largest file whose lines are counted."""


def first_line(error: Exception) -> str:
    """What an error says first; libraries say a lot."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _check_names(columns: Sequence[str], where: str) -> None:
    """Refuse columns of one name, of which the last would be taken; spreadsheets leave several without a name."""
    places: dict[str, int] = {}
    for place, name in enumerate(columns, 1):
        if name and places.setdefault(name, place) != place:
            first = places[name]
            raise SourceError(f"{where}: columns {first} and {place} are both called {name!r}; rename or remove one")


class Reader:
    """What every source is read with; ``columns`` are its names."""

    columns: list[str]

    def row_count(self) -> int | None:
        """How many rows there are, where that is known at once."""
        return None

    def types(self) -> Any:
        """The columns as an Arrow schema; None where each row has its own."""
        import pyarrow as pa

        return pa.schema([(name, pa.string()) for name in self.columns])

    def rows(self, columns: Sequence[str] = (), kept: Sequence[str] = ()) -> Iterator[Row]:
        """The rows; ``columns`` and ``kept`` as for ``Source.rows``."""
        raise NotImplementedError


class CsvReader(Reader):
    """Commas, or tabs in a .tsv; a broken row is a row with a problem."""

    def __init__(self, path: Path, encoding: str) -> None:
        csv.field_size_limit(_CSV_FIELD_LIMIT)
        self._path, self._encoding = path, encoding
        with self._open() as file:
            self.columns = next(self._parse(file), ([], []))[0]
        if not self.columns:
            raise SourceError(f"{path}: is empty; the first line must name the columns")
        _check_names(self.columns, f"{path}: line 1")

    def row_count(self) -> int | None:
        """As in ``Reader``."""
        lines = _line_count(self._path)
        return lines and max(0, lines - 1)

    def _open(self) -> IO[str]:
        return open_text(self._path, self._encoding, newline="")

    def _parse(self, lines: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
        """The cells of each row, and its lines: several where a quoted cell contains line breaks."""
        row_lines = list[str]()

        def remembered() -> Iterator[str]:
            for line in lines:
                row_lines.append(line)
                yield line

        for cells in self._reader(remembered()):
            yield cells, row_lines
            row_lines = []

    def _reader(self, lines: Iterable[str], *, strict: bool = False) -> Any:
        delimiter = "\t" if format_of(self._path) == ".tsv" else ","
        return csv.reader(lines, delimiter=delimiter, strict=strict)

    def _has_stray_quote(self, lines: list[str]) -> bool:
        """Whether a stray quote merged these lines into one row: it is not closed, or inside a cell."""
        if len(lines) == 1 and lines[0].count('"') % 2 == 0:
            return False
        try:
            deque(self._reader(lines, strict=True), maxlen=0)
        except csv.Error as error:
            return len(lines) > 1 or "unexpected end" in str(error)
        return False

    def rows(self, _columns: Sequence[str] = (), _kept: Sequence[str] = ()) -> Iterator[Row]:
        """As in ``Reader``."""
        with self._open() as file:
            replayed = deque[str]()
            rows = self._parse(_lines(file, replayed))
            next(rows)
            number = 0
            try:
                while parsed := next(rows, None):
                    cells, lines = parsed
                    number += bool(cells)
                    if self._has_stray_quote(lines):
                        yield Row(number, {}, "has a quote that is not closed, or is closed inside a cell")
                        replayed.extendleft(reversed(lines[1:]))
                        rows = self._parse(_lines(file, replayed))
                    elif cells:
                        yield self._row(number, cells)
            except csv.Error as error:
                raise SourceError(f"{self._path}: row {number + 1}: {error}; fix the quotes of that row") from None
            except UnicodeError as error:
                raise undecodable(self._path, self._encoding, error) from None

    def _row(self, number: int, cells: list[str]) -> Row:
        if len(cells) != len(self.columns):
            return Row(number, {}, f"has {len(cells)} cells, the header {len(self.columns)}")
        values = dict(zip(self.columns, cells, strict=True))
        return Row(number, values, undecoded(cells, self._encoding))


def _line_count(path: Path) -> int | None:
    """How many lines a file has; None where reading it once more takes long."""
    if path.stat().st_size > _COUNTED:
        return None
    with path.open("rb") as file:
        blocks = iter(lambda: file.read(1 << 20), b"")
        lines, last = 0, b"\n"
        for block in blocks:
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")


def _lines(file: IO[str], replayed: deque[str]) -> Iterator[str]:
    """The lines of ``replayed``, which are parsed once more, then those of the file."""
    while line := replayed.popleft() if replayed else file.readline():
        yield line


class JsonlReader(Reader):
    """Rows may omit keys; the columns are the keys of the first thousand rows."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._path, self._encoding = path, encoding
        self.columns = list(dict.fromkeys(key for row in islice(self.rows(), 1000) for key in row.values))
        if not self.columns:
            raise SourceError(f"{path}: {self._trouble()}")

    def row_count(self) -> int | None:
        """As in ``Reader``."""
        return _line_count(self._path)

    def _trouble(self) -> str:
        """Why no row has a key."""
        first = next(self.rows(), None)
        what = f"row {first.number} {first.problem}; " if first and first.problem else ""
        return what + 'expected one JSON object per line, such as {"text": "..."}'

    def types(self) -> Any:
        """As in ``Reader``."""
        return None

    def rows(self, _columns: Sequence[str] = (), _kept: Sequence[str] = ()) -> Iterator[Row]:
        """As in ``Reader``."""
        with open_text(self._path, self._encoding) as file:
            lines = (line for line in file if line.strip())
            try:
                yield from (_json_row(number, line, self._encoding) for number, line in enumerate(lines, 1))
            except UnicodeError as error:
                raise undecodable(self._path, self._encoding, error) from None


class StandardInput(Reader):
    """One JSON object per line, or plain lines, which become the column ``text``; can be read once."""

    def __init__(self, encoding: str) -> None:
        check_codec(encoding)
        self._encoding = encoding
        cast("TextIOWrapper", sys.stdin).reconfigure(encoding=without_mark(encoding), errors="surrogateescape")
        ahead = list(islice(sys.stdin, 1000))
        first = next((line for line in ahead if line.strip()), "")
        if not first:
            raise SourceError("-: standard input is empty; pipe JSON lines or plain lines into the command")
        self._is_json = first.lstrip().startswith("{")
        lines = chain(ahead, sys.stdin)  # plain lines count, empty or not, so that row numbers are line numbers
        self._lines = (line for line in lines if line.strip()) if self._is_json else lines
        ahead = [line for line in ahead if line.strip()]
        self.columns = list(dict.fromkeys(key for line in ahead for key in self._row(1, line).values)) or ["text"]

    def types(self) -> Any:
        """As in ``Reader``."""
        return None if self._is_json else super().types()

    def rows(self, _columns: Sequence[str] = (), _kept: Sequence[str] = ()) -> Iterator[Row]:
        """As in ``Reader``."""
        return (self._row(number, line) for number, line in enumerate(self._lines, 1))

    def _row(self, number: int, line: str) -> Row:
        if self._is_json:
            return _json_row(number, line, self._encoding)
        return Row(number, {"text": line.rstrip("\r\n")}, undecoded([line], self._encoding))


def _json_row(number: int, line: str, encoding: str) -> Row:
    if problem := undecoded([line], encoding):
        return Row(number, {}, problem)
    try:
        data = read_json(line)
        if not isinstance(data, dict):
            return Row(number, {}, "is not a JSON object")
        return Row(number, {key: _as_text(value) for key, value in data.items()}, original=data)
    except RepeatedKeyError as error:
        return Row(number, {}, str(error))
    except ValueError as error:
        return Row(number, {}, f"is not JSON: {error}")
    except RecursionError:
        return Row(number, {}, "is nested too deeply")


def uncompressed(path: Path) -> Path:
    """The path, which must not be one of a compressed file."""
    if is_compressed(path):
        raise SourceError(f"{path}: is a compressed Parquet file, which cannot be read in pieces; decompress it first")
    return path


class ParquetReader(Reader):
    """Read in batches, only the columns that are needed."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = path
        try:
            self._file = pq.ParquetFile(path)
            self.columns = self._file.schema_arrow.names
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path}: cannot be read as Parquet: {first_line(error)}") from None
        _check_names(self.columns, str(path))

    def row_count(self) -> int | None:
        """As in ``Reader``."""
        return int(self._file.metadata.num_rows)

    def types(self) -> Any:
        """As in ``Reader``."""
        return self._file.schema_arrow

    def rows(self, columns: Sequence[str] = (), kept: Sequence[str] = ()) -> Iterator[Row]:
        """As in ``Reader``."""
        import pyarrow as pa

        number, names = 0, list(columns) or self.columns
        try:
            for batch in self._file.iter_batches(batch_size=1000, columns=[*dict.fromkeys([*names, *kept])]):
                yield from _parquet_rows(batch.select(names), number + 1, batch.select(list(kept)))
                number += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            reason = first_line(error)
            raise SourceError(
                f"{self._path}: cannot be read after row {number}: {reason}; write the file again"
            ) from None


def _parquet_rows(batch: Any, number: int, kept: Any) -> list[Row]:
    """The batch's rows, the first with this number; one by one where some of them cannot be read."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [Row(number, {}, f"cannot be read: {first_line(error)}")]
        single = range(batch.num_rows)
        return [row for i in single for row in _parquet_rows(batch.slice(i, 1), number + i, kept.slice(i, 1))]
    texts = [{key: _as_text(value) for key, value in values.items()} for values in rows]
    return [
        Row(number + i, cells, undecoded(list(cells.values()), "utf-8"), (kept, i)) for i, cells in enumerate(texts)
    ]


class FrameReader(Reader):
    """A pandas frame; rows count from 1 whatever its index."""

    def __init__(self, frame: Any) -> None:
        self._frame, self.columns = frame, [str(name) for name in frame.columns]
        _check_names(self.columns, "DataFrame")

    def row_count(self) -> int | None:
        """As in ``Reader``."""
        return len(self._frame)

    def rows(self, _columns: Sequence[str] = (), _kept: Sequence[str] = ()) -> Iterator[Row]:
        """As in ``Reader``."""
        for number, cells in enumerate(self._frame.itertuples(index=False, name=None), 1):
            texts = [_as_text(None if _is_missing(cell) else cell) for cell in cells]
            yield Row(number, dict(zip(self.columns, texts, strict=True)), undecoded(texts, "utf-8"))


def _is_missing(cell: Any) -> bool:
    """Whether pandas holds the cell for missing: None, NaN, NaT, NA; a list or an array is there."""
    import pandas as pd

    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


class HubReader(Reader):
    """A dataset through ``datasets``: on the Hub, in its cache, or in a local folder."""

    def __init__(self, name: str, split: str) -> None:
        import datasets

        if not sys.stderr.isatty():
            datasets.disable_progress_bars()
        try:
            self._data = datasets.load_dataset(name, split=split)
        except Exception as error:  # the library raises many types for: not found, no access, no such split
            raise SourceError(
                f"hf://{name}: cannot be loaded: {error}. Check the name, --split and HF_TOKEN."
            ) from None
        self.columns = list(self._data.column_names)

        features = self._data.features.items()
        self._names = {key: feature.int2str for key, feature in features if hasattr(feature, "int2str")}

    def row_count(self) -> int | None:
        """As in ``Reader``."""
        return len(self._data)

    def types(self) -> Any:
        """As in ``Reader``."""
        import pyarrow as pa

        fields = self._data.features.arrow_schema
        return pa.schema([(field.name, pa.string() if field.name in self._names else field.type) for field in fields])

    def rows(self, columns: Sequence[str] = (), kept: Sequence[str] = ()) -> Iterator[Row]:
        """As in ``Reader``."""
        number, names = 0, list(columns) or self.columns
        for table in self._data.with_format("arrow").iter(batch_size=1000):
            originals = self._named(table.select(list(kept)))
            for i, values in enumerate(table.select(names).to_pylist()):
                number += 1
                cells = {key: _hub_value(value, self._names.get(key)) for key, value in values.items()}
                yield Row(number, cells, original=(originals, i))

    def _named(self, table: Any) -> Any:
        """The table with the names of class labels in place of their numbers."""
        import pyarrow as pa

        columns = dict(zip(table.column_names, table.columns, strict=True))
        for key in columns.keys() & self._names.keys():
            named = [_hub_value(value, self._names[key]) or None for value in columns[key].to_pylist()]
            columns[key] = pa.chunked_array([pa.array(named, pa.string())])
        return pa.table(columns)


def _hub_value(value: Any, name_of: Any) -> str:
    """A ClassLabel's integer becomes its name; -1 is the missing value of ``datasets``."""
    if name_of is None or value is None:
        return _as_text(value)
    return str(name_of(value)) if value >= 0 else ""


def _as_text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str).strip('"')
