"""From rows to records: ids, checks, votes; rows that cannot be used go to ``rejects.jsonl``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from itertools import islice

from tutelage.core.errors import SourceError
from tutelage.core.records import Progress, ProgressCallback, Record, Voter, unreported
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.loaders.gold import add_gold
from tutelage.loaders.ledger import Answer, Ledger
from tutelage.loaders.rows import TEXT_MAX_LENGTH, Row, normalised, problem_of
from tutelage.loaders.sources import Source

_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteColumn:
    """A column of votes, and the column of their reasons ('' for none)."""

    voter: Voter
    label: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a source's columns; an empty name stands for none."""

    text: str
    id: str = ""
    given: str = ""
    gold: str = ""
    votes: tuple[VoteColumn, ...] = ()

    def names(self) -> list[str]:
        """All columns that are required."""
        votes = (name for vote in self.votes for name in (vote.label, vote.reason))
        return [name for name in (self.text, self.id, self.given, self.gold, *votes) if name]


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What a load did, row by row and vote by vote.

    Parameters
    ----------
    rows, new, known, rejected
        Rows of the source: all, those that made a record, those of known records, those in ``rejects.jsonl``.
    answers
        Votes that are new.
    differing
        Votes that were loaded before with another label, which stays.
    abstentions, given_unread
        The source's votes, and its given labels, that name no label.
    """

    rows: int
    new: int
    known: int
    rejected: int
    answers: int
    differing: int
    abstentions: int
    given_unread: int


def load(
    workspace: Workspace, source: Source, columns: Columns, *, progress: ProgressCallback = unreported
) -> LoadResult:
    """Stream a source into the task's ledger; good rows go in, bad rows to ``rejects.jsonl``.

    Raises
    ------
    SourceError
        When the source or a column is missing, or the file has another encoding.
    """
    task, rejects = workspace.task, Rejects(workspace.rejects)
    source.require(columns.names())
    rows, total = source.rows(), source.row_count()
    with Ledger(workspace.db) as ledger:
        loading = _Loading(columns, ledger, task)
        while batch := list(islice(rows, _BATCH)):
            bad = loading.take(batch)
            rejects.add([_reject(source, row, why, columns) for row, why in bad])
            progress(Progress("loading", loading.counts["rows"], total, "rows"))
    add_gold(workspace.gold, loading.gold)
    return LoadResult(**{field.name: loading.counts[field.name] for field in fields(LoadResult)})


def _reject(source: Source, row: Row, why: str, columns: Columns) -> Reject:
    values = {name: value for name, value in row.values.items() if name != columns.gold}
    return Reject(source=source.name, row=row.number, reason=why, values=values)


class _Loading:
    """Puts batches of rows into the ledger; ``gold`` holds their gold labels by record id."""

    def __init__(self, columns: Columns, ledger: Ledger, task: Task) -> None:
        self._columns, self._ledger, self._task = columns, ledger, task
        self._identify = _Identifier(columns)
        self.counts = Counter[str]()
        self.gold = dict[str, str]()

    def take(self, batch: Sequence[Row]) -> list[tuple[Row, str]]:
        """Put a batch into the ledger in one transaction; returns the rows that cannot be used, with the reason."""
        good, bad = self._split(batch)
        columns = self._columns
        records = [
            Record(record_id, row.cell(columns.text), row.cell(columns.given).strip() or None)
            for record_id, row in good
        ]
        answers = [answer for record_id, row in good for answer in _answers(record_id, row, columns)]
        self._count(records, answers, rejected=len(bad))
        gold = ((record_id, row.cell(columns.gold).strip()) for record_id, row in good)
        self.gold.update((record_id, label) for record_id, label in gold if label)
        return bad

    def _count(self, records: Sequence[Record], answers: Sequence[Answer], *, rejected: int) -> None:
        added, answered = self._ledger.add(records, answers)
        read = self._task.read_label
        self.counts.update(
            rows=len(records) + rejected,
            new=added.new,
            known=added.known,
            rejected=rejected,
            answers=answered.new,
            differing=answered.differing,
            abstentions=sum(1 for answer in answers if not read(answer.label_text)),
            given_unread=sum(1 for record in records if record.given and not read(record.given)),
        )

    def _split(self, batch: Sequence[Row]) -> tuple[list[tuple[str, Row]], list[tuple[Row, str]]]:
        """The usable rows with their ids, and the others with the reason."""
        problems = [(row, _problem(row, self._columns)) for row in batch]
        named = [(self._identify(row), row) for row, problem in problems if not problem]
        texts = self._ledger.text_of([record_id for record_id, _ in named])
        good, bad = [], [(row, problem) for row, problem in problems if problem]
        for record_id, row in named:
            text = row.cell(self._columns.text)
            if normalised(texts.setdefault(record_id, text)) == normalised(text):
                good.append((record_id, row))
            else:
                bad.append((row, f"id {record_id!r} already has another text"))
        return good, bad


def _problem(row: Row, columns: Columns) -> str:
    if problem := problem_of(row, columns.text, columns.id, others=columns.names()):
        return problem
    length = len(row.cell(columns.text))
    if length > TEXT_MAX_LENGTH:
        return f"text of {length} characters is too long for Argilla (at most {TEXT_MAX_LENGTH})"
    if any("\0" in row.cell(name) for name in columns.names()):  # SQLite and PostgreSQL do not take it
        return "contains a NUL character"
    return ""


def _answers(record_id: str, row: Row, columns: Columns) -> Iterator[Answer]:
    for column in columns.votes:
        yield Answer(
            record_id=record_id,
            voter=column.voter,
            label_text=row.cell(column.label),
            reason=row.cell(column.reason),
        )


class _Identifier:
    """The id column; else a hash of the normalised text and the number of its occurrence in the source."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._seen: Counter[str] = Counter()

    def __call__(self, row: Row) -> str:
        if self._columns.id:
            return row.cell(self._columns.id).strip()
        digest = hashlib.sha256(normalised(row.cell(self._columns.text)).encode()).hexdigest()[:16]
        self._seen[digest] += 1
        return f"{digest}-{self._seen[digest]}"


def vote_columns(specs: Iterable[str], source: Source, teacher: str) -> tuple[VoteColumn, ...]:
    """Parse ``LABELCOL[:REASONCOL]`` and ``vote__*``; each column that a star matches is a teacher of its own."""
    available = source.columns()
    votes: list[VoteColumn] = []
    for spec in specs:
        if "*" in spec and spec not in available:
            matches = [name for name in available if fnmatchcase(name, spec)]
            if not matches:
                raise SourceError(
                    f"{source.name}: no column matches --vote {spec!r}; its columns: {', '.join(available)}"
                )
            votes += [VoteColumn(voter=Voter(_starred(name, spec), name), label=name) for name in matches]
        else:
            label, reason = (spec, "") if spec in available else _split(spec)
            votes.append(VoteColumn(voter=Voter(teacher, label), label=label, reason=reason))
    return tuple(votes)


def _split(spec: str) -> tuple[str, str]:
    label, _, reason = spec.partition(":")
    return label, reason


def _starred(name: str, pattern: str) -> str:
    head, _, tail = pattern.partition("*")
    return name[len(head) : len(name) - len(tail) or None]
