"""Stored votes that are asked for anew: which ones, and those that an interrupted run has left."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.core.records import Voter
from tutelage.core.task import Task
from tutelage.loaders.teacher.panel import Panel
from tutelage.loaders.teacher.parsing import CUT, REFUSED
from tutelage.loaders.teacher.reply_ledger import Asking, ReadAnswer, ReplyLedger

AGAIN = ("abstentions", "refused", "cut")
"""What can be asked for anew: votes that name no label, those that the endpoint refused, those that were cut off."""

_PAGE = 500


def open_askings(ledger: ReplyLedger, panels: Sequence[Panel]) -> dict[tuple[str, Voter], Asking]:
    """The votes of these panels that are asked for anew and have no further answer yet, by record and voter."""
    askings = [asking for panel in panels for asking in ledger.open_askings(panel)]
    return {(asking.record_id, asking.voter): asking for asking in askings}


def ask_again(ledger: ReplyLedger, task: Task, panels: Sequence[Panel], kind: str) -> dict[tuple[str, Voter], Asking]:
    """Write down which votes of these panels are asked for anew, so that an interrupted run can be continued."""
    pages = (page for panel in panels for page in ledger.read_answers(panel, size=_PAGE))
    ledger.ask_again([answer.seq for page in pages for answer in page if _is_meant(answer, kind, task)])
    return open_askings(ledger, panels)


def _is_meant(answer: ReadAnswer, kind: str, task: Task) -> bool:
    finish = answer.finish.casefold()
    chosen = {"abstentions": task.read_label(answer.label_text) is None, "refused": finish in REFUSED}
    return chosen.get(kind, finish in CUT)
