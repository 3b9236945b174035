"""Gold sets: the rows of an evaluation, each with text, gold label and the teacher's votes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tutelage.core.arrays import Ints, indices
from tutelage.core.errors import SourceError, StudentError
from tutelage.core.records import ProgressCallback, Vote, unreported
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
from tutelage.training.measures.near_duplicates import RULE, near_duplicates
from tutelage.training.students.recipe import digest


@dataclass(frozen=True, kw_only=True)
class GoldRow:
    """A row with its gold label, and its votes (empty where no teacher was asked)."""

    id: str
    text: str
    gold: str
    votes: tuple[Vote, ...] = ()

    @property
    def consensus(self) -> str | None:
        """The consensus label of the votes; None where all abstain."""
        majority = consensus([vote.label for vote in self.votes])
        return majority.label if majority else None

    @property
    def agreement(self) -> float | None:
        """The fraction of the votes that equal the consensus."""
        return agreement(self.consensus, [vote.label for vote in self.votes]) if self.consensus else None


@dataclass(frozen=True, kw_only=True)
class GoldSet:
    """The rows of an evaluation.

    Each text is one row. ``unusable`` counts rows whose gold label is not one of the task's, ``rejected`` rows that
    cannot be read or have no text, ``repeated`` rows that repeat a text and its gold label. ``contradictory`` are
    the ids of rows that were left out because equal texts have different gold labels. ``is_holdout`` where it is
    the task's own.
    """

    name: str
    items: tuple[GoldRow, ...]
    unusable: int = 0
    rejected: int = 0
    repeated: int = 0
    contradictory: tuple[str, ...] = ()
    is_holdout: bool = False

    @property
    def texts(self) -> list[str]:
        """The texts, in order."""
        return [item.text for item in self.items]

    @property
    def digest(self) -> str:
        """A hash of texts and gold labels."""
        return digest([[item.text, item.gold] for item in self.items])

    def gold(self, label_names: Sequence[str]) -> Ints:
        """Shape (N,): the index of each gold label."""
        return indices([item.gold for item in self.items], label_names)

    def with_votes(self) -> list[int]:
        """Indices of the rows with votes."""
        return [i for i, item in enumerate(self.items) if item.votes]


@dataclass(frozen=True, kw_only=True)
class GoldColumns:
    """Names of a file's columns; votes as ``--vote`` takes them."""

    text: str
    gold: str
    id: str = ""
    votes: tuple[str, ...] = ()


def load_gold_set(workspace: Workspace, source: Source, columns: GoldColumns) -> GoldSet:
    """The rows of a file; where it has no votes, with the ledger's votes on the same text.

    Of several records with that text, the one with the row's id is used. Rows that cannot be
    read or have no text go to ``rejects.jsonl``.

    Raises
    ------
    SourceError
        When a column is missing, or no row's gold label is one of the task's.
    """
    votes = vote_columns(columns.votes, source, "teacher")
    source.require([columns.text, columns.gold], ". Name those with the texts and gold labels with --text and --gold.")
    source.require([columns.id, *(column.label for column in votes)])
    rows, rejects = _split_rows(source, columns)
    Rejects(workspace.rejects).add(rejects)
    items = [_item(row, columns, votes, workspace.task) for row in rows]
    items = items if votes else _with_ledger_votes(workspace, items)
    return replace(_checked(source.name, items, workspace.task), rejected=len(rejects))


def _split_rows(source: Source, columns: GoldColumns) -> tuple[list[Row], list[Reject]]:
    """The usable rows, and the rejected ones without their gold labels."""
    good, bad = list[Row](), list[Reject]()
    for row in source.rows():
        if why := problem_of(row, columns.text):
            values = {name: value for name, value in row.values.items() if name != columns.gold}
            bad.append(Reject(source=source.name, row=row.number, reason=why, values=values))
        else:
            good.append(row)
    return good, bad


def _item(row: Row, columns: GoldColumns, votes: Sequence[VoteColumn], task: Task) -> GoldRow:
    cast = tuple(task.vote(vote.voter, row.cell(vote.label)) for vote in votes)
    text = row.cell(columns.text)
    row_id = row.cell(columns.id).strip() if columns.id else f"row {row.number}"
    return GoldRow(id=row_id, text=text, gold=row.cell(columns.gold), votes=cast)


def _with_ledger_votes(workspace: Workspace, items: Sequence[GoldRow]) -> list[GoldRow]:
    if not workspace.db.exists():
        return list(items)
    with Ledger(workspace.db) as ledger:
        records = [record for record in ledger.records(workspace.task) if record.votes]
    by_text = {normalised(record.text): record for record in records}
    by_both = {(record.id, normalised(record.text)): record for record in records}
    texts = [normalised(item.text) for item in items]
    matches = [by_both.get((item.id, text)) or by_text.get(text) for item, text in zip(items, texts, strict=True)]
    return [replace(item, votes=record.votes) if record else item for item, record in zip(items, matches, strict=True)]


def find_holdout(workspace: Workspace) -> GoldSet | None:
    """The task's holdout rows as ``load_holdout`` gives them; None where none has a gold label."""
    if not workspace.gold.exists() or not held_out(workspace).ids & read_gold(workspace.gold).keys():
        return None
    return load_holdout(workspace)


def gold_in_and_outside_holdout(workspace: Workspace) -> tuple[dict[str, str], dict[str, str]]:
    """The gold labels that the task has, by record id, as it spells them: to measure labels with.

    Nothing is locked, unlike in ``load_holdout``, which students are measured on.
    """
    if not workspace.gold.exists():
        return {}, {}
    held, task = held_out(workspace).ids, workspace.task
    read = {record_id: task.read_label(label) for record_id, label in read_gold(workspace.gold).items()}
    known = {record_id: label for record_id, label in read.items() if label}
    inside = {record_id: label for record_id, label in known.items() if record_id in held}
    return inside, {record_id: label for record_id, label in known.items() if record_id not in held}


def load_holdout(workspace: Workspace) -> GoldSet:
    """The task's holdout rows with gold labels, locked at their first use.

    Raises
    ------
    StudentError
        When there is none, or it differs from the locked one.
    """
    task = workspace.task
    if not workspace.gold.exists():
        raise StudentError(
            "the task has no gold labels; evaluate on a file: tutelage evaluate FILE --text COL --gold COL"
        )
    gold = read_gold(workspace.gold)
    held = held_out(workspace).ids
    with Ledger(workspace.db) as ledger:
        records = [record for record in ledger.records(task) if record.id in gold and record.id in held]
    if not records:
        raise StudentError(
            "the holdout has no gold labels; set holdout in task.yaml before the next train,"
            " or evaluate on a file: tutelage evaluate FILE --text COL --gold COL"
        )
    locked = lock_holdout(workspace.root, [(record.id, record.text, gold[record.id]) for record in records])
    items = [GoldRow(id=r.id, text=r.text, gold=gold[r.id], votes=r.votes) for r in records if r.id in locked]
    return replace(_checked("the holdout", items, task), is_holdout=True)


def _checked(name: str, items: Sequence[GoldRow], task: Task) -> GoldSet:
    read = [(item, task.read_label(item.gold)) for item in items]
    usable = [replace(item, gold=label) for item, label in read if label]
    good, contradictory = each_text_once(usable)
    if not good:
        why = f"; {len(contradictory)} rows have texts with different gold labels" if contradictory else ""
        raise SourceError(f"{name}: no row has a text and a gold label of {list(task.label_names)}{why}")
    return GoldSet(
        name=name,
        items=good,
        unusable=len(items) - len(usable),
        repeated=len(usable) - len(good) - len(contradictory),
        contradictory=contradictory,
    )


def each_text_once(items: Sequence[GoldRow]) -> tuple[tuple[GoldRow, ...], tuple[str, ...]]:
    """One row of each text, the first with votes, and the ids of rows whose texts have several gold labels.

    A text whose gold labels contradict each other has none that a prediction could be held against: taking the more
    frequent one would make the figure depend on how often a row was copied.
    """
    by_text: dict[str, list[GoldRow]] = {}
    for item in items:
        by_text.setdefault(text_key(item.text), []).append(item)
    good, contradictory = list[GoldRow](), list[str]()
    for same in by_text.values():
        if len({item.gold for item in same}) > 1:
            contradictory += [item.id for item in same]
        else:
            good.append(next((item for item in same if item.votes), same[0]))
    return tuple(good), tuple(contradictory)


def check_unseen(
    gold_set: GoldSet,
    seen: Collection[str],
    texts: Sequence[str],
    student: str,
    progress: ProgressCallback = unreported,
    *,
    rule: int = RULE,
) -> None:
    """Refuse a gold set with training texts of the student, or near-duplicates of them.

    ``seen`` are the keys of all training texts, ``texts`` those that are available. ``rule`` is what kept the task's
    holdout out of the training; other rows are held to the current one.

    Raises
    ------
    StudentError
        With the number of such rows, and the first one.
    """
    rule = rule if gold_set.is_holdout else RULE
    near = near_duplicates(gold_set.texts, texts, rule=rule, progress=progress)
    equal = [text_key(text) in seen for text in gold_set.texts]
    trained_on = [item.id for item, same, i in zip(gold_set.items, equal, near, strict=True) if same or i >= 0]
    if trained_on:
        similar = len(trained_on) - sum(equal)
        words = f", {similar} of them as near-duplicates" if similar else ""
        raise StudentError(
            f"{gold_set.name}: {student} was trained on {len(trained_on)} of its {len(gold_set.items)} rows{words}"
            f" (first: {trained_on[0]});"
            " evaluate on other rows, or set holdout.file in task.yaml to this file and train again"
        )
