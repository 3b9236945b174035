"""The run: goes through the records, asks for the votes that are missing, keeps each answer as it arrives."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.core.errors import TutelageError
from tutelage.core.task import Task
from tutelage.loaders.models.budget import BudgetReached
from tutelage.loaders.models.model import OVERFLOW, Refused, Reply, Request
from tutelage.loaders.models.retrying import CallResult, RetryingModel, Unanswered
from tutelage.loaders.teacher.panel import Panel
from tutelage.loaders.teacher.parsing import ParsedAnswer, parse_answer
from tutelage.loaders.teacher.probability import label_probability
from tutelage.loaders.teacher.teacher_ledger import OpenRecord, StoredAnswer, TeacherLedger
from tutelage.loaders.teacher.voting import next_step

_PAGE = 256
_REFUSALS = {"content_filter", "refusal"}
_RECORDS_AHEAD = 2  # for each call that may run at once


@dataclass
class AnnotateResult:
    """What a run did. ``unanswered`` votes are asked for by the next run; money in US dollars."""

    votes: int = 0
    abstentions: int = 0
    unanswered: int = 0
    rejected: int = 0
    records: int = 0
    early_stops: int = 0
    saved: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    lost_cost: float = 0.0
    budget_reached: bool = False
    troubles: dict[str, int] = field(default_factory=dict)
    rungs: dict[str, int] = field(default_factory=dict)


Reject = Callable[[str, Panel, str], None]


class AnnotationRun:
    """One run over the ledger's records.

    Parameters
    ----------
    askers
        By the name of the teacher.
    reject
        Called with a record's id, the panel, and why the text cannot be answered.
    progress
        Called after each answer.
    """

    def __init__(
        self,
        ledger: TeacherLedger,
        task: Task,
        panels: Sequence[Panel],
        askers: Mapping[str, RetryingModel],
        *,
        reject: Reject = lambda _id, _panel, _why: None,
        progress: Callable[[AnnotateResult], None] = lambda _done: None,
    ) -> None:
        self._ledger, self._task, self._panels, self._askers = ledger, task, panels, askers
        self._reject, self._progress = reject, progress
        self.done = AnnotateResult()

    async def run(self) -> AnnotateResult:
        """Ask until nothing is missing or the budget is reached.

        Raises
        ------
        TutelageError
            The first that any call met; every answer that arrived before is kept.
        """
        try:
            await self._all_records()
        except BaseExceptionGroup as group:
            expected = group.subgroup(TutelageError)
            raise (_first(expected) if expected else group) from None
        finally:
            self._sum_up()
        return self.done

    async def _all_records(self) -> None:
        room = asyncio.Semaphore(_RECORDS_AHEAD * sum(a.teacher.limits.concurrency for a in self._askers.values()))
        after = 0
        async with asyncio.TaskGroup() as group:
            while cases := self._ledger.page(self._task, after=after, size=_PAGE):
                after = cases[-1].seq
                for case in self._open_cases(cases):
                    await room.acquire()
                    if self.done.budget_reached:
                        return
                    group.create_task(self._record(case)).add_done_callback(lambda _: room.release())

    def _open_cases(self, cases: Sequence[OpenRecord]) -> list[OpenRecord]:
        """The records that votes are missing of; early stops that a killed run did not note are noted."""
        steps = [(case, next_step(case.votes, self._panels, case.overflows)) for case in cases]
        self._note_stops([(case.id, *stop) for case, step in steps if not step.ask for stop in step.stopped])
        return [case for case, step in steps if step.ask]

    async def _record(self, case: OpenRecord) -> None:
        votes, overflows = list(case.votes), set(case.overflows)
        while (step := next_step(votes, self._panels, overflows)).ask:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._vote(case, panel, number)) for panel, number in step.ask]
            kept = [answer for task in asked if (answer := task.result())]
            if len(kept) < len(asked):
                return
            votes += [self._task.vote(a.voter, a.said, a.reason) for a in kept]
            overflows |= {(a.voter.teacher, a.voter.prompt) for a in kept if a.finish == OVERFLOW}
        self._note_stops([(case.id, *stop) for stop in step.stopped])
        self.done.records += 1

    def _note_stops(self, stops: list[tuple[str, Panel, int]]) -> None:
        if stops:
            new, saved = self._ledger.add_early_stops(stops)
            self.done.early_stops += new
            self.done.saved += saved

    async def _vote(self, case: OpenRecord, panel: Panel, number: int) -> StoredAnswer | None:
        """Ask for one vote and keep the answer; None where there was none."""
        if self.done.budget_reached:
            return None
        labels = self._task.label_names if panel.template.wants_json else ()
        request = Request(panel.template.render(case.text), panel.parameters, labels, number)
        try:
            heard = await self._askers[panel.teacher].ask(request)
        except BudgetReached:
            self.done.budget_reached = True
        except Unanswered:
            self.done.unanswered += 1
        except Refused as refused:
            return self._refused(case, panel, number, refused)
        else:
            return self._keep(case, panel, number, heard, self._read(heard.reply))
        return None

    def _refused(self, case: OpenRecord, panel: Panel, number: int, refused: Refused) -> StoredAnswer:
        self.done.rejected += 1
        self._reject(case.id, panel, str(refused))
        heard = CallResult(Reply(str(refused), refused.kind), 0.0, 0.0, 1)
        return self._keep(case, panel, number, heard, ParsedAnswer("", "", refused.kind))

    def _read(self, reply: Reply) -> ParsedAnswer:
        """What the reply says; an endpoint's or a model's refusal says nothing, whatever words it uses."""
        if reply.finish in _REFUSALS:
            return ParsedAnswer("", "", reply.finish)
        return parse_answer(reply.text, self._task)

    def _keep(
        self, case: OpenRecord, panel: Panel, number: int, heard: CallResult, reading: ParsedAnswer
    ) -> StoredAnswer:
        """Commit the answer before anything else is done with it."""
        reply = heard.reply
        kept = StoredAnswer(
            case.id,
            panel.voter(number),
            reading.said,
            reading.reason,
            reply.text,
            reading.rung,
            reply.finish,
            reply.structured,
            reply.tokens_in,
            reply.tokens_out,
            heard.cost,
            heard.latency,
            heard.attempts,
            label_probability(reply.logprobs, reading.said),
        )
        self._ledger.keep([kept])
        self._count(kept)
        return kept

    def _count(self, kept: StoredAnswer) -> None:
        done = self.done
        done.votes += 1
        done.abstentions += self._task.read_label(kept.said) is None
        done.rungs[kept.rung] = done.rungs.get(kept.rung, 0) + 1
        done.tokens_in += kept.tokens_in or 0
        done.tokens_out += kept.tokens_out or 0
        done.cost += kept.cost or 0.0
        self._progress(done)

    def _sum_up(self) -> None:
        self.done.troubles = dict(sum((asker.troubles for asker in self._askers.values()), Counter[str]()))
        self.done.lost_cost = max((asker.budget.lost for asker in self._askers.values()), default=0.0)


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
