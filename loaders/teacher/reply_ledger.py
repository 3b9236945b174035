"""The replies in ``task.db``: kept whole before they are read, and read anew when the parser changes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tutelage.core.records import Voter
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.teacher.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReply:
    """What an endpoint sent for one vote; ``structured`` is the form asked for, ``latency`` in seconds."""

    record_id: str
    voter: Voter
    attempt: int
    body: bytes
    structured: str
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAnswer:
    """A stored answer: its text and finish reason, and the label and the reason that are read in it now."""

    seq: int
    record_id: str
    voter: Voter
    raw: str
    finish: str
    label_text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReading:
    """How a stored answer, by its ``seq``, is read from now on."""

    seq: int
    label_text: str
    reason: str
    rung: str


class ReplyLedger(Ledger):
    """The ledger, with the replies of teachers."""

    def keep_reply(self, record_id: str, voter: Voter, body: bytes, structured: str, latency: float) -> None:
        """Commit what came, as the next attempt for its vote."""
        vote = (record_id, voter.teacher, voter.prompt, voter.vote)
        with self._transaction() as db:
            db.execute(
                "INSERT INTO replies (record, teacher, prompt, vote, attempt, body, structured, latency)"
                " SELECT ?, ?, ?, ?, coalesce(max(attempt), 0) + 1, ?, ?, ? FROM replies"
                " WHERE (record, teacher, prompt, vote) = (?, ?, ?, ?)",
                [*vote, zlib.compress(body), structured, latency, *vote],
            )

    def unread(self, panel: Panel) -> list[KeptReply]:
        """The replies for those votes of a panel that are not in the ledger yet, by vote and attempt."""
        rows = self._db.execute(
            "SELECT r.record, r.vote, r.attempt, r.body, r.structured, r.latency FROM replies r"
            " WHERE (r.teacher, r.prompt) = (?, ?) AND NOT EXISTS (SELECT 1 FROM answers a"
            " WHERE (a.record, a.teacher, a.prompt, a.vote) = (r.record, r.teacher, r.prompt, r.vote)) ORDER BY r.seq",
            panel.key,
        )
        return [
            KeptReply(
                record_id=record_id,
                voter=panel.voter(vote),
                attempt=attempt,
                body=_whole(body),
                structured=structured,
                latency=latency,
            )
            for record_id, vote, attempt, body, structured, latency in rows
        ]

    def read_with(self, panel: Panel) -> str | None:
        """The parser that all answers of the panel were last read with; None for that of earlier versions."""
        rows = self._db.execute("SELECT parser FROM read_with WHERE (teacher, prompt) = (?, ?)", panel.key)
        row = rows.fetchone()
        return str(row[0]) if row else None

    def set_read_with(self, panel: Panel, parser: str) -> None:
        """Write down that all answers of the panel are read with this parser."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO read_with VALUES (?, ?, ?)", [*panel.key, parser])

    def read_answers(self, panel: Panel, *, size: int) -> Iterator[list[ReadAnswer]]:
        """The stored answers of a panel as they are read now, ``size`` at a time."""
        after = 0
        while page := self._read_answers(panel, after, size):
            yield page
            after = page[-1].seq

    def _read_answers(self, panel: Panel, after: int, size: int) -> list[ReadAnswer]:
        rows = self._db.execute(
            "SELECT a.seq, a.record, a.vote, c.raw, c.finish, coalesce(n.said, a.said), coalesce(n.reason, a.reason)"
            " FROM answers a JOIN calls c ON c.answer = a.seq LEFT JOIN readings n ON n.answer = a.seq"
            " WHERE a.seq > ? AND (a.teacher, a.prompt) = (?, ?) ORDER BY a.seq LIMIT ?",
            [after, *panel.key, size],
        )
        return [
            ReadAnswer(
                seq=seq,
                record_id=record_id,
                voter=panel.voter(vote),
                raw=raw,
                finish=finish,
                label_text=label_text,
                reason=reason,
            )
            for seq, record_id, vote, raw, finish, label_text, reason in rows
        ]

    def set_readings(self, readings: Sequence[NewReading], parser: str) -> None:
        """From now on these answers are read like this."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?)",
                [(one.seq, parser, one.label_text, one.reason, one.rung) for one in readings],
            )


def _whole(body: bytes) -> bytes:
    """What the endpoint sent; the first ledgers with replies hold it as it came."""
    try:
        return zlib.decompress(body)
    except zlib.error:
        return body
