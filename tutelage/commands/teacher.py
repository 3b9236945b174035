"""``annotate``: asks the teacher."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tutelage.commands.console import Console, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from tutelage.loaders.teacher.annotate import AnnotateResult
    from tutelage.loaders.teacher.plan import PlannedPanel
    from tutelage.loaders.teacher.session import Session


@command("annotate")
@click.option("--plan", "only_plan", is_flag=True, help="Print calls, tokens and cost; ask nothing.")
@click.option("--budget", type=click.FloatRange(min=0), metavar="USD", help="Stop before this run spends more.")
@click.option("--votes", type=click.IntRange(1, 99), metavar="N", help="Votes of each prompt (default: the task's).")
def annotate_command(console: Console, *, only_plan: bool, budget: float | None, votes: int | None) -> None:
    """Ask the task's teachers for the votes that are missing."""
    from tutelage.loaders.teacher.session import Session

    session = Session.of(console.workspace, votes=votes)
    if only_plan:
        _plan(console, session)
    else:
        _run(console, session, budget)


def _plan(console: Console, session: Session) -> None:
    panels = session.plan()
    calls = sum(panel.calls for panel in panels)
    costs = [panel.cost for panel in panels if panel.calls]
    cost = None if None in costs else sum(cost for cost in costs if cost)
    lines = [*map(_planned, panels), f"together at most {calls} calls, {_dollars(cost)}"]
    data = {"calls": calls, "cost": cost, "panels": [asdict(panel) for panel in panels]}
    console.result(data, "\n".join(lines))


def _planned(panel: PlannedPanel) -> str:
    """One line of the plan."""
    basis = "from its own calls" if panel.measured else "estimated"
    words = f"{panel.teacher} {panel.prompt}: at most {panel.calls} calls, {panel.tokens_in} tokens in"
    words += f" and {panel.tokens_out} out ({basis}), {_dollars(panel.cost)}"
    if panel.cost_at_most is not None:
        words += f", at most {_dollars(panel.cost_at_most)} (prices since {panel.price_since})"
    return words


def _dollars(cost: float | None) -> str:
    return "cost unknown (the task lists no price)" if cost is None else f"{cost:.4f} USD"


def _run(console: Console, session: Session, budget: float | None) -> None:
    done = session.run(budget=budget, progress=_progress(console))
    console.result(done, _summary(done))


def _progress(console: Console) -> Callable[[AnnotateResult, int], None]:
    began = time.monotonic()

    def show(done: AnnotateResult, missing: int) -> None:
        rate = done.votes / max(time.monotonic() - began, 1e-9)
        left = max(0, missing - done.votes - done.saved) / rate
        console.progress(
            f"{done.votes} of {missing} votes, {rate:.1f}/s, {done.cost:.4f} USD,"
            f" {int(left // 60)}:{int(left % 60):02d} left"
        )

    return show


def _summary(done: AnnotateResult) -> str:
    words = f"{done.votes} votes on {done.records} records, {done.abstentions} abstentions"
    words += f"; {done.tokens_in} tokens in, {done.tokens_out} out, {done.cost:.4f} USD"
    words += f"; {done.early_stops} early stops saved {done.saved} votes" if done.early_stops else ""
    words += f"; {done.rejected} texts refused (see rejects.jsonl)" if done.rejected else ""
    words += (
        f"; tried again after: {', '.join(f'{n} {kind}' for kind, n in done.troubles.items())}" if done.troubles else ""
    )
    words += f"; {done.unanswered} votes without an answer, run it again for them" if done.unanswered else ""
    return words + ("; stopped before the budget was exceeded" if done.budget_reached else "")
