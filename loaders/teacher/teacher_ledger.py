"""The teachers' part of ``task.db``: panels, the calls behind answers, the dialects of endpoints."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from tutelage.core.records import Vote, Voter
from tutelage.core.task import Task
from tutelage.loaders.ledger import COUNTS
from tutelage.loaders.models.model import OVERFLOW
from tutelage.loaders.teacher.panel import Panel
from tutelage.loaders.teacher.reply_ledger import ReplyLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """One answer of a teacher, and the call behind it. Cost in US dollars, latency in seconds.

    ``label_text`` is the label as the answer words it, ``raw`` the whole answer; ``probability`` is the
    label's, 0 to 1, None without log probabilities.
    """

    record_id: str
    voter: Voter
    label_text: str
    reason: str
    raw: str
    rung: str
    finish: str
    structured: str
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    latency: float
    attempts: int
    probability: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRecord:
    """A record to annotate: the votes that count, and the panels whose model it is too long for."""

    seq: int
    id: str
    text: str
    votes: tuple[Vote, ...] = ()
    overflows: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Usage of one vote of a panel so far: sums over its calls, latency in seconds.

    ``priced`` is the number of calls with a known cost; ``cost`` is their sum, in US dollars.
    """

    teacher: str
    prompt: str
    vote: int
    calls: int
    priced: int
    tokens_in: int
    tokens_out: int
    cost: float
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedPanel:
    """A teacher with a prompt that was asked: the model, the hash of all that decides an answer, the filled prompt.

    ``present`` says whether its votes count; those of a prompt that was changed since do not.
    """

    teacher: str
    prompt: str
    model: str
    digest: str
    filled: str
    present: bool


class TeacherLedger(ReplyLedger):
    """The ledger, with the calls to teachers."""

    def set_panels(self, panels: Sequence[Panel]) -> None:
        """Make these the current panels; the votes of all others no longer count."""
        rows = [
            (*p.key, p.model, p.digest, json.dumps(p.parameters, sort_keys=True), p.template.filled) for p in panels
        ]
        with self._transaction() as db:
            db.execute("UPDATE panels SET present = 0 WHERE present")
            db.executemany(
                "INSERT INTO panels VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET present = 1", rows
            )

    def used_panels(self) -> list[UsedPanel]:
        """The panels that were ever asked, those whose votes count first."""
        rows = self._db.execute(
            "SELECT teacher, prompt, model, digest, filled, present FROM panels ORDER BY present DESC, teacher, prompt"
        )
        names = [field.name for field in fields(UsedPanel)]
        panels = [dict(zip(names, row, strict=True)) for row in rows]
        return [UsedPanel(**{**panel, "present": bool(panel["present"])}) for panel in panels]

    def add_answers(self, answers: Sequence[StoredAnswer]) -> None:
        """Append answers and their calls in one transaction."""
        with self._transaction() as db:
            for a in answers:
                seq = db.execute(
                    "INSERT INTO answers (record, teacher, prompt, vote, said, reason) VALUES (?, ?, ?, ?, ?, ?)",
                    (a.record_id, a.voter.teacher, a.voter.prompt, a.voter.vote, a.label_text, a.reason),
                ).lastrowid
                call = (a.raw, a.rung, a.finish, a.structured, a.tokens_in, a.tokens_out)
                db.execute(
                    "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (seq, *call, a.cost, a.latency, a.attempts, a.probability),
                )

    def page(self, task: Task, *, after: int, size: int) -> list[OpenRecord]:
        """The next ``size`` records after the one whose ``seq`` is ``after``, in order of insertion."""
        texts = self._db.execute(
            "SELECT seq, id, text FROM records WHERE seq > ? ORDER BY seq LIMIT ?", [after, size]
        ).fetchall()
        answers = self._answers(after, texts[-1][0]) if texts else {}
        return [_open_record(seq, id_, text, answers.get(id_, []), task) for seq, id_, text in texts]

    def _answers(self, after: int, last: int) -> dict[str, list[tuple[Any, ...]]]:
        rows = self._db.execute(
            "SELECT a.record, a.teacher, a.prompt, a.vote, coalesce(n.said, a.said), c.finish FROM records r"
            f" JOIN answers a ON a.record = r.id AND {COUNTS} LEFT JOIN calls c ON c.answer = a.seq"
            " LEFT JOIN readings n ON n.answer = a.seq"
            " WHERE r.seq > ? AND r.seq <= ? ORDER BY a.seq",
            [after, last],
        )
        answers: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for record_id, *answer in rows:
            answers[record_id].append(tuple(answer))
        return answers

    def add_early_stops(self, stops: Sequence[tuple[str, Panel, int]]) -> tuple[int, int]:
        """Store early stops: record id, panel, and the number of votes not asked for.

        Returns how many of these are new, and how many votes they saved.
        """
        new = saved = 0
        with self._transaction() as db:
            for record_id, panel, spared in stops:
                done = db.execute(
                    "INSERT OR IGNORE INTO early_stops (record, teacher, prompt, votes, saved) VALUES (?, ?, ?, ?, ?)",
                    (record_id, *panel.key, panel.votes, spared),
                )
                new, saved = new + done.rowcount, saved + done.rowcount * spared
        return new, saved

    def dialect(self, base_url: str, model: str) -> dict[str, Any]:
        """The stored dialect of this model's endpoint; empty before the first call."""
        rows = self._db.execute("SELECT dialect FROM dialects WHERE (base_url, model) = (?, ?)", [base_url, model])
        row = rows.fetchone()
        return dict(json.loads(row[0])) if row else {}

    def set_dialect(self, base_url: str, model: str, dialect: dict[str, Any]) -> None:
        """Store the dialect of this model's endpoint."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO dialects VALUES (?, ?, ?)", [base_url, model, json.dumps(dialect)])

    def spent(self) -> list[Spent]:
        """Usage of each vote of each panel, current and former; without lost calls."""
        rows = self._db.execute(
            "SELECT a.teacher, a.prompt, a.vote, count(*), count(c.cost), coalesce(sum(c.tokens_in), 0),"
            " coalesce(sum(c.tokens_out), 0), coalesce(sum(c.cost), 0.0), sum(c.latency)"
            " FROM calls c JOIN answers a ON a.seq = c.answer GROUP BY a.teacher, a.prompt, a.vote"
        )
        names = [field.name for field in fields(Spent)]
        return [Spent(**dict(zip(names, row, strict=True))) for row in rows]

    def asked(self, panels: Sequence[Panel]) -> int:
        """The number of votes of these panels."""
        counts = self._db.execute("SELECT teacher, prompt, vote, count(*) FROM answers GROUP BY 1, 2, 3")
        wanted = {(*panel.key, number) for panel in panels for number in range(1, panel.votes + 1)}
        return sum(count for *voter, count in counts if tuple(voter) in wanted)

    def early_stop_count(self) -> tuple[int, int]:
        """The number of records that were stopped early, and of votes that this saved."""
        row = self._db.execute("SELECT count(DISTINCT record), coalesce(sum(saved), 0) FROM early_stops").fetchone()
        return int(row[0]), int(row[1])

    def tokens_per_character(self, panel: Panel) -> tuple[float, float] | None:
        """Averages over this panel's calls: tokens in per character of prompt, tokens out per answer."""
        row = self._db.execute(
            "SELECT count(*), sum(c.tokens_in), sum(length(p.filled) + length(r.text)), avg(c.tokens_out)"
            " FROM calls c JOIN answers a ON a.seq = c.answer JOIN records r ON r.id = a.record"
            " JOIN panels p ON (p.teacher, p.prompt) = (a.teacher, a.prompt)"
            " WHERE (p.teacher, p.prompt) = (?, ?) AND c.tokens_in IS NOT NULL AND c.tokens_out IS NOT NULL",
            panel.key,
        ).fetchone()
        return (row[1] / row[2], float(row[3])) if row[0] else None


def _open_record(seq: int, record_id: str, text: str, answers: Sequence[tuple[Any, ...]], task: Task) -> OpenRecord:
    votes = tuple(task.vote(Voter(t, p, n), label_text) for t, p, n, label_text, _ in answers)
    overflows = frozenset((t, p) for t, p, _, _, finish in answers if finish == OVERFLOW)
    return OpenRecord(seq=seq, id=record_id, text=text, votes=votes, overflows=overflows)
