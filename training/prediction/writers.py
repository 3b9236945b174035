"""Parts of predictions, which are Arrow tables, written as one Parquet, CSV or JSONL file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from tutelage.training.prediction.kept import OBJECT

PARQUET, CSV, JSONL = {".parquet"}, {".csv"}, {".jsonl", ".ndjson"}

Tables = Callable[[], Iterator[Any]]
"""Reads the parts, one at a time in memory, from the first."""


class Writer(Protocol):
    """A context manager that takes parts."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def write(self, table: Any) -> None:
        """Write a part."""
        ...


def open_writer(path: Path, ending: str, tables: Tables, schema: Any, columns: Sequence[str]) -> Writer:
    """Writes the format that ``ending`` names.

    ``tables`` are read for their types where these vary by row; ``columns`` come first then.
    """
    if ending in JSONL:
        return _JsonLines(path)
    if schema.names[0] == OBJECT:
        schema = _columns_of(tables, schema, columns)
    return _CsvFile(path, schema) if ending in CSV else _ParquetFile(path, schema)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, table: Any) -> None:
        self._file.writelines(json_lines(table))


class _ParquetFile:
    def __init__(self, path: Path, schema: Any) -> None:
        import pyarrow.parquet as pq

        self._schema, self._writer = schema, pq.ParquetWriter(path, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, table: Any) -> None:
        self._writer.write_table(_unfolded(table, self._schema))


class _CsvFile:
    """Lists and other values that a cell cannot hold become JSON."""

    def __init__(self, path: Path, schema: Any) -> None:
        import pyarrow as pa
        from pyarrow import csv

        self._schema = schema
        self._flat = pa.schema([pa.field(f.name, pa.string() if _needs_json(f.type) else f.type) for f in schema])
        self._writer = csv.CSVWriter(path, self._flat)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, table: Any) -> None:
        import pyarrow as pa

        columns = _unfolded(table, self._schema).columns
        flat = [pa.chunked_array([_texts(_values(c))]) if _needs_json(c.type) else c for c in columns]
        self._writer.write_table(pa.Table.from_arrays(flat, schema=self._flat))


def _needs_json(type_: Any) -> bool:
    """Whether the CSV writer cannot write this type, or only as a number without its unit."""
    from pyarrow import types

    is_binary = types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_)
    is_view = types.is_string_view(type_) or types.is_binary_view(type_)
    return bool(types.is_nested(type_) or types.is_duration(type_) or is_binary or is_view)


def json_lines(table: Any) -> Iterator[str]:
    """Each row as a line of JSON."""
    columns = {name: _values(table[name]) for name in table.column_names}
    objects = columns.pop(OBJECT, None) if table.column_names[0] == OBJECT else None
    for place, cells in enumerate(zip(*columns.values(), strict=True)):
        kept = {} if objects is None else json.loads(objects[place])
        yield _json({**kept, **dict(zip(columns, cells, strict=True))}) + "\n"


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=_plain)
    return text if _is_unicode(text) else json.dumps(_finite(value), default=_plain)


def _is_unicode(text: str) -> bool:
    """Whether it has no lone surrogate, which JSON in ASCII can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> str:
    """What JSON has no type for, as text."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _finite(value: Any) -> Any:
    """The same with null for infinity and for what is no number: JSON has neither."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _values(column: Any) -> list[Any]:
    """Python values; as Arrow writes them where Python has none, such as a date after the year 9999."""
    import pyarrow as pa

    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        values = column.cast(pa.binary() if is_text else pa.string()).to_pylist()
        values = [cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell for cell in values]
    return values


def _columns_of(tables: Tables, schema: Any, columns: Sequence[str]) -> Any:
    """The schema with a column for each key of the objects, of a type that holds all its values, else text."""
    import pyarrow as pa

    types: dict[str, Any] = dict.fromkeys(columns, pa.null())
    for table in tables():
        for name, values in _cells(table).items():
            types[name] = _common(types.get(name, pa.null()), _type_of(values))
    added = [schema.field(place) for place in range(1, len(schema))]
    return pa.schema([*(pa.field(name, type_) for name, type_ in types.items()), *added], metadata=schema.metadata)


def _cells(table: Any) -> dict[str, list[Any]]:
    """The objects' values by key; None where an object lacks it."""
    objects = [json.loads(text) for text in table[OBJECT].to_pylist()]
    names = dict.fromkeys(name for values in objects for name in values)
    return {name: [values.get(name) for values in objects] for name in names}


def _type_of(values: Sequence[Any]) -> Any:
    import pyarrow as pa

    try:
        type_ = pa.array(values).type
    except (pa.ArrowException, ValueError, OverflowError):
        return pa.string()
    return pa.string() if "struct<>" in str(type_) else type_  # Parquet has no struct without fields


def _common(one: Any, other: Any) -> Any:
    import pyarrow as pa

    schemas = [pa.schema([("value", type_)]) for type_ in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()


def _unfolded(table: Any, schema: Any) -> Any:
    """The part with this schema: objects become columns."""
    import pyarrow as pa

    if table.column_names[0] != OBJECT:
        return table.cast(schema)
    cells, rows = _cells(table), table.num_rows
    kept = len(schema) - table.num_columns + 1
    arrays = [_array(cells.get(field.name, [None] * rows), field.type) for field in list(schema)[:kept]]
    return pa.Table.from_arrays([*arrays, *table.columns[1:]], schema=schema)


def _array(values: Sequence[Any], type_: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_string(type_):
        return _texts(values)
    try:
        return pa.array(values, type_)
    except pa.ArrowInvalid:  # whole numbers beyond 2^53 in a column with fractions
        return pa.array([None if value is None else float(value) for value in values], type_)


def _texts(values: Sequence[Any]) -> Any:
    """Text as it is, what is none as JSON."""
    import pyarrow as pa

    texts = [value if value is None or isinstance(value, str) else _text(value) for value in values]
    raw = [None if text is None else text.encode("utf-8", "replace") for text in texts]  # for lone surrogates
    return pa.array(raw, pa.binary()).cast(pa.string())


def _text(value: Any) -> str:
    plain = value if isinstance(value, dict | list | tuple | bool | int | float) else _plain(value)
    return plain if isinstance(plain, str) else _json(plain)
