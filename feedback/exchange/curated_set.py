"""Writes the curated set as of now: for people, for other tools, as a review sheet. Never the holdout, never gold."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.core.errors import TutelageError
from tutelage.core.files import replacing, write_text
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.argilla.payload import votes_shown
from tutelage.feedback.curate import Curated, curate, is_open
from tutelage.feedback.exchange.formula_guard import guarded
from tutelage.feedback.exchange.label_studio import interface_of, task_of
from tutelage.feedback.exchange.xlsx import ROWS_MAX, Altered, SheetColumn, comes_back, write_xlsx
from tutelage.loaders.consensus import best_reason, shown
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import Ledger

_Dealt = Mapping[str, Sequence[str]]
"""Whose a record is, by its id."""
STATUSES = ("submitted", "discarded", "draft")
_WIDTHS = {"id": 20, "text": 80, "suggestion": 18, "teacher": 60, "label": 18, "reason": 50, "status": 14}
_COLUMNS = ("id", "text", "label", "source", "status", "suggestion", "agreement", "label_quality", "suspect_rank")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path, format, records
        The file, its format, and how many records are in it.
    left_out
        Records whose id the format cannot hold.
    cut, cleaned
        Cells that XLSX cannot hold as they are: cut to 32,767 characters, and with control characters replaced.
    interface
        Label Studio's labelling interface, beside the file; None for other formats.
    """

    path: Path
    format: str
    records: int
    left_out: int = 0
    cut: int = 0
    cleaned: int = 0
    interface: Path | None = None


def write_curated_set(workspace: Workspace, out: Path, format_: str = "", *, force: bool = False) -> Exported:
    """Write the curated set, with the answers as they were last pulled or imported.

    Parameters
    ----------
    format_
        Empty: every record, as ``out`` ends (.csv, .xlsx, .parquet, .jsonl). ``autotrain``: text and label of those
        that have a label. ``label-studio``, ``review``: what is not settled yet, the worst first.
    force
        Overwrite what is there.

    Raises
    ------
    TutelageError
        When ``out`` is there, or does not end as its format does.
    """
    interface = out.with_suffix(".xml") if format_ == "label-studio" else None
    _check(out, format_, [out, *([interface] if interface else [])], force=force)
    task, (curated, dealt) = workspace.task, _curated(workspace)
    items = list(_OF_FORMAT[format_](curated, task, dealt))
    rows = [_ROW_OF_FORMAT[format_](item) for item in items]
    kept, altered = rows, Altered()
    if out.suffix.lower() == ".xlsx":
        kept = [row for row in rows if comes_back(row["id"])]
        _check_length(out, kept)
    with replacing(out) as temporary:
        altered = _write(temporary, out.suffix.lower(), format_, kept, task)
    if interface:
        write_text(interface, interface_of(task))
    return Exported(
        path=out,
        format=format_ or out.suffix.lower().removeprefix("."),
        records=len(kept),
        left_out=len(rows) - len(kept),
        cut=altered.cut,
        cleaned=altered.cleaned,
        interface=interface,
    )


SUFFIXES = {
    "": (".csv", ".xlsx", ".parquet", ".jsonl"),
    "autotrain": (".csv", ".jsonl", ".parquet"),
    "label-studio": (".json",),
    "review": (".xlsx",),
}
"""The formats, and how their files end."""


def _check(out: Path, format_: str, files: Iterable[Path], *, force: bool) -> None:
    if format_ not in SUFFIXES:
        raise TutelageError(f"{format_}: no such format; there are: {', '.join(filter(None, SUFFIXES))}, or none")
    if out.suffix.lower() not in SUFFIXES[format_]:
        as_ = f" as {format_}" if format_ else ""
        raise TutelageError(f"{out}: cannot be written{as_}; give a name that ends in {' or '.join(SUFFIXES[format_])}")
    there = [path for path in files if path.exists()]
    if there and (not force or there[0].is_dir()):
        raise TutelageError(f"{there[0]}: is there already; give another name, or --force to overwrite it")


def _check_length(out: Path, rows: Sequence[Any]) -> None:
    if len(rows) >= ROWS_MAX:
        raise TutelageError(f"{out}: XLSX holds at most {ROWS_MAX - 1} rows, these are {len(rows)}; write .parquet")


def _curated(workspace: Workspace) -> tuple[list[Curated], _Dealt]:
    """All records but the holdout, and whose they are."""
    holdout = held_out(workspace)
    with Ledger(workspace.db) as ledger:
        records = (record for record in ledger.records(workspace.task) if record not in holdout)
        curated, dealt = curate(records, counting_answers(ledger), ledger.ranks()), ledger.dealt()
    if not curated:
        raise TutelageError(f"{workspace.db}: holds no records to export; bring some with tutelage load or import")
    return curated, dealt


def _all(curated: Sequence[Curated], _task: Task, _dealt: _Dealt) -> Iterator[Curated]:
    yield from curated


def _trained(curated: Sequence[Curated], task: Task, _dealt: _Dealt) -> Iterator[Curated]:
    return (item for item in curated if item.label in task.label_names)


def _open(curated: Sequence[Curated], task: Task, dealt: _Dealt) -> Iterator[Curated]:
    """What is not settled yet, the worst first; what has no rank comes last, in order of arrival."""
    unsettled = [item for item in curated if is_open(item, task, dealt.get(item.record.id, ()))]
    yield from sorted(unsettled, key=lambda item: item.rank.suspect_rank if item.rank else len(curated) + 1)


def _full_row(item: Curated) -> dict[str, Any]:
    suggestion, rank = item.suggestion, item.rank
    return {
        "id": item.record.id,
        "text": item.record.text,
        "label": item.label,
        "source": item.source,
        "status": item.status,
        "suggestion": suggestion and suggestion.label,
        "agreement": suggestion and suggestion.score,
        "label_quality": rank and rank.label_quality,
        "suspect_rank": rank and rank.suspect_rank,
        "reason": _reason(item),
    }


def _reason(item: Curated) -> str:
    """An annotator's words for the label, else the teacher's."""
    said = [each.reason for each in item.responses if each.label == item.label and each.reason_by == "annotator"]
    return said[0] if said else best_reason(item.record.votes, item.label)


def _review_row(item: Curated) -> dict[str, Any]:
    suggestion = shown(item.suggestion)
    suggested = suggestion.label if suggestion else None
    return {"id": item.record.id, "text": item.record.text, "suggestion": suggested, "teacher": _votes(item)}


def _votes(item: Curated) -> str:
    """What the teacher said: the count of each label and the best reason for it."""
    votes = item.record.votes
    labels = dict.fromkeys(vote.label for vote in votes if vote.label is not None)
    return votes_shown(votes, {label: best_reason(votes, label) for label in labels})


def _write(path: Path, suffix: str, format_: str, rows: Sequence[Mapping[str, Any]], task: Task) -> Altered:
    if suffix == ".xlsx":
        choices = {"label": task.label_names, "status": STATUSES} if format_ == "review" else {}
        names = _WIDTHS if format_ == "review" else (*_COLUMNS, "reason")
        columns = [SheetColumn(name=n, width=_WIDTHS.get(n, 12), choices=choices.get(n, ())) for n in names]
        return write_xlsx(path, columns, rows, len(rows))
    _WRITERS[suffix](path, rows, format_)
    return Altered()


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]], format_: str) -> None:
    """For people, who open it with a spreadsheet, no cell is a formula; a machine gets the texts as they are."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"] if format_ == "autotrain" else [*_COLUMNS, "reason"])
        writer.writeheader()
        for row in rows:
            writer.writerow(row if format_ else {key: _inactive(value) for key, value in row.items()})


def _inactive(value: Any) -> Any:
    return guarded(value) if isinstance(value, str) else value


def _write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]], _format: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_json(path: Path, rows: Sequence[Mapping[str, Any]], _format: str) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], format_: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = {"agreement": pa.float64(), "label_quality": pa.float64(), "suspect_rank": pa.int64()}
    names = ("text", "label") if format_ == "autotrain" else (*_COLUMNS, "reason")
    pq.write_table(pa.Table.from_pylist(list(rows), pa.schema({n: numbers.get(n, pa.string()) for n in names})), path)


_WRITERS: Mapping[str, Callable[[Path, Sequence[Mapping[str, Any]], str], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".json": _write_json,
    ".parquet": _write_parquet,
}
_OF_FORMAT = {"": _all, "autotrain": _trained, "label-studio": _open, "review": _open}
_ROW_OF_FORMAT: Mapping[str, Callable[[Curated], dict[str, Any]]] = {
    "": _full_row,
    "autotrain": lambda item: {"text": item.record.text, "label": item.label},
    "label-studio": lambda item: task_of(item, _votes(item)),
    "review": _review_row,
}
