"""Reads people's answers from CSV, XLSX, JSONL, Parquet, frames and Label Studio's export, as rows of one shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tutelage.core.errors import SourceError
from tutelage.core.formats.strict_json import read_json
from tutelage.feedback.exchange.formula_guard import unguarded
from tutelage.feedback.exchange.label_studio import PERSON, answers_of, is_export, is_flat_export
from tutelage.feedback.exchange.xlsx import read_xlsx
from tutelage.loaders.rows import Row
from tutelage.loaders.sources import Source

_UNREADABLE = (".xls", ".ods", ".numbers")


class ReviewFile:
    """A file of answers; ``rows`` have the columns id, label, status, reason and, of several people, completed_by."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._has_guards = Path(self.name).suffix.lower() in {".csv", ".tsv"}
        self.rows, columns = _read(source)
        if is_flat_export(columns):
            raise SourceError(f"{self.name}: the ids in it are Label Studio's own; export again as JSON, in full")
        if {"source", "suspect_rank"} <= set(columns):
            raise SourceError(
                f"{self.name}: is a curated set, whose labels are not one person's answers. To answer in a file, make "
                "a sheet with: tutelage export FILE.xlsx --as review (or leave only the columns id, label and reason)"
            )
        missing = [repr(name) for name in ("id", "label") if name not in columns]
        if missing:
            raise SourceError(f"{self.name}: no column {', '.join(missing)}; its columns: {', '.join(columns)}")

    def people(self) -> list[str]:
        """Who answered, as the file calls them; one empty name where it does not say."""
        return list(dict.fromkeys(row.cell(PERSON) for row in self.rows if not row.problem)) or [""]

    def readings(self, cell: str) -> Sequence[str]:
        """What a cell may stand for, the likelier first: it may have a guard against spreadsheets."""
        return (unguarded(cell), cell) if self._has_guards else (cell, unguarded(cell))


def name_people(file: ReviewFile, annotator: str | Mapping[str, str]) -> Mapping[str, str]:
    """The annotators by what the file calls them.

    Raises
    ------
    SourceError
        When there are several and not all are named.
    """
    people = file.people()
    if isinstance(annotator, str) and len(people) == 1:
        return {people[0]: annotator}
    named = {} if isinstance(annotator, str) else annotator
    if missing := [person for person in people if person not in named]:
        examples = " ".join(f"--annotator {person or 'ID'}=NAME" for person in missing)
        raise SourceError(
            f"{file.name}: holds answers of {len(people)} people ({', '.join(map(repr, people))}); "
            f"say who they are: {examples}"
        )
    return named


def _read(source: Source) -> tuple[list[Row], list[str]]:
    path = Path(source.name)
    suffix = "" if source.frame is not None else path.suffix.lower()
    if suffix in _UNREADABLE:
        raise SourceError(f"{path}: cannot be read; save it as .xlsx or .csv")
    rows: list[Row] | None = None
    if suffix == ".xlsx" and path.is_file():
        rows = list(read_xlsx(path))
    if suffix == ".json" and path.is_file() and (items := _list_in(path)) is not None:
        rows = list(answers_of(items) if is_export(items) else _plain(items))
    if rows is None:
        return list(source.rows()), source.columns()
    return rows, list(dict.fromkeys(name for row in rows for name in row.values)) or ["id", "label"] * bool(rows)


def _list_in(path: Path) -> list[Any] | None:
    """The list that a JSON file holds; None where it is one object a line."""
    with suppress(ValueError, RecursionError):
        items = read_json(path.read_text("utf-8-sig"))
        return items if isinstance(items, list) else None
    return None


def _plain(items: Sequence[Any]) -> Iterator[Row]:
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield Row(number, {key: _cell(value) for key, value in item.items()})
        else:
            yield Row(number, {}, "is not a JSON object")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
