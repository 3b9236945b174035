"""``rank --follow``: the queue is put in order again and again while people answer.

Each time ten more answers are there, the ones that are new are read, the records are ranked by all that is known,
and those that come next get their places. What costs more, new probabilities and places for all, is done rarely.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from tutelage.core.errors import ServerError, SettingsError, TutelageError
from tutelage.core.locks import locked
from tutelage.core.records import Progress, ProgressCallback, Rank
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.people import answers_by_name
from tutelage.feedback.argilla.queue_moves import move
from tutelage.feedback.argilla.remote import RefusedError
from tutelage.feedback.curate import curate
from tutelage.feedback.places import cards_held, moved_up
from tutelage.steps.results import Followed

if TYPE_CHECKING:
    from tutelage.feedback.ranking.label_quality import Method
    from tutelage.steps.review.loop import Loop

LOCK = "follow.lock"
ANSWERS = 10
"""So many new answers make a turn."""
AFRESH = 250
"""So many make a ranking afresh: with new probabilities, and a place for all."""
NEAR = 50
"""Records that get their places in a turn, for each person among whom the queue is dealt."""
LOOK, PAUSE, AGAIN = 1.0, 5.0, 2.0
"""Seconds between two looks at Argilla, between two turns, and between two attempts to reach it."""

OpenLoopOf = Callable[[ProgressCallback], AbstractContextManager["Loop"]]


class _StoppedError(Exception):
    """It was told to stop."""


@dataclass(kw_only=True)
class AnswerFollower:
    """Follows the answers to one task.

    Parameters
    ----------
    open_loop
        Signs in to Argilla, without patience where it does not answer.
    student, method, seed
        As for ``rank``.
    progress, say
        Told how far a step is, and of each turn.
    stop
        Ends it.
    """

    workspace: Workspace
    open_loop: OpenLoopOf
    student: str | Sequence[str]
    method: Method
    seed: int
    progress: ProgressCallback
    say: Callable[[str], None]
    stop: Event
    _done: Counter[str] = field(default_factory=Counter)
    _counted: int = 0
    _since_afresh: int = 0
    _is_ranked: bool = False

    def run(self) -> Followed:
        """Until it is stopped.

        Raises
        ------
        TutelageError
            When another process follows this task, or nothing can be ranked at the beginning.
        """
        began = time.monotonic()
        try:
            with _alone(self.workspace):
                while not self.stop.is_set():
                    self._connected()
        except _StoppedError:
            pass
        return Followed(**self._done, seconds=round(time.monotonic() - began, 1))

    def _connected(self) -> None:
        """As long as Argilla answers; then until it does again."""
        try:
            with self.open_loop(self._checked) as loop:
                self._follow(loop)
        except (RefusedError, SettingsError):
            raise
        except ServerError as error:
            if not self._is_ranked:
                raise
            self._await(error)

    def _checked(self, state: Progress) -> None:
        if self.stop.is_set():
            raise _StoppedError
        self.progress(state)

    def _await(self, error: ServerError) -> None:
        self.say(f"waiting for Argilla: {error}")
        while not self.stop.wait(AGAIN):
            try:
                with self.open_loop(self._checked) as loop:
                    loop.dataset()
            except ServerError:
                continue
            self.say("Argilla answers again")
            return

    def _follow(self, loop: Loop) -> None:
        if not self._is_ranked:
            self._rank_afresh(loop)
        turns, seen, last = Turns(loop, self.method, self.seed), "", 0.0
        while not self.stop.wait(LOOK):
            now = turns.dataset.last_activity()
            if now == seen or time.monotonic() - last < PAUSE:
                continue
            seen, count = now, answer_count(turns.dataset)
            if count - self._counted >= ANSWERS:
                last = time.monotonic()
                self._take(loop, turns, count)

    def _take(self, loop: Loop, turns: Turns, count: int) -> None:
        """One turn; ``count``: how many answers there are by now."""
        new = count - self._counted
        if self._since_afresh + new >= AFRESH or turns.has_new_records():
            self._rank_afresh(loop)
            turns.read()
        else:
            moved = turns.take()
            self._counted, self._since_afresh = count, self._since_afresh + new
            self._done.update(turns=1, moved=moved)
            self.say(f"{new} new answers: {moved} records moved in the queue")
        self._done["answers"] += new

    def _rank_afresh(self, loop: Loop) -> None:
        count = answer_count(loop.dataset())
        ranked = loop.rank(student=self.student, method=self.method, seed=self.seed)
        self._is_ranked, self._counted, self._since_afresh = True, count, 0
        self._done["rankings"] += 1
        self.say(f"{ranked.ranked} records ranked")


class Turns:
    """What the turns on one dataset need, kept from one to the next."""

    def __init__(self, loop: Loop, method: Method, seed: int) -> None:
        self._loop, self._method, self._seed = loop, method, seed
        self.dataset: Dataset = loop.dataset()
        about = self.dataset.remote.request("GET", "status")["search_engine"]
        self._remembers_pages = bool(about.get("remembers_pages"))
        self.read()

    def read(self) -> None:
        """Read the records and their probabilities, as they were ranked last."""
        from tutelage.core.pred_probs import read_pred_probs
        from tutelage.steps.review.explaining import ExplainedRanker

        self._records, _ = self._loop.parted()
        self._held_in = self._loop.ledger.record_count
        self._version = self._loop.ledger.version
        workspace = self._loop.workspace
        pred_probs = read_pred_probs(workspace.pred_probs, workspace.task.label_names)
        curated = curate(self._records, {}, {})
        self._ranker = ExplainedRanker(curated, workspace.task, pred_probs, method=self._method, seed=self._seed)

    def has_new_records(self) -> bool:
        """Whether records came in since the last ranking of all."""
        return self._loop.ledger.record_count != self._held_in

    def take(self) -> int:
        """Read the new answers, rank again, and send the places that changed; returns how many."""
        self._loop.fetch_answered(self.dataset, {record.id for record in self._records})
        with self._loop.alone_with_queue():
            if self._loop.ledger.version != self._version:
                self.read()
            return self._move()

    def _move(self) -> int:
        ledger, task = self._loop.ledger, self._loop.workspace.task
        before, dealt, deal = ledger.ranks(), ledger.dealt(), ledger.deal()
        curated = curate(self._records, counting_answers(ledger), before)
        order, by = self._ranker.rank(ledger, curated)
        held = () if self._remembers_pages else cards_held(curated, before, task, dealt)
        after = moved_up(before, order, held=held, near=NEAR * len(deal.people) if deal else NEAR)
        ledger.set_ranks(after, by)
        self._loop.deal_again(curated)
        return move(ledger, self.dataset, task, changed_places(before, after))


def answer_count(dataset: Dataset) -> int:
    """How many answers people have given in a dataset; none are read."""
    answered = answers_by_name(dataset.remote, dataset.id).values()
    return sum(one.submitted + one.discarded for one in answered)


def changed_places(before: Mapping[str, Rank], after: list[Rank]) -> dict[str, Rank | None]:
    """The records with another place than before, those that come first at the beginning; None: they have none now."""
    moved = [rank for rank in after if before[rank.record_id].suspect_rank != rank.suspect_rank]
    left = before.keys() - {rank.record_id for rank in after}
    in_order = sorted(moved, key=lambda rank: rank.suspect_rank)
    return {rank.record_id: rank for rank in in_order} | dict.fromkeys(sorted(left))


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    def refuse(holder: str) -> None:
        raise TutelageError(
            f"process {holder} follows {workspace.root} already; let it work, or end it first (kill {holder})"
        )

    _ = workspace.task  # in a folder without a task no lock is made
    with locked(workspace.root / LOCK, on_wait=refuse):
        yield
