"""Calls, tokens and cost of a run, estimated before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from tutelage.core.task import Task
from tutelage.core.teachers import Price
from tutelage.loaders.models.budget import cost_of, highest_cost
from tutelage.loaders.models.metering import longest_answer
from tutelage.loaders.teacher.panel import Panel
from tutelage.loaders.teacher.teacher_ledger import TeacherLedger
from tutelage.loaders.teacher.voting import possible_votes

_PAGE = 500
_TOKENS_PER_CHARACTER = 0.25  # until this panel has answers
_TOKENS_OUT = {True: 80.0, False: 5.0}  # for a reason with a label, for a label


@dataclass(frozen=True, kw_only=True)
class PlannedPanel:
    """The remaining calls of a panel, at most: early stopping and escalation can only save calls.

    ``tokens_in``, ``tokens_out`` and ``cost`` (US dollars) are estimates, from the model's own calls where
    there are any (``measured``); ``cost_at_most`` assumes ``max_tokens`` for
    every answer. Costs are None without a price.
    """

    teacher: str
    prompt: str
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    cost_at_most: float | None
    price_since: date | None
    measured: bool


def plan_panels(
    ledger: TeacherLedger, task: Task, panels: Sequence[Panel], prices: Mapping[str, Price | None]
) -> list[PlannedPanel]:
    """Count the remaining calls of all records; ``prices`` by the name of the teacher."""
    calls, characters = _count(ledger, task, panels)
    return [_planned(ledger, panel, calls[panel.key], characters[panel.key], prices[panel.teacher]) for panel in panels]


def _count(
    ledger: TeacherLedger, task: Task, panels: Sequence[Panel]
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Calls, and characters of their prompts, by panel key."""
    calls, characters = dict.fromkeys((p.key for p in panels), 0), dict.fromkeys((p.key for p in panels), 0)
    after = 0
    while page := ledger.page(task, after=after, size=_PAGE):
        after = page[-1].seq
        for record in page:
            for panel, votes in possible_votes(record.votes, panels, record.overflows):
                calls[panel.key] += votes
                characters[panel.key] += votes * len(panel.template.render(record.text))
    return calls, characters


def _planned(ledger: TeacherLedger, panel: Panel, calls: int, characters: int, price: Price | None) -> PlannedPanel:
    measured = ledger.tokens_per_character(panel)
    per_character, out = measured or (_TOKENS_PER_CHARACTER, _TOKENS_OUT[panel.template.wants_json])
    tokens_in, tokens_out = round(characters * per_character), round(calls * out)
    longest = calls * longest_answer(panel.parameters)
    return PlannedPanel(
        teacher=panel.teacher,
        prompt=panel.prompt,
        calls=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=cost_of(price, tokens_in, tokens_out),
        cost_at_most=highest_cost(price, tokens_in, longest),
        price_since=price.since if price else None,
        measured=measured is not None,
    )
