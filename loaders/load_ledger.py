"""The loads' part of ``task.db``: texts that are known under another id, and what each load added."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tutelage.core.records import Record
from tutelage.loaders.ledger import Added, Answer, Ledger
from tutelage.loaders.rows import text_key

_PAGE = 10_000
_CACHE_KIB = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load that is written down: what it read, when it began, and what was there: snapshots, bytes of rejects."""

    number: int
    source: str
    at: str
    snapshots: frozenset[str]
    rejects: int


class LoadLedger(Ledger):
    """The ledger, with what loads need to know of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._db.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")  # text keys come in no order
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS claimed (record INTEGER PRIMARY KEY)")

    # Texts and ids

    def index_texts(self) -> int:
        """Write down the text keys that are missing; returns the number of the newest record."""
        missing = "SELECT seq, id, text FROM records r WHERE NOT EXISTS (SELECT 1 FROM text_keys WHERE record = r.seq)"
        while rows := self._db.execute(f"{missing} LIMIT {_PAGE}").fetchall():
            with self._transaction() as db:
                keys = [(seq, record_id, text_key(text)) for seq, record_id, text in rows]
                db.executemany(
                    "INSERT OR IGNORE INTO text_keys VALUES (?, ?, ?)",
                    [(seq, key, not is_hashed(record_id, key)) for seq, record_id, key in keys],
                )
        return int(self._db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0])

    def known(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Record id and text of these ids, for those that are known; also under an id that is not the record's."""
        marks = ",".join("?" * len(ids))
        rows = self._db.execute(
            f"SELECT o.id, r.id, r.text FROM other_ids o JOIN records r ON r.seq = o.record WHERE o.id IN ({marks})"
            f" UNION ALL SELECT id, id, text FROM records WHERE id IN ({marks})",
            [*ids, *ids],
        )
        return {named: (record_id, text) for named, record_id, text in rows}

    def claim(self, ids: Sequence[str]) -> None:
        """Note which records a source names by an id: its other rows of the same text are none of them."""
        marks = ",".join("?" * len(ids))
        self._db.execute(
            f"INSERT OR IGNORE INTO claimed SELECT seq FROM records WHERE id IN ({marks})"
            f" UNION SELECT record FROM other_ids WHERE id IN ({marks})",
            [*ids, *ids],
        )

    def unclaimed(self, key: str, *, after: int, to: int) -> tuple[int, str | None] | None:
        """Number and id of the next record with this text that the source does not name; id None after the last.

        ``after`` and ``to`` are numbers of records; None where none between them has the text.
        """
        between = "k.key = ? AND k.record > ? AND k.record <= ?"
        row = self._db.execute(
            f"SELECT k.record, r.id FROM text_keys k JOIN records r ON r.seq = k.record WHERE {between}"
            " AND k.record NOT IN (SELECT record FROM claimed) ORDER BY k.record LIMIT 1",
            [key, after, to],
        ).fetchone()
        if row:
            return int(row[0]), str(row[1])
        there = self._db.execute(f"SELECT 1 FROM text_keys k WHERE {between} LIMIT 1", [key, after, to]).fetchone()
        return (to, None) if there else None

    def next_with_own_id(self, key: str, *, after: int) -> tuple[int, str] | None:
        """Number and id of the next record with this text whose id is not made of the text."""
        row = self._db.execute(
            "SELECT k.record, r.id FROM text_keys k JOIN records r ON r.seq = k.record"
            " WHERE k.key = ? AND k.own = 1 AND k.record > ? ORDER BY k.record LIMIT 1",
            [key, after],
        ).fetchone()
        return row and (int(row[0]), str(row[1]))

    # Loads

    def begin_load(self, source: str, columns: str, snapshots: Iterable[str], rejects: int) -> int:
        """The number of a load that begins now; of the last one where that was killed with the same source."""
        with self._transaction() as db:
            last = db.execute(
                "SELECT seq, source, columns, finished, withdrawn FROM loads ORDER BY seq DESC"
            ).fetchone()
            if last and last[1:] == (source, columns, None, None):
                return int(last[0])
            done = db.execute(
                "INSERT INTO loads (source, columns, pushes, snapshots, rejects) VALUES (?, ?, ?, ?, ?)",
                [source, columns, self._pushes(), json.dumps(sorted(snapshots)), rejects],
            )
            return int(done.lastrowid or 0)

    def _pushes(self) -> str:
        """A hash of what each dataset was sent, without the metadata."""
        digest = hashlib.sha256()
        for row in self._db.execute("SELECT dataset, record, content FROM pushed ORDER BY dataset, record"):
            digest.update(repr(row).encode())
        return digest.hexdigest()

    def take(
        self,
        load: int,
        records: Sequence[Record],
        answers: Sequence[Answer],
        other_ids: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[Added, Added]:
        """Add a batch of a load, as ``add`` does, and write down what it added. ``other_ids``: id to record id."""
        with self._transaction() as db:
            before = self._ends()
            without = self._without_given([record.id for record in records if record.given])
            added = self._add(db, records, answers)
            keys = ((record.id, text_key(record.text)) for record in records)
            db.executemany(
                "INSERT OR IGNORE INTO text_keys SELECT seq, ?, ? FROM records WHERE id = ? AND seq > ?",
                [(key, not is_hashed(record_id, key), record_id, before[0]) for record_id, key in keys],
            )
            db.executemany(
                "INSERT OR IGNORE INTO other_ids SELECT ?, seq FROM records WHERE id = ?", list(other_ids.items())
            )
            db.executemany("INSERT INTO load_ids VALUES (?, ?)", [(load, named) for named in other_ids])
            db.executemany("INSERT INTO load_givens VALUES (?, ?)", [(load, seq) for seq in without])
            after = self._ends()
            self._note(load, before, after)
        return added

    def _note(self, load: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Write down the numbers of what a load has added; a row for what it added in one go."""
        if after == before:
            return
        done = self._db.execute(
            "UPDATE load_batches SET records_to = ?, answers_to = ?"
            " WHERE load = ? AND records_to = ? AND answers_to = ?",
            [*after, load, *before],
        )
        if not done.rowcount:
            row = [load, before[0], after[0], before[1], after[1]]
            self._db.execute("INSERT INTO load_batches VALUES (?, ?, ?, ?, ?)", row)

    def _ends(self) -> tuple[int, int]:
        """The numbers of the newest record and of the newest answer."""
        last = "SELECT coalesce(max(seq), 0) FROM"
        records, answers = (self._db.execute(f"{last} {table}").fetchone()[0] for table in ("records", "answers"))
        return int(records), int(answers)

    def _without_given(self, ids: Sequence[str]) -> list[int]:
        """The numbers of those known records that have no given label yet."""
        marks = ",".join("?" * len(ids))
        rows = self._db.execute(f"SELECT seq FROM records WHERE given IS NULL AND id IN ({marks})", list(ids))
        return [int(seq) for (seq,) in rows]

    def end_load(self, load: int, *, gold: int) -> None:
        """Write down that a load is complete, and how many gold labels it added."""
        with self._transaction() as db:
            db.execute(
                "UPDATE loads SET finished = strftime('%Y-%m-%dT%H:%M:%fZ'), gold = gold + ? WHERE seq = ?",
                [gold, load],
            )

    def forget_empty_load(self, load: int, rejects: int) -> None:
        """Remove a load that added nothing; ``rejects`` are the bytes that ``rejects.jsonl`` has after it."""
        parts = ("load_batches", "load_givens", "load_ids")
        nothing = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {part} WHERE load = seq)" for part in parts)
        with self._transaction() as db:
            db.execute(f"DELETE FROM loads WHERE seq = ? AND gold = 0 AND rejects = ? AND {nothing}", [load, rejects])

    # Undo

    def last_load(self) -> Load | None:
        """The newest load that was not undone."""
        row = self._db.execute(
            "SELECT seq, source, at, snapshots, rejects FROM loads WHERE withdrawn IS NULL ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        number, source, at, snapshots, rejects = row
        return Load(
            number=number, source=source, at=at, snapshots=frozenset(json.loads(snapshots)), rejects=int(rejects)
        )

    def added_by(self, load: Load) -> frozenset[str]:
        """The ids of the records that a load added."""
        return frozenset(row[0] for row in self._db.execute(f"{_ADDED} SELECT id FROM added", {"load": load.number}))

    def used_since(self, load: Load) -> dict[str, int]:
        """How many records of a load were pushed, answered by people, or annotated since, by what was done."""
        pushes = self._db.execute("SELECT pushes FROM loads WHERE seq = ?", [load.number]).fetchone()[0]
        values = {"load": load.number, "pushed": pushes != self._pushes()}
        counts = {name: int(self._db.execute(query, values).fetchone()[0]) for name, query in _USES.items()}
        return {name: count for name, count in counts.items() if count}

    @contextmanager
    def withdrawing(self, load: Load) -> Iterator[dict[str, int]]:
        """Take back what a load added, if the block succeeds; gives how many records, answers and given labels."""
        with self._transaction() as db:
            db.execute("UPDATE loads SET withdrawn = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE seq = ?", [load.number])
            counts = {}
            for name, step in _WITHDRAWAL.items():
                db.execute(step, {"load": load.number})
                counts[name] = int(db.execute("SELECT changes()").fetchone()[0])
            yield counts


_ADDED = """
WITH mine AS (SELECT * FROM load_batches WHERE load = :load),
added AS (SELECT r.* FROM mine b JOIN records r ON r.seq > b.records_after AND r.seq <= b.records_to),
answered AS (SELECT a.* FROM mine b JOIN answers a ON a.seq > b.answers_after AND a.seq <= b.answers_to)
"""
"""SQL: the records and the answers that a load added."""

_TOUCHED = """,
touched AS (
    SELECT r.* FROM records r
    WHERE (r.id IN (SELECT record FROM answered) OR r.seq IN (SELECT record FROM load_givens WHERE load = :load))
    AND r.seq NOT IN (SELECT seq FROM added)
),
begun AS (SELECT * FROM loads WHERE seq = :load)
"""
"""SQL: known records to which a load added something, and the load."""

_USES = {
    "pushed to Argilla": f"""{_ADDED}{_TOUCHED} SELECT count(DISTINCT record) FROM (
        SELECT record FROM pushed WHERE record IN (SELECT id FROM added)
        UNION SELECT record FROM shown WHERE record IN (SELECT id FROM added)
        UNION SELECT record FROM pushed
        WHERE :pushed AND record IN (SELECT id FROM touched))""",
    "answered by people": f"""{_ADDED}{_TOUCHED} SELECT count(DISTINCT record) FROM responses
        WHERE record IN (SELECT id FROM added) OR (record IN (SELECT id FROM touched)
        AND substr(updated_at, 1, 19) >= (SELECT substr(at, 1, 19) FROM begun))""",
    "annotated": f"""{_ADDED} SELECT count(DISTINCT record) FROM (
        SELECT record FROM answers WHERE record IN (SELECT id FROM added) AND seq NOT IN (SELECT seq FROM answered)
        UNION SELECT record FROM replies WHERE record IN (SELECT id FROM added)
        UNION SELECT record FROM early_stops WHERE record IN (SELECT id FROM added))""",
}
"""What was done with a load's records since: SQL that counts them."""

_WITHDRAWAL = {
    "kept": f"{_ADDED} INSERT INTO withdrawn_records SELECT :load, id, text, given FROM added"
    " UNION ALL SELECT :load, id, text, given FROM records"
    " WHERE seq IN (SELECT record FROM load_givens WHERE load = :load)",
    "answers": f"{_ADDED} DELETE FROM answers WHERE seq IN (SELECT seq FROM answered)",
    "given": "UPDATE records SET given = NULL WHERE seq IN (SELECT record FROM load_givens WHERE load = :load)",
    "other_ids": "DELETE FROM other_ids WHERE id IN (SELECT id FROM load_ids WHERE load = :load)",
    "keys": f"{_ADDED} DELETE FROM text_keys WHERE record IN (SELECT seq FROM added)",
    "dealt": f"{_ADDED} DELETE FROM dealt WHERE record IN (SELECT id FROM added)",
    "ranks": f"{_ADDED} DELETE FROM ranks WHERE record IN (SELECT id FROM added)",
    "records": f"{_ADDED} DELETE FROM records WHERE seq IN (SELECT seq FROM added)",
    "batches": "DELETE FROM load_batches WHERE load = :load",
    "load_givens": "DELETE FROM load_givens WHERE load = :load",
    "load_ids": "DELETE FROM load_ids WHERE load = :load",
}
"""How a load is taken back: SQL, in this order."""


def hashed_id(key: str, number: int) -> str:
    """The id of the n-th record with this text, where its source has no ids."""
    return f"{key}-{number}"


def is_hashed(record_id: str, key: str) -> bool:
    """Whether an id is made of the text's key."""
    return record_id.startswith(f"{key}-") and record_id[len(key) + 1 :].isdecimal()
