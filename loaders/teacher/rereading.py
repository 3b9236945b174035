"""Stored answers read anew, at no cost: when the parser or the labels' spellings change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.core.task import Task
from tutelage.loaders.teacher.panel import Panel
from tutelage.loaders.teacher.parsing import PARSER, ParsedAnswer, parse_answer
from tutelage.loaders.teacher.reply_ledger import NewReading, ReadAnswer, ReplyLedger

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedVote:
    """A vote that is read otherwise than before; a label of None is an abstention."""

    record: str
    teacher: str
    prompt: str
    vote: int
    before: str | None
    after: str | None


def parser_of(task: Task) -> str:
    """The version of the parser, and a hash of the spellings that it knows of the task's labels."""
    spellings = json.dumps([task.name, *((label.name, *label.aliases) for label in task.labels)], ensure_ascii=False)
    return f"{PARSER}-{hashlib.sha256(spellings.encode()).hexdigest()[:8]}"


def reread(ledger: ReplyLedger, task: Task, panels: Sequence[Panel]) -> list[ChangedVote]:
    """Read the stored answers of these panels anew where another parser read them; returns the votes that changed.

    A run that is interrupted here begins again with the panel that it was at.
    """
    parser, changed = parser_of(task), list[ChangedVote]()
    for panel in panels:
        if ledger.read_with(panel) != parser:
            for page in ledger.read_answers(panel, size=_PAGE):
                readings = [(answer, parse_answer(answer.raw, task, finish=answer.finish)) for answer in page]
                changed += [one for answer, parsed in readings if (one := _changed(answer, parsed, task))]
                ledger.set_readings(
                    [_new(answer, parsed) for answer, parsed in readings if _differs(answer, parsed)], parser
                )
            ledger.set_read_with(panel, parser)
    return changed


def _differs(answer: ReadAnswer, parsed: ParsedAnswer) -> bool:
    return (answer.label_text, answer.reason) != (parsed.label_text, parsed.reason)


def _new(answer: ReadAnswer, parsed: ParsedAnswer) -> NewReading:
    return NewReading(seq=answer.seq, label_text=parsed.label_text, reason=parsed.reason, rung=parsed.rung)


def _changed(answer: ReadAnswer, parsed: ParsedAnswer, task: Task) -> ChangedVote | None:
    before, after = task.read_label(answer.label_text), task.read_label(parsed.label_text)
    if before == after:
        return None
    voter = answer.voter
    return ChangedVote(
        record=answer.record_id, teacher=voter.teacher, prompt=voter.prompt, vote=voter.vote, before=before, after=after
    )
