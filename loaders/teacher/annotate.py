"""One annotation run: asks for the missing votes of all records, and stores each answer as it arrives."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from tutelage.core.errors import TutelageError
from tutelage.core.records import Voter
from tutelage.core.task import Task
from tutelage.loaders.models.budget import BudgetReached, cost_of_reply
from tutelage.loaders.models.model import OVERFLOW, Busy, Refused, Reply, Request
from tutelage.loaders.models.retrying import CallResult, RetryingModel, Unanswered
from tutelage.loaders.models.wire import read_reply
from tutelage.loaders.teacher.panel import Panel
from tutelage.loaders.teacher.parsing import ParsedAnswer, parse_answer
from tutelage.loaders.teacher.probability import label_probability
from tutelage.loaders.teacher.reply_ledger import KeptReply
from tutelage.loaders.teacher.rereading import ChangedVote, reread
from tutelage.loaders.teacher.teacher_ledger import OpenRecord, StoredAnswer, TeacherLedger
from tutelage.loaders.teacher.voting import next_step

_PAGE = 256
_LONG_ANSWER = 4000  # characters
_TELLING = 30  # characters from which answers of equal words are no chance
_RECORDS_AHEAD = 2  # per concurrent call


@dataclass(frozen=True, kw_only=True)
class AnnotateResult:
    """Counts of a run.

    Parameters
    ----------
    votes, abstentions, records
        Answers, those that name no label, and records that are finished.
    complete
        Whether every vote is there or an abstention.
    unanswered, why, rejected
        Votes that the next run asks for again, how many of them for which reason, and texts that a model refuses.
    early_stops, saved
        Records whose majority could no longer change, and the votes that this saved.
    repeated, identical
        Records with several votes of one prompt in this run, and those of them where all are word for word the same.
    tokens_in, tokens_out
        As the endpoints count them.
    cost, lost_cost
        US dollars for the answers, and at most for calls without one.
    budget_reached
        Whether the run ended because of its budget.
    read_later
        Answers, among these, that an earlier run had received and had not read when it was interrupted.
    changed
        Stored votes that a new parser, or a new spelling of a label, reads otherwise than before.
    troubles, rungs
        Failed attempts by kind, and answers by the rung of the parser that read them.
    """

    complete: bool = True
    votes: int = 0
    abstentions: int = 0
    unanswered: int = 0
    why: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0
    records: int = 0
    early_stops: int = 0
    saved: int = 0
    repeated: int = 0
    identical: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    lost_cost: float = 0.0
    budget_reached: bool = False
    read_later: int = 0
    changed: tuple[ChangedVote, ...] = ()
    troubles: Mapping[str, int] = field(default_factory=dict)
    rungs: Mapping[str, int] = field(default_factory=dict)


OnReject = Callable[[str, Panel, str], None]


class AnnotationRun:
    """One run over the ledger's records.

    Parameters
    ----------
    models
        By the name of the teacher.
    reject
        Called with a record's id, the panel, and why the model refuses the text.
    progress
        Called after each answer.
    """

    def __init__(
        self,
        ledger: TeacherLedger,
        task: Task,
        panels: Sequence[Panel],
        models: Mapping[str, RetryingModel],
        *,
        reject: OnReject = lambda _id, _panel, _why: None,
        progress: Callable[[AnnotateResult], None] = lambda _done: None,
    ) -> None:
        self._ledger, self._task, self._panels, self._models = ledger, task, panels, models
        self._reject, self._progress = reject, progress
        self._counts, self._rungs = Counter[str](), Counter[str]()
        self._cost, self._budget_reached = 0.0, False
        self._changed: list[ChangedVote] = []
        self._why = Counter[str]()

    async def run(self) -> AnnotateResult:
        """Read what is stored and was not read, or not by this parser; ask until nothing is missing or affordable.

        Raises
        ------
        TutelageError
            The first that any call raised; every answer that arrived before is stored.
        """
        self._changed = reread(self._ledger, self._task, self._panels)
        self._read_kept_replies()
        try:
            await self._all_records()
        except BaseExceptionGroup as group:
            expected = group.subgroup(TutelageError)
            raise (_first(expected) if expected else group) from None
        return self.result

    @property
    def result(self) -> AnnotateResult:
        """What the run did so far."""
        return AnnotateResult(
            **self._counts,
            complete=not (self._budget_reached or self._counts["unanswered"]),
            why=dict(self._why),
            cost=self._cost,
            lost_cost=max((model.budget.lost for model in self._models.values()), default=0.0),
            budget_reached=self._budget_reached,
            changed=tuple(self._changed),
            troubles=dict(sum((model.errors for model in self._models.values()), Counter[str]())),
            rungs=dict(self._rungs),
        )

    def _read_kept_replies(self) -> None:
        """Read the replies that a run had received when it was killed; of several attempts the last readable one."""
        for panel in self._panels:
            readable: dict[tuple[str, int], tuple[KeptReply, Reply]] = {}
            for kept in self._ledger.unread(panel):
                with suppress(Busy):
                    readable[kept.record_id, kept.voter.vote] = kept, read_reply(kept.body, kept.structured)
            for kept, reply in readable.values():
                cost = cost_of_reply(self._models[panel.teacher].price, reply)
                result = CallResult(reply=reply, cost=cost, latency=kept.latency, attempts=kept.attempt)
                parsed = parse_answer(reply.text, self._task, finish=reply.finish)
                self._counts["read_later"] += 1
                self._store(kept.record_id, kept.voter, result, parsed)

    async def _all_records(self) -> None:
        room = asyncio.Semaphore(
            _RECORDS_AHEAD * sum(model.teacher.limits.concurrency for model in self._models.values())
        )
        after = 0
        async with asyncio.TaskGroup() as group:
            while page := self._ledger.page(self._task, after=after, size=_PAGE):
                after = page[-1].seq
                for record in self._open_records(page):
                    await room.acquire()
                    if self._budget_reached:
                        return
                    group.create_task(self._record(record)).add_done_callback(lambda _: room.release())

    def _open_records(self, page: Sequence[OpenRecord]) -> list[OpenRecord]:
        """The records with missing votes; stores the early stops that a killed run did not store."""
        steps = [(record, next_step(record.votes, self._panels, record.overflows)) for record in page]
        self._store_stops([(record.id, *stop) for record, step in steps if not step.ask for stop in step.stopped])
        return [record for record, step in steps if step.ask]

    async def _record(self, record: OpenRecord) -> None:
        votes, overflows, stored = list(record.votes), set(record.overflows), list[StoredAnswer]()
        while (step := next_step(votes, self._panels, overflows)).ask:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._vote(record, panel, number)) for panel, number in step.ask]
            answers = [answer for task in asked if (answer := task.result())]
            if len(answers) < len(asked):
                return
            stored += answers
            votes += [self._task.vote(a.voter, a.label_text, a.reason) for a in answers]
            overflows |= {(a.voter.teacher, a.voter.prompt) for a in answers if a.finish == OVERFLOW}
        self._store_stops([(record.id, *stop) for stop in step.stopped])
        self._counts["records"] += 1
        self._note_repeats(stored)

    def _note_repeats(self, answers: Sequence[StoredAnswer]) -> None:
        """Count where a prompt's votes are word for word the same; a label alone cannot tell."""
        by_prompt: dict[tuple[str, str], list[str]] = {}
        for answer in answers:
            by_prompt.setdefault((answer.voter.teacher, answer.voter.prompt), []).append(answer.raw)
        for texts in by_prompt.values():
            if len(texts) > 1 and len(texts[0]) > _TELLING:
                self._counts.update(repeated=1, identical=len(set(texts)) == 1)

    def _store_stops(self, stops: list[tuple[str, Panel, int]]) -> None:
        if stops:
            new, saved = self._ledger.add_early_stops(stops)
            self._counts["early_stops"] += new
            self._counts["saved"] += saved

    async def _vote(self, record: OpenRecord, panel: Panel, number: int) -> StoredAnswer | None:
        """Ask for one vote and store the answer; None where there is none."""
        if self._budget_reached:
            return None
        labels = self._task.label_names if panel.template.wants_json else ()
        prompt = panel.template.render(record.text)
        request = Request(prompt=prompt, parameters=panel.parameters, labels=labels, number=number)
        voter = panel.voter(number)
        try:
            result = await self._models[panel.teacher].ask(request, partial(self._ledger.keep_reply, record.id, voter))
        except BudgetReached:
            self._budget_reached = True
        except Unanswered as unanswered:
            self._counts["unanswered"] += 1
            self._why[unanswered.why] += 1
        except Refused as refused:
            return self._refused(record, panel, number, refused)
        else:
            reply = result.reply
            parsed = await self._parse(reply)
            return self._store(record.id, voter, result, parsed)
        return None

    async def _parse(self, reply: Reply) -> ParsedAnswer:
        """Long answers are read in a thread, so that no other call waits; for short ones that takes longer."""
        if len(reply.text) > _LONG_ANSWER:
            return await asyncio.to_thread(parse_answer, reply.text, self._task, finish=reply.finish)
        return parse_answer(reply.text, self._task, finish=reply.finish)

    def _refused(self, record: OpenRecord, panel: Panel, number: int, refused: Refused) -> StoredAnswer:
        self._counts["rejected"] += 1
        self._reject(record.id, panel, str(refused))
        reply = Reply(text=str(refused), finish=refused.kind)
        result = CallResult(reply=reply, cost=0.0, latency=0.0, attempts=1)
        return self._store(record.id, panel.voter(number), result, _no_label(refused.kind))

    def _store(self, record_id: str, voter: Voter, result: CallResult, parsed: ParsedAnswer) -> StoredAnswer:
        reply = result.reply
        answer = StoredAnswer(
            record_id=record_id,
            voter=voter,
            label_text=parsed.label_text,
            reason=parsed.reason,
            raw=reply.text,
            rung=parsed.rung,
            finish=reply.finish,
            structured=reply.structured,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            cost=result.cost,
            latency=result.latency,
            attempts=result.attempts,
            probability=label_probability(reply.logprobs, parsed.label_text),
        )
        self._ledger.add_answers([answer])
        self._count(answer)
        return answer

    def _count(self, answer: StoredAnswer) -> None:
        self._counts.update(
            votes=1,
            abstentions=self._task.read_label(answer.label_text) is None,
            tokens_in=answer.tokens_in or 0,
            tokens_out=answer.tokens_out or 0,
        )
        self._rungs[answer.rung] += 1
        self._cost += answer.cost or 0.0
        self._progress(self.result)


def _no_label(rung: str) -> ParsedAnswer:
    return ParsedAnswer(label_text="", reason="", rung=rung)


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
