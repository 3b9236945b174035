"""Outputs of predictions: part files, which survive a kill and are joined at the end, or standard output."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from tutelage.core.arrays import Floats, decide
from tutelage.core.errors import SourceError
from tutelage.core.files import replacing, write_text
from tutelage.core.locks import locked
from tutelage.training.prediction.windows import Window

STANDARD = "-"
PARQUET, CSV, JSONL = {".parquet"}, {".csv"}, {".jsonl", ".ndjson"}
_DIGITS = 6


class Output(Protocol):
    """Takes predictions, window by window in order."""

    def has(self, window: Window) -> bool:
        """Whether an earlier run predicted these rows with the same student and engine."""
        ...

    def add(self, window: Window, probs: Floats | None) -> None:
        """Take probabilities of shape (N, K); None where ``has`` is True."""
        ...

    def finish(self) -> Counter[str]:
        """Complete the output; returns the number of rows by label."""
        ...


@dataclass(frozen=True)
class OutputFormat:
    """The columns, and metadata of the output: student, engine, labels."""

    label_names: tuple[str, ...]
    about: Mapping[str, Any]

    def table(self, ids: Sequence[str], probs: Floats) -> Any:
        """An Arrow table: id, label, and ``prob_LABEL`` for each label in the task's order, rounded to six decimals."""
        import pyarrow as pa

        labels = [self.label_names[i] for i in decide(probs)]
        arrays = [pa.array(list(ids), pa.string()), pa.array(labels, pa.string())]
        arrays += [pa.array(column, pa.float64()) for column in np.round(probs, _DIGITS).T]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    @property
    def schema(self) -> Any:
        """Schema of the table; its metadata hold ``about`` as JSON under ``tutelage``."""
        import pyarrow as pa

        texts = [("id", pa.string()), ("label", pa.string())]
        probs = [(f"prob_{name}", pa.float64()) for name in self.label_names]
        return pa.schema([*texts, *probs], metadata={"tutelage": json.dumps(self.about, ensure_ascii=False)})


def open_output(name: str, style: OutputFormat, key: str) -> Output:
    """The output with this name; ``key`` is a digest of everything but the rows that determines the result.

    Raises
    ------
    SourceError
        When the format is unknown.
    """
    return StandardOutput(style) if name == STANDARD else PartFiles(Path(name), style, key)


def check_output(name: str, source: str) -> None:
    """Refuse an output with an unknown format, that is the source, or that cannot be written, before any work."""
    if name == STANDARD:
        return
    path = Path(name).resolve()
    if path == Path(source).resolve():
        raise SourceError(f"{name}: is also IN, which would be overwritten; choose another OUT")
    if path.suffix.lower() not in PARQUET | CSV | JSONL:
        raise SourceError(f"{name}: unknown format; OUT must end in .parquet, .csv or .jsonl, or be -")
    if path.is_dir():
        raise SourceError(f"{name}: is a directory; OUT must be a file")
    folder = next(parent for parent in path.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SourceError(f"{name}: {folder} is not writable; choose another directory for OUT")


@contextmanager
def sole_writer(name: str) -> Iterator[None]:
    """Lock this output against concurrent writers.

    Raises
    ------
    SourceError
        When another process writes it.
    """
    if name == STANDARD:
        yield
        return

    def refuse(_holder: str) -> None:
        raise SourceError(f"{name}: another predict is writing it; wait for it, or choose another OUT")

    folder = _parts_of(Path(name))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", on_wait=refuse):
        try:
            yield
        finally:
            (folder / ".lock").unlink(missing_ok=True)
            with suppress(OSError):  # finished parts stay for the next run
                folder.rmdir()


def _parts_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.parts")


class StandardOutput:
    """JSON lines, each window as soon as it is predicted; without resume."""

    def __init__(self, style: OutputFormat) -> None:
        self._style = style
        self._counts: Counter[str] = Counter()

    def has(self, _window: Window) -> bool:
        """Never."""
        return False

    def add(self, window: Window, probs: Floats | None) -> None:
        """Print the window."""
        assert probs is not None  # noqa: S101  # has() is False
        table = self._style.table(window.ids, probs)
        sys.stdout.writelines(_json_lines(table))
        sys.stdout.flush()
        self._counts.update(table["label"].to_pylist())

    def finish(self) -> Counter[str]:
        """The number of rows by label."""
        return self._counts


class PartFiles:
    """One Parquet file per window in ``OUT.parts/``, named by what determines its content."""

    def __init__(self, path: Path, style: OutputFormat, key: str) -> None:
        self.folder = _parts_of(path)
        self._path, self._style, self._key = path, style, key
        self._parts: list[Path] = []

    def part(self, window: Window) -> Path:
        """The path of this window's part."""
        return self.folder / f"{window.number:06d}-{window.digest}-{self._key}.parquet"

    def has(self, window: Window) -> bool:
        """Whether the part exists, complete."""
        return self.part(window).exists()

    def add(self, window: Window, probs: Floats | None) -> None:
        """Write the part, or use the existing one."""
        if probs is not None:
            self.write(window, probs)
        self._parts.append(self.part(window))

    def write(self, window: Window, probs: Floats) -> None:
        """Write the part atomically."""
        import pyarrow.parquet as pq

        with replacing(self.part(window)) as temporary:
            pq.write_table(self._style.table(window.ids, probs), temporary)

    def finish(self) -> Counter[str]:
        """Join the parts, one at a time in memory, into OUT, and remove them."""
        counts: Counter[str] = Counter()
        with replacing(self._path) as temporary, _writer(temporary, self._path, self._style.schema) as out:
            for part in self._parts:
                table = _read(part, self._style.schema)
                counts.update(table["label"].to_pylist())
                out.write(table)
        if self._path.suffix.lower() not in PARQUET:
            about = json.dumps({**self._style.about, "rows": counts.total()}, ensure_ascii=False, indent=2)
            write_text(self._path.with_name(f"{self._path.name}.meta.json"), about + "\n")
        shutil.rmtree(self.folder, ignore_errors=True)
        return counts


def _read(part: Path, schema: Any) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(part) as file:
        return file.read().replace_schema_metadata(schema.metadata)


def _writer(temporary: Path, path: Path, schema: Any) -> Any:
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        import pyarrow.parquet as pq

        return pq.ParquetWriter(temporary, schema)
    if suffix in CSV:
        from pyarrow import csv

        return csv.CSVWriter(temporary, schema)
    return _JsonLines(temporary)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, table: Any) -> None:
        self._file.writelines(_json_lines(table))


def _json_lines(table: Any) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
