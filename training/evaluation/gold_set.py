"""The rows that something is measured on: text, gold label, and the teacher's votes on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tutelage.core.arrays import Ints, indices
from tutelage.core.errors import SourceError, StudentError
from tutelage.core.records import Vote
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.loaders.consensus import agreement, consensus
from tutelage.loaders.gold import read_gold
from tutelage.loaders.holdout import held_out, lock_holdout
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.load import VoteColumn, vote_columns
from tutelage.loaders.rows import Row, normalised, problem_of, text_key
from tutelage.loaders.sources import Source
from tutelage.training.measures.near_duplicates import near_duplicates


@dataclass(frozen=True)
class GoldRow:
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
class GoldSet:
    """Rows to measure on.

    ``unusable`` counts those whose gold label is none of the task's, ``rejected`` those that cannot
    be read or have no text.
    """

    name: str
    items: tuple[GoldRow, ...]
    unusable: int = 0
    rejected: int = 0

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
class GoldColumns:
    """Which columns of a file hold what; votes as ``--vote`` gives them."""

    text: str
    gold: str
    id: str = ""
    votes: tuple[str, ...] = ()


def load_gold_set(workspace: Workspace, source: Source, columns: GoldColumns) -> GoldSet:
    """The rows of a file; where it has no votes, those that the ledger has for the same text.

    Where several records have that text, the one with the row's id is taken. Rows that cannot be
    read or have no text go to ``rejects.jsonl``.

    Raises
    ------
    SourceError
        When a column is missing, or no row's gold label is one of the task's.
    """
    votes = vote_columns(columns.votes, source, "teacher")
    source.require([columns.text, columns.gold, columns.id, *(column.label for column in votes)])
    rows, rejects = _sifted(source, columns)
    Rejects(workspace.rejects).add(rejects)
    items = [_item(row, columns, votes, workspace.task) for row in rows]
    items = items if votes else _with_ledger_votes(workspace, items)
    return replace(_checked(source.name, items, workspace.task), rejected=len(rejects))


def _sifted(source: Source, columns: GoldColumns) -> tuple[list[Row], list[Reject]]:
    """The rows with a text, and what is kept of the others; never their gold labels."""
    good, bad = list[Row](), list[Reject]()
    for row in source.rows():
        if why := problem_of(row, columns.text):
            values = {name: value for name, value in row.values.items() if name != columns.gold}
            bad.append(Reject(source=source.name, row=row.number, reason=why, values=values))
        else:
            good.append(row)
    return good, bad


def _item(row: Row, columns: GoldColumns, votes: Sequence[VoteColumn], task: Task) -> GoldRow:
    said = tuple(task.vote(vote.voter, row.cell(vote.label)) for vote in votes)
    text = row.cell(columns.text)
    row_id = row.cell(columns.id).strip() if columns.id else f"row {row.number}"
    return GoldRow(row_id, text, row.cell(columns.gold), said)


def _with_ledger_votes(workspace: Workspace, items: Sequence[GoldRow]) -> list[GoldRow]:
    if not workspace.db.exists():
        return list(items)
    with Ledger(workspace.db) as ledger:
        records = [record for record in ledger.records(workspace.task) if record.votes]
    by_text = {normalised(record.text): record for record in records}
    by_both = {(record.id, normalised(record.text)): record for record in records}
    texts = [normalised(item.text) for item in items]
    found = [by_both.get((item.id, text)) or by_text.get(text) for item, text in zip(items, texts, strict=True)]
    return [replace(item, votes=record.votes) if record else item for item, record in zip(items, found, strict=True)]


def load_holdout(workspace: Workspace) -> GoldSet:
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
    locked = lock_holdout(workspace.root, [(record.id, record.text, gold[record.id]) for record in records])
    items = [GoldRow(r.id, r.text, gold[r.id], r.votes) for r in records if r.id in locked]
    return _checked("the holdout", items, task)


def _checked(name: str, items: Sequence[GoldRow], task: Task) -> GoldSet:
    read = [(item, task.read_label(item.gold)) for item in items]
    good = tuple(replace(item, gold=label) for item, label in read if label)
    if not good:
        raise SourceError(f"{name}: no row with a text and a gold label out of {list(task.label_names)}")
    return GoldSet(name, good, len(items) - len(good))


def check_unseen(sheet: GoldSet, seen: Collection[str], texts: Sequence[str], student: str) -> None:
    """Refuse to measure a student on a text that it was trained on, or on a near-duplicate of one.

    ``seen`` holds the keys of the texts it was trained on, ``texts`` those that are still known.

    Raises
    ------
    StudentError
        With the number of such rows and the first one.
    """
    near = near_duplicates(sheet.texts, texts)
    equal = [text_key(text) in seen for text in sheet.texts]
    known = [item.id for item, same, twin in zip(sheet.items, equal, near, strict=True) if same or twin >= 0]
    if known:
        alike = len(known) - sum(equal)
        words = f", {alike} of them as near-duplicates" if alike else ""
        raise StudentError(
            f"{sheet.name}: {student} was trained on {len(known)} of its {len(sheet.items)} rows{words}"
            f" (first: {known[0]});"
            " measure on other rows, or name the file as holdout.file in task.yaml and train again"
        )
