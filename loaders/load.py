"""From rows to records: ids, checks, votes; rows that cannot be used go to ``rejects.jsonl``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import islice
from types import MappingProxyType

from tutelage.core.errors import SourceError
from tutelage.core.locks import locked
from tutelage.core.records import Progress, ProgressCallback, Record, Voter, unreported
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.loaders.consensus import suggest
from tutelage.loaders.gold import add_gold
from tutelage.loaders.ledger import Answer
from tutelage.loaders.load_ledger import LoadLedger, hashed_id
from tutelage.loaders.rows import TEXT_MAX_LENGTH, Row, normalised, problem_of, text_key
from tutelage.loaders.sources import TEXT_ADVICE, Source

LOCK = "task.db.load.lock"
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


@dataclass(frozen=True, slots=True)
class SuggestionChange:
    """How many known records are suggested another label now, and which; None: nothing was suggested."""

    before: str | None
    after: str | None
    records: int


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What a load did, row by row and vote by vote.

    Parameters
    ----------
    rows, new, known, rejected
        Rows of the source: all, those that made a record, those of known records, those in ``rejects.jsonl``.
    other_ids
        Rows of known records whose text is known under another id than the source's; they count as
        that record, which keeps its id.
    answers
        Votes that are new.
    differing
        Votes that were loaded before with another label, which stays.
    abstentions, given_unread
        The source's votes, and its given labels, that name no label.
    suggestions
        What its given labels change in what is suggested for known records, the most frequent change first.
    """

    rows: int
    new: int
    known: int
    rejected: int
    other_ids: int
    answers: int
    differing: int
    abstentions: int
    given_unread: int
    suggestions: tuple[SuggestionChange, ...]


def load(
    workspace: Workspace,
    source: Source,
    columns: Columns,
    *,
    keep_empty: bool = True,
    progress: ProgressCallback = unreported,
) -> LoadResult:
    """Stream a source into the task's ledger; good rows go in, bad rows to ``rejects.jsonl``.

    A row whose text is known is a row of that record, whatever its id: of a source without ids the n-th row
    of a text is the n-th record with it; of one with ids a row with an unknown id is the next record with its
    text that no row of the source names. Rows of one source with equal texts and different ids stay apart.
    Of several loads at once each waits for the one before. Without ``keep_empty`` a load that brought nothing
    is not written down, so that ``undo_load`` finds the one before it.

    Raises
    ------
    SourceError
        When the source or a column is missing, or the file has another encoding.
    """
    source.require(columns.names(), "" if columns.text in source.columns() else TEXT_ADVICE)

    def wait(holder: str) -> None:
        progress(Progress(f"waiting for another load (process {holder})"))

    _ = workspace.task  # a wrong task file is said before anything is written
    with locked(workspace.db.with_name(LOCK), on_wait=wait):
        return _load(workspace, source, columns, keep_empty=keep_empty, progress=progress)


def _load(
    workspace: Workspace, source: Source, columns: Columns, *, keep_empty: bool, progress: ProgressCallback
) -> LoadResult:
    rejects, total = Rejects(workspace.rejects), source.row_count()
    with LoadLedger(workspace.db) as ledger:
        newest = ledger.index_texts()
        if columns.id and newest and source.can_be_read_again:
            for batch in _batches(source.rows([columns.id])):
                ledger.claim([row.cell(columns.id).strip() for row in batch])
        loading = _Loading(columns, ledger, workspace.task, _begin(ledger, workspace, source, columns), newest)
        for batch in _batches(source.rows()):
            bad = loading.take(batch)
            rejects.add([_reject(source, row, why, columns) for row, why in bad])
            progress(Progress("loading", loading.counts["rows"], total, "rows"))
        ledger.end_load(loading.number, gold=add_gold(workspace.gold, loading.gold, loading.number))
        if not keep_empty:
            ledger.forget_empty_load(loading.number, rejects_size(workspace))
    return loading.result()


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _begin(ledger: LoadLedger, workspace: Workspace, source: Source, columns: Columns) -> int:
    """The load's number; what was there when it began says later whether it can be undone."""
    return ledger.begin_load(source.name, json.dumps(asdict(columns)), snapshots_of(workspace), rejects_size(workspace))


def rejects_size(workspace: Workspace) -> int:
    """Bytes of ``rejects.jsonl``, which grows with each row that could not be used and was not in it."""
    return workspace.rejects.stat().st_size if workspace.rejects.exists() else 0


def snapshots_of(workspace: Workspace) -> frozenset[str]:
    """The ids of the snapshots that are there."""
    return frozenset(path.parent.name for path in workspace.snapshots.glob("[!.]*/manifest.json"))


def _reject(source: Source, row: Row, why: str, columns: Columns) -> Reject:
    values = {name: value for name, value in row.values.items() if name != columns.gold}
    return Reject(source=source.name, row=row.number, reason=why, values=values)


class _Loading:
    """Puts batches of rows into the ledger; ``gold`` holds their gold labels by record id."""

    def __init__(self, columns: Columns, ledger: LoadLedger, task: Task, number: int, newest: int) -> None:
        self._columns, self._ledger, self._task, self.number = columns, ledger, task, number
        self._name = _Named(ledger, columns, newest) if columns.id else _Unnamed(ledger, columns)
        self.counts = Counter[str]()
        self.gold = dict[str, str]()
        self._changes = Counter[tuple[str | None, str | None]]()

    def result(self) -> LoadResult:
        changes = tuple(SuggestionChange(*change, count) for change, count in self._changes.most_common())
        names = [name for name in LoadResult.__dataclass_fields__ if name != "suggestions"]
        return LoadResult(**{name: self.counts[name] for name in names}, suggestions=changes)

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
        given = [record.id for record in records if record.given]
        before = {record.id: record for record in self._ledger.some_records(self._task, given)}
        added, answered = self._ledger.take(self.number, records, answers, self._name.new_ids)
        self._note_changes(before)
        read = self._task.read_label
        self.counts.update(
            rows=len(records) + rejected,
            new=added.new,
            known=added.known,
            rejected=rejected,
            other_ids=self._name.others,
            answers=answered.new,
            differing=answered.differing,
            abstentions=sum(1 for answer in answers if not read(answer.label_text)),
            given_unread=sum(1 for record in records if record.given and not read(record.given)),
        )

    def _note_changes(self, before: dict[str, Record]) -> None:
        """Count what the batch's given labels change in what is suggested for known records."""
        unlabelled = [record_id for record_id, record in before.items() if record.given is None]
        for record in self._ledger.some_records(self._task, unlabelled):
            labels = [found.label if (found := suggest(each)) else None for each in (before[record.id], record)]
            if record.given is not None and labels[0] != labels[1]:
                self._changes[labels[0], labels[1]] += 1

    def _split(self, batch: Sequence[Row]) -> tuple[list[tuple[str, Row]], list[tuple[Row, str]]]:
        """The usable rows with their record ids, and the others with the reason."""
        problems = [(row, _problem(row, self._columns)) for row in batch]
        good, bad = self._name([row for row, problem in problems if not problem])
        return good, [(row, problem) for row, problem in problems if problem] + bad


class _Named:
    """The records of rows that have an id: that id's, else the next with the text that the source does not name."""

    def __init__(self, ledger: LoadLedger, columns: Columns, newest: int) -> None:
        self._ledger, self._columns, self._newest = ledger, columns, newest
        self._last = dict[str, int]()
        self.new_ids = dict[str, str]()
        self.others = 0

    def __call__(self, rows: Sequence[Row]) -> tuple[list[tuple[str, Row]], list[tuple[Row, str]]]:
        ids = [row.cell(self._columns.id).strip() for row in rows]
        self._ledger.claim(ids)
        known, self.new_ids, self.others = self._ledger.known(ids), {}, 0
        good, bad = list[tuple[str, Row]](), list[tuple[Row, str]]()
        for named, row in zip(ids, rows, strict=True):
            text = row.cell(self._columns.text)
            if named not in known:
                known[named] = (self._find(named, text), text)
            record_id, there = known[named]
            if normalised(there) == normalised(text):
                good.append((record_id, row))
                self.others += record_id != named
            else:
                bad.append((row, f"id {named!r} already has another text"))
        return good, bad

    def _find(self, named: str, text: str) -> str:
        key = text_key(text)
        found = self._ledger.unclaimed(key, after=self._last.get(key, 0), to=self._newest) if self._newest else None
        if found is None:
            return named
        self._last[key], record_id = found
        if record_id is None:
            return named
        self.new_ids[named] = record_id
        return record_id


class _Unnamed:
    """The records of rows without ids: the n-th row of a text is the n-th record with it.

    That is the one whose id is a hash of the text and ``n``; where there is none, the next one that has an id
    of its own; else a new one.
    """

    new_ids: Mapping[str, str] = MappingProxyType({})

    def __init__(self, ledger: LoadLedger, columns: Columns) -> None:
        self._ledger, self._columns = ledger, columns
        self._seen, self._last = Counter[str](), dict[str, int]()
        self.others = 0

    def __call__(self, rows: Sequence[Row]) -> tuple[list[tuple[str, Row]], list[tuple[Row, str]]]:
        self.others = 0
        keys = [text_key(row.cell(self._columns.text)) for row in rows]
        ids = [self._hashed(key) for key in keys]
        known = self._ledger.known(ids)
        good, bad = list[tuple[str, Row]](), list[tuple[Row, str]]()
        for key, hashed, row in zip(keys, ids, rows, strict=True):
            record_id, there = known.get(hashed) or (self._find(key) or hashed, row.cell(self._columns.text))
            if normalised(there) == normalised(row.cell(self._columns.text)):
                good.append((record_id, row))
                self.others += record_id != hashed
            else:
                bad.append((row, f"id {hashed!r} already has another text"))
        return good, bad

    def _hashed(self, key: str) -> str:
        self._seen[key] += 1
        return hashed_id(key, self._seen[key])

    def _find(self, key: str) -> str | None:
        found = self._ledger.next_with_own_id(key, after=self._last.get(key, 0))
        if found is None:
            return None
        self._last[key] = found[0]
        return found[1]


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
