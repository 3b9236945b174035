"""The rows that something is measured on: text, gold label, and the teacher's votes on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loaders.consensus import agreement, consensus
from loaders.gold import read_gold
from loaders.ledger import Ledger
from loaders.sources import Row, Source
from loaders.texts import VoteColumn, normalised, vote_columns
from training.holdout import held_out, lock, text_key
from training.student import NO_LABEL, Ints
from tutelage.errors import SourceError, StudentError
from tutelage.record import Record, Vote
from tutelage.task import Task
from tutelage.workspace import Workspace


@dataclass(frozen=True)
class Item:
    """One row: its gold label, and its votes (empty where no teacher was asked)."""

    id: str
    text: str
    gold: str
    votes: tuple[Vote, ...] = ()

    @property
    def consensus(self) -> str | None:
        """The votes' label; None where all abstain."""
        found = consensus([vote.label for vote in self.votes])
        return found.label if found else None

    @property
    def agreement(self) -> float | None:
        """The fraction of the votes that equal the consensus."""
        return agreement(self.consensus, [vote.label for vote in self.votes]) if self.consensus else None


@dataclass(frozen=True)
class Sheet:
    """Rows to measure on; ``unusable`` counts those whose gold label is none of the task's."""

    name: str
    items: tuple[Item, ...]
    unusable: int = 0

    @property
    def texts(self) -> list[str]:
        """The texts, in order."""
        return [item.text for item in self.items]

    def gold(self, label_names: Sequence[str]) -> Ints:
        """Shape (N,): the index of each gold label."""
        return indices([item.gold for item in self.items], label_names)

    def with_votes(self) -> list[int]:
        """Numbers of the rows that a teacher was asked about."""
        return [i for i, item in enumerate(self.items) if item.votes]


@dataclass(frozen=True)
class SheetColumns:
    """Which columns of a file hold what; votes as ``--vote`` gives them."""

    text: str
    gold: str
    id: str = ""
    votes: tuple[str, ...] = ()


def indices(labels: Iterable[str | None], label_names: Sequence[str]) -> Ints:
    """The place of each label in the task's order; -1 for None."""
    index = {name: i for i, name in enumerate(label_names)}
    return np.array([NO_LABEL if label is None else index[label] for label in labels], dtype=np.int64)


def from_file(workspace: Workspace, source: Source, columns: SheetColumns) -> Sheet:
    """The rows of a file; where it has no votes, those that the ledger has for the same id or text.

    Raises
    ------
    SourceError
        When a column is missing, or no row's gold label is one of the task's.
    """
    there = source.columns()
    missing = [name for name in (columns.text, columns.gold, columns.id) if name and name not in there]
    if missing:
        raise SourceError(f"{source.name}: no column {missing[0]!r}; it has: {', '.join(there)}")
    votes = vote_columns(columns.votes, source, "teacher")
    unknown = [column.label for column in votes if column.label not in there]
    if unknown:
        raise SourceError(f"{source.name}: no column {unknown[0]!r} for --vote; it has: {', '.join(there)}")
    rows = [row for row in source.rows() if not row.problem and row.cell(columns.text).strip()]
    items = [_item(row, columns, votes, workspace.task) for row in rows]
    return _checked(source.name, items if votes else _with_ledger_votes(workspace, items), workspace.task)


def _item(row: Row, columns: SheetColumns, votes: Sequence[VoteColumn], task: Task) -> Item:
    said = tuple(Vote(vote.voter, raw := row.cell(vote.label), task.read_label(raw)) for vote in votes)
    text = row.cell(columns.text)
    row_id = row.cell(columns.id).strip() if columns.id else f"row {row.number}"
    return Item(row_id, text, row.cell(columns.gold), said)


def _with_ledger_votes(workspace: Workspace, items: Sequence[Item]) -> list[Item]:
    if not workspace.db.exists():
        return list(items)
    with Ledger(workspace.db) as ledger:
        records = [record for record in ledger.records(workspace.task) if record.votes]
    by_id: dict[str, Record] = {record.id: record for record in records}
    by_text = {normalised(record.text): record for record in records}
    found = [by_id.get(item.id) or by_text.get(normalised(item.text)) for item in items]
    return [replace(item, votes=record.votes) if record else item for item, record in zip(items, found, strict=True)]


def from_holdout(workspace: Workspace) -> Sheet:
    """The task's own holdout rows with gold labels, locked at their first use.

    Raises
    ------
    StudentError
        When there is none, or it is not what was locked.
    """
    task = workspace.task
    if not workspace.gold.exists():
        raise StudentError("no gold labels in this task; name a file: tutelage evaluate FILE --text COL --gold COL")
    gold = read_gold(workspace.gold)
    held = held_out(workspace).ids
    with Ledger(workspace.db) as ledger:
        records = [record for record in ledger.records(task) if record.id in gold and record.id in held]
    if not records:
        raise StudentError(
            "no gold-labelled row is held out; set holdout in task.yaml before the next train,"
            " or name a file: tutelage evaluate FILE --text COL --gold COL"
        )
    locked = lock(workspace.root, [(record.id, record.text, gold[record.id]) for record in records])
    items = [Item(r.id, r.text, gold[r.id], r.votes) for r in records if r.id in locked]
    return _checked("the holdout", items, task)


def _checked(name: str, items: Sequence[Item], task: Task) -> Sheet:
    read = [(item, task.read_label(item.gold)) for item in items]
    good = tuple(replace(item, gold=label) for item, label in read if label)
    if not good:
        raise SourceError(f"{name}: no row with a text and a gold label out of {list(task.label_names)}")
    return Sheet(name, good, len(items) - len(good))


def refuse_seen(sheet: Sheet, seen: Collection[str], student: str) -> None:
    """Refuse to measure a student on a text that it was trained on; ``seen`` holds the keys of those.

    Raises
    ------
    StudentError
        With the number of such rows and the first one.
    """
    known = [item.id for item in sheet.items if text_key(item.text) in seen]
    if known:
        raise StudentError(
            f"{sheet.name}: {student} was trained on {len(known)} of its {len(sheet.items)} rows (first: {known[0]});"
            " measure on other rows, or name the file as holdout.file in task.yaml and train again"
        )
