"""Outputs of predictions: part files, which survive a kill and are joined at the end, or standard output."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tutelage.core.arrays import Floats, decide
from tutelage.core.errors import SourceError
from tutelage.core.files import replacing, write_text
from tutelage.core.locks import locked
from tutelage.training.measures.selective import DIGITS, is_kept
from tutelage.training.prediction.kept import Kept
from tutelage.training.prediction.windows import Window
from tutelage.training.prediction.writers import CSV, JSONL, PARQUET, Writer, json_lines, open_writer

STANDARD = "-"
_TRUNCATED = b"truncated"
"""In a part's metadata: how many of its texts the student read the beginning of only."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities of shape (N, K), and how many of the N texts are truncated."""

    probs: Floats
    truncated: int = 0


@dataclass
class Totals:
    """Rows by label, None for rows without one, and the number of texts that are truncated."""

    labels: Counter[str | None] = field(default_factory=Counter)
    truncated: int = 0

    def add(self, table: Any) -> None:
        """Count a part."""
        self.labels.update(table["label"].to_pylist())
        self.truncated += int((table.schema.metadata or {}).get(_TRUNCATED, 0))

    @property
    def rows(self) -> int:
        """All rows."""
        return self.labels.total()

    @property
    def abstained(self) -> int:
        """Rows without a label."""
        return self.labels[None]


def labels_at_least(probs: Floats, names: Sequence[str], min_probability: float) -> list[str | None]:
    """The most probable label of each row, None where its probability is below ``min_probability``."""
    kept = is_kept(probs, min_probability)
    return [names[i] if keep else None for i, keep in zip(decide(probs), kept, strict=True)]


class Output(Protocol):
    """Takes predictions, window by window in order."""

    def has(self, window: Window) -> bool:
        """Whether an earlier run predicted these rows with the same student and engine."""
        ...

    def add(self, window: Window, predictions: Predictions | None) -> None:
        """Take predictions; None where ``has`` is True."""
        ...

    def finish(self) -> Totals:
        """Complete the output; returns what it holds."""
        ...


def added_columns(label_names: Sequence[str]) -> tuple[str, ...]:
    """The columns beside those of the source: label, and ``prob_LABEL`` for each label in the task's order."""
    return ("label", *(f"prob_{name}" for name in label_names))


@dataclass(frozen=True)
class OutputFormat:
    """The columns of a part, metadata of the output (student, engine, labels), and the least probability of a label."""

    label_names: tuple[str, ...]
    about: Mapping[str, Any]
    kept: Kept
    min_probability: float = 0.0

    def table(self, kept: Any, predictions: Predictions) -> Any:
        """An Arrow table: what is kept, the label, and the probabilities, rounded to six decimals."""
        import pyarrow as pa

        probs, schema = predictions.probs, self.schema
        labels = labels_at_least(probs, self.label_names, self.min_probability)
        arrays = [*kept.columns, pa.array(labels, pa.string())]
        arrays += [pa.array(column, pa.float64()) for column in np.round(probs, DIGITS).T]
        counted = {**schema.metadata, _TRUNCATED: str(predictions.truncated)}
        return pa.Table.from_arrays(arrays, schema=schema.with_metadata(counted))

    @property
    def schema(self) -> Any:
        """Schema of the table; its metadata hold ``about`` as JSON under ``tutelage``."""
        import pyarrow as pa

        label, *probs = added_columns(self.label_names)
        added = [pa.field(label, pa.string()), *(pa.field(name, pa.float64()) for name in probs)]
        return pa.schema([*self.kept.schema, *added], metadata={"tutelage": json.dumps(self.about, ensure_ascii=False)})


def open_output(name: str, style: OutputFormat, key: str) -> Output:
    """The output with this name; ``key`` is a digest of everything but the rows that determines the result.

    Raises
    ------
    SourceError
        When the format is unknown.
    """
    return StandardOutput(style) if name == STANDARD else PartFiles(Path(name), style, key)


def check_output(name: str, source: str, *, force: bool = False) -> None:
    """Refuse an output that is the source, of an unknown format, there already, or not writable, before any work."""
    if name == STANDARD:
        return
    path = Path(name).resolve()
    if path == Path(source).resolve():
        raise SourceError(f"{name}: is also IN, which would be overwritten; choose another OUT")
    if path.suffix.lower() not in PARQUET | CSV | JSONL:
        raise SourceError(f"{name}: unknown format; OUT must end in .parquet, .csv or .jsonl, or be -")
    if path.is_dir():
        raise SourceError(f"{name}: is a directory; OUT must be a file")
    if path.exists() and not force:
        raise SourceError(f"{name}: is there already; choose another OUT, or replace it with --force")
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
        self._style, self._totals = style, Totals()

    def has(self, _window: Window) -> bool:
        """Never."""
        return False

    def add(self, window: Window, predictions: Predictions | None) -> None:
        """Print the window."""
        assert predictions is not None  # noqa: S101  # has() is False
        table = self._style.table(window.kept, predictions)
        sys.stdout.writelines(json_lines(table))
        sys.stdout.flush()
        self._totals.add(table)

    def finish(self) -> Totals:
        """What was printed."""
        return self._totals


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

    def add(self, window: Window, predictions: Predictions | None) -> None:
        """Write the part, or use the existing one."""
        if predictions is not None:
            self.write(self.part(window), window.kept, predictions)
        self.append(self.part(window))

    def append(self, part: Path) -> None:
        """Take a part that is written."""
        self._parts.append(part)

    def write(self, part: Path, kept: Any, predictions: Predictions) -> None:
        """Write a part atomically."""
        import pyarrow.parquet as pq

        with replacing(part, public=True) as temporary:
            pq.write_table(self._style.table(kept, predictions), temporary)

    def finish(self) -> Totals:
        """Join the parts, one at a time in memory, into OUT, and remove them."""
        totals = Totals()
        with replacing(self._path, public=True) as temporary, self._writer(temporary) as out:
            for table in self._tables():
                totals.add(table)
                out.write(table)
        if self._path.suffix.lower() not in PARQUET:
            counts = {"rows": totals.rows, "abstained": totals.abstained, "truncated": totals.truncated}
            about = json.dumps({**self._style.about, **counts}, ensure_ascii=False, indent=2)
            write_text(self._path.with_name(f"{self._path.name}.meta.json"), about + "\n", public=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return totals

    def _writer(self, path: Path) -> Writer:
        style = self._style
        return open_writer(path, self._path.suffix.lower(), self._tables, style.schema, style.kept.columns)

    def _tables(self) -> Iterator[Any]:
        import pyarrow.parquet as pq

        for part in self._parts:
            with pq.ParquetFile(part) as file:
                yield file.read()
