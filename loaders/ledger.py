"""``task.db``: the records and the append-only ledger of answers, in SQLite.

Every method commits what it was given before it returns; a process killed at any point leaves a
file that the next run continues with.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from tutelage.core.errors import LedgerError
from tutelage.core.files import make_file
from tutelage.core.records import Deal, Finding, Proposal, Rank, RankedBy, Record, Response, Shown, Vote, Voter
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.loaders.migrations import migrate

QUEUE, FILE = "queue", "file"
"""Roles of a dataset: the one on Argilla that people review, and what was imported from files, whose id is FILE."""

COUNTS = "NOT EXISTS (SELECT 1 FROM panels p WHERE p.teacher = a.teacher AND p.prompt = a.prompt AND p.present = 0)"
"""SQL: whether the answer ``a`` counts as a vote; answers to a prompt that has changed since do not."""

VOTE_ORDER = "a.vote, (SELECT p.rowid FROM panels p WHERE (p.teacher, p.prompt) = (a.teacher, a.prompt)), a.seq"
"""SQL: the order of a record's votes, of which the first wins a tie: by number, then imported ones, then the task's
order of teachers and prompts; never by which answer came first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One voter's answer on one record: the label and the reason, word for word."""

    record_id: str
    voter: Voter
    label_text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Counts of an ``add``: what was new, what was known already, and known answers that differ."""

    new: int
    known: int
    differing: int = 0


class Ledger:
    """An open ``task.db``; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_not_emptied(path)
        make_file(path)  # SQLite gives the files that it puts beside it the same modes
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: cannot be opened: {error}. Is it on a full or read-only disk?") from None
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            migrate(self._db)
        except BaseException as error:
            self._db.close()
            if not isinstance(error, sqlite3.Error | UnicodeDecodeError):
                raise
            raise LedgerError(
                f"{path}: cannot be opened: {_reason(error)}. Is it damaged, or its disk full or read-only?"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: object, _traceback: object) -> None:
        self._db.close()
        if type(error) in _OF_THE_FILE:
            raise LedgerError(f"{self.path}: {_reason(error)}. Is it damaged, or its disk full?") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise LedgerError(f"{self.path}: {error}; what was committed before is kept, run it again") from None
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @property
    def version(self) -> int:
        """Another number after each change by another process."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    # Records and answers

    def text_of(self, ids: Sequence[str]) -> dict[str, str]:
        """The texts of these ids, for those that are known."""
        return dict(self._db.execute(f"SELECT id, text FROM records WHERE id IN ({_marks(ids)})", list(ids)))

    def add(self, records: Sequence[Record], answers: Sequence[Answer] = ()) -> tuple[Added, Added]:
        """Add records and answers in one transaction; known ones stay unchanged.

        A record's ``given`` label is added where the known record has none.
        """
        with self._transaction() as db:
            return self._add(db, records, answers)

    def _add(self, db: sqlite3.Connection, records: Sequence[Record], answers: Sequence[Answer]) -> tuple[Added, Added]:
        ids = self.text_of([record.id for record in records])
        label_texts = self._label_texts(sorted({answer.record_id for answer in answers}))
        db.executemany(
            "INSERT INTO records (id, text, given) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET given = coalesce(given, excluded.given)",
            [(r.id, r.text, r.given) for r in records],
        )
        db.executemany(
            "INSERT INTO answers (record, teacher, prompt, vote, said, reason) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            [(a.record_id, *_key(a.voter), a.label_text, a.reason) for a in answers],
        )
        new_records = len({record.id for record in records} - set(ids))
        differing, before = 0, len(label_texts)
        for answer in answers:
            first = label_texts.setdefault((answer.record_id, *_key(answer.voter)), answer.label_text)
            differing += first != answer.label_text
        new_answers = len(label_texts) - before
        return (
            Added(new=new_records, known=len(records) - new_records),
            Added(new=new_answers, known=len(answers) - new_answers, differing=differing),
        )

    def _label_texts(self, ids: Sequence[str]) -> dict[tuple[str, str, str, int], str]:
        """The label that each voter gave on these records, word for word."""
        rows = self._db.execute(
            f"SELECT record, teacher, prompt, vote, said FROM answers WHERE record IN ({_marks(ids)})", list(ids)
        )
        return {tuple(voter): label_text for *voter, label_text in rows}

    @property
    def record_count(self) -> int:
        """How many records there are."""
        return int(self._db.execute("SELECT count(*) FROM records").fetchone()[0])

    def records(self, task: Task) -> Iterator[Record]:
        """All records in order of insertion, with the votes that count, parsed by the task.

        Imported votes always count; votes of ``annotate`` count as long as the latest ``annotate``
        used the same prompt, model and parameters.
        """
        return self._records(task, "")

    def some_records(self, task: Task, ids: Sequence[str]) -> Iterator[Record]:
        """Those of these records that are there, as ``records`` gives them."""
        return self._records(task, f" WHERE r.id IN ({_marks(ids)})", ids)

    def _records(self, task: Task, where: str, values: Sequence[str] = ()) -> Iterator[Record]:
        rows = self._db.execute(
            "SELECT r.id, r.text, r.given, p.student, p.label, a.teacher, a.prompt, a.vote, coalesce(n.said, a.said),"
            " coalesce(n.reason, a.reason) FROM records r LEFT JOIN proposals p ON p.record = r.id"
            f" LEFT JOIN answers a ON a.record = r.id AND {COUNTS}"
            f" LEFT JOIN readings n ON n.answer = a.seq{where} ORDER BY r.seq, {VOTE_ORDER}",
            list(values),
        )
        weights, voters = self.voter_weights(), dict[tuple[str, str, int], Voter]()
        for (record_id, text, given, student, proposed), group in groupby(rows, key=lambda row: row[:5]):
            votes = tuple(_vote(row[5:], task, voters, weights) for row in group if row[5] is not None)
            label = task.read_label(given) if given else None
            yield Record(record_id, text, label, votes, proposal=_proposal(student, proposed, task))

    def set_proposals(self, proposals: Mapping[str, Proposal]) -> None:
        """Store what a student suggests, by record id; a newer suggestion replaces the older one."""
        with self._transaction() as db:
            rows = [(record_id, found.student, found.label) for record_id, found in proposals.items()]
            db.executemany("INSERT OR REPLACE INTO proposals (record, student, label) VALUES (?, ?, ?)", rows)

    # How much voters count

    def voter_weights(self) -> dict[Voter, float]:
        """How much each voter's votes count in a consensus; a voter that is not named counts 1."""
        rows = self._db.execute("SELECT teacher, prompt, vote, weight FROM voter_weights")
        return {Voter(*voter): weight for *voter, weight in rows}

    def set_voter_weights(self, weights: Mapping[Voter, float]) -> None:
        """Replace all weights."""
        if weights != self.voter_weights():
            with self._transaction() as db:
                db.execute("DELETE FROM voter_weights")
                rows = [(*_key(voter), weight) for voter, weight in weights.items()]
                db.executemany("INSERT INTO voter_weights VALUES (?, ?, ?, ?)", rows)

    # Ranks

    def set_ranks(self, ranks: Iterable[Rank], by: RankedBy | None = None) -> None:
        """Replace all ranks; ``by``: what they were made of."""
        with self._transaction() as db:
            db.execute("DELETE FROM ranks")
            db.executemany(
                "INSERT INTO ranks (record, label_quality, suspect_rank, why) VALUES (?, ?, ?, ?)",
                [(r.record_id, r.label_quality, r.suspect_rank, _said(r.why)) for r in ranks],
            )
            if by:
                db.execute(
                    "INSERT INTO rankings (method, student_worth, reviewed, wrong) VALUES (?, ?, ?, ?)",
                    [by.method, by.student_worth, by.reviewed, by.wrong],
                )

    def ranks(self) -> dict[str, Rank]:
        """The latest ranking, by record id."""
        rows = self._db.execute("SELECT record, label_quality, suspect_rank, why FROM ranks")
        return {row[0]: Rank(row[0], row[1], row[2], _findings(row[3])) for row in rows}

    def ranked_by(self) -> RankedBy | None:
        """What the latest ranking was made of; None before the first, or where an earlier version made it."""
        row = self._db.execute(
            "SELECT method, student_worth, reviewed, wrong FROM rankings ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return RankedBy(method=row[0], student_worth=row[1], reviewed=row[2], wrong=row[3]) if row else None

    # Whose the records in the queue are

    def add_deal(self, deal: Deal) -> None:
        """From now on the queue is dealt like this."""
        with self._transaction() as db:
            db.execute("INSERT INTO deals (people, overlap) VALUES (?, ?)", [json.dumps(deal.people), deal.overlap])

    def deal(self) -> Deal | None:
        """How the queue is dealt; None where it never was."""
        row = self._db.execute("SELECT people, overlap FROM deals ORDER BY seq DESC LIMIT 1").fetchone()
        return Deal(tuple(json.loads(row[0])), row[1]) if row else None

    def set_dealt(self, dealt: Mapping[str, Sequence[str]]) -> None:
        """Write down whose each record is, by record id; those that are not named stay as they are."""
        before = self.dealt()
        changed = {record_id: names for record_id, names in dealt.items() if tuple(names) != before.get(record_id, ())}
        with self._transaction() as db:
            db.executemany("DELETE FROM dealt WHERE record = ?", [(record_id,) for record_id in changed])
            db.executemany(
                "INSERT INTO dealt (record, annotator) VALUES (?, ?)",
                [(record_id, name) for record_id, names in changed.items() for name in names],
            )

    def dealt(self) -> dict[str, tuple[str, ...]]:
        """The names of those whose a record is, by record id."""
        found: dict[str, tuple[str, ...]] = {}
        for record_id, name in self._db.execute("SELECT record, annotator FROM dealt ORDER BY seq"):
            found[record_id] = (*found.get(record_id, ()), name)
        return found

    # What was sent to Argilla, and the responses from it

    def pushed(self, dataset: str) -> dict[str, tuple[str, str]]:
        """What was last sent to the dataset, by record id: hash of the content, metadata as JSON."""
        rows = self._db.execute("SELECT record, content, metadata FROM pushed WHERE dataset = ?", [dataset])
        return {row[0]: (row[1], row[2]) for row in rows}

    def use_dataset(self, dataset: str, role: str) -> None:
        """Make a dataset the current one of its role."""
        if self.current_dataset(role) != dataset:
            with self._transaction() as db:
                db.execute("INSERT OR REPLACE INTO datasets (id, role) VALUES (?, ?)", [dataset, role])

    def current_dataset(self, role: str) -> str | None:
        """The id of the dataset of this role that was used last; None where there is none."""
        row = self._db.execute("SELECT id FROM datasets WHERE role = ? ORDER BY seq DESC LIMIT 1", [role]).fetchone()
        return row[0] if row else None

    def datasets(self, role: str) -> list[str]:
        """The ids of all datasets of this role, the current one last."""
        rows = self._db.execute("SELECT id FROM datasets WHERE role = ? ORDER BY seq", [role])
        return [dataset for (dataset,) in rows]

    def set_pushed(
        self, dataset: str, sent: Mapping[str, tuple[str, str]], shown: Mapping[str, Shown] = MappingProxyType({})
    ) -> None:
        """Record that the dataset has accepted these; ``shown``: what people newly see."""
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO shown (dataset, record, label, reason, score, agent, since) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (dataset, record_id, s.label, s.reason, s.score, s.agent, s.since.isoformat())
                    for record_id, s in shown.items()
                ],
            )
            db.executemany(
                "INSERT OR REPLACE INTO pushed VALUES (?, ?, ?, ?)",
                [(dataset, record_id, *state) for record_id, state in sent.items()],
            )

    def shown(self, dataset: str) -> dict[str, list[Shown]]:
        """What the dataset showed as suggestion, by record id, the oldest first."""
        rows = self._db.execute(
            "SELECT record, label, reason, score, agent, since FROM shown WHERE dataset = ? ORDER BY seq", [dataset]
        )
        found: dict[str, list[Shown]] = {}
        for record_id, label, reason, score, agent, since in rows:
            at = datetime.fromisoformat(since)
            found.setdefault(record_id, []).append(
                Shown(label=label, reason=reason, score=score, agent=agent, since=at)
            )
        return found

    def forget_pushed(self, dataset: str, record_ids: Iterable[str]) -> None:
        """Record that the dataset no longer has these."""
        with self._transaction() as db:
            db.executemany("DELETE FROM pushed WHERE dataset = ? AND record = ?", [(dataset, i) for i in record_ids])

    def set_responses(self, dataset: str, responses: Iterable[Response]) -> None:
        """Store these responses; a newer state replaces the older one, none is ever removed."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        dataset,
                        r.record_id,
                        r.user_id,
                        r.annotator,
                        r.status,
                        r.label,
                        r.reason,
                        r.updated_at.isoformat(),
                        r.state,
                    )
                    for r in responses
                ],
            )

    def responses(self, dataset: str) -> list[Response]:
        """The responses last seen on the dataset, by record and age."""
        rows = self._db.execute(
            "SELECT record, user_id, annotator, status, said, reason, updated_at, state FROM responses"
            " WHERE dataset = ? ORDER BY record, updated_at, user_id",
            [dataset],
        )
        return [_response(row) for row in rows]

    def response_counts(self) -> dict[str, int]:
        """The number of stored responses, by dataset uuid."""
        return dict(self._db.execute("SELECT dataset, count(*) FROM responses GROUP BY dataset"))


_OF_THE_FILE = {sqlite3.DatabaseError, sqlite3.OperationalError, UnicodeDecodeError}
"""Errors of the file, not of the query."""


def _reason(error: object) -> str:
    """What is wrong; SQLite quotes damaged names in its message, which then cannot be decoded."""
    return "it holds bytes that are no text" if isinstance(error, UnicodeDecodeError) else str(error)


def _check_not_emptied(path: Path) -> None:
    """Refuse a file of no bytes beside what is only ever written after it: SQLite would make it a new one."""
    if not path.is_file() or path.stat().st_size:
        return
    task = Workspace(path.parent)
    wal = path.with_name(f"{path.name}-wal")
    later = [task.snapshots, task.students, task.gold, task.pred_probs, *([wal] if _holds_bytes(wal) else [])]
    there = [found.name for found in later if found.exists()]
    if there and not path.stat().st_size:  # still: another process may have begun it meanwhile
        raise LedgerError(
            f"{path}: is empty, but {' and '.join(there)} beside it say that it held records. Put a copy of it back; "
            "to begin again without its answers, remove the empty file."
        )


def _holds_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


def _key(voter: Voter) -> tuple[str, str, int]:
    return voter.teacher, voter.prompt, voter.vote


def _proposal(student: str | None, label: str | None, task: Task) -> Proposal | None:
    known = task.read_label(label) if label else None  # the task may have lost a label since
    return Proposal(student, known) if student and known else None


def _vote(
    row: Sequence[Any], task: Task, voters: dict[tuple[str, str, int], Voter], weights: Mapping[Voter, float]
) -> Vote:
    teacher, prompt, number, label_text, reason = row
    voter = voters.setdefault((teacher, prompt, number), Voter(teacher, prompt, number))
    vote = task.vote(voter, label_text, reason)
    return replace(vote, weight=weights[voter]) if voter in weights else vote


def _said(why: Sequence[Finding]) -> str:
    return json.dumps([[one.kind, one.words] for one in why], ensure_ascii=False) if why else ""


def _findings(said: str) -> tuple[Finding, ...]:
    return tuple(Finding(*each) for each in json.loads(said)) if said else ()


def _response(row: Sequence[Any]) -> Response:
    record_id, user_id, annotator, status, label, reason, at, state = row
    return Response(
        record_id=record_id,
        user_id=user_id,
        annotator=annotator,
        status=status,
        label=label,
        reason=reason,
        updated_at=datetime.fromisoformat(at),
        state=state,
    )
