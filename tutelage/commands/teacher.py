"""``annotate``: asks the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tutelage.commands.terminal.console import Console, command
from tutelage.core.errors import TeacherError

if TYPE_CHECKING:
    from tutelage.loaders.teacher.annotate import AnnotateResult
    from tutelage.loaders.teacher.plan import PlannedPanel


@command("annotate", example="tutelage annotate --budget 5")
@click.option("--plan", "only_plan", is_flag=True, help="Print calls, tokens and cost; ask nothing.")
@click.option(
    "--budget", type=click.FloatRange(min=0), metavar="USD", help="Stop before this run spends more than this."
)
@click.option("--votes", type=click.IntRange(1, 99), metavar="N", help="Votes of each prompt (default: the task's).")
def annotate_command(console: Console, *, only_plan: bool, budget: float | None, votes: int | None) -> None:
    """Ask the task's teachers for the votes that are missing."""
    if only_plan:
        plan = console.project.plan_annotation(votes=votes)
        lines = [*map(_planned, plan.panels), f"together at most {plan.calls} calls, {_dollars(plan.cost)}"]
        console.result(plan, "\n".join(lines))
    else:
        result = console.project.annotate(votes=votes, budget=budget)
        console.result(result, _summary(result))
        if result.unanswered:
            why = ", ".join(f"{count} after {words}" for words, count in result.why.items())
            raise TeacherError(f"{result.unanswered} votes are missing ({why}); all answers are kept, run it again")


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


_CHANGES_SHOWN = 5
_REPEATED_MIN, _MOST = 10, 0.9


def _changes(done: AnnotateResult) -> str:
    """The stored votes that are read otherwise now, a line for each of the first ones."""
    if not done.changed:
        return ""
    lines = [f"{len(done.changed)} stored votes are read otherwise than before, without asking:"]
    for one in done.changed[:_CHANGES_SHOWN]:
        before, after = (one.before or "no label"), (one.after or "no label")
        lines.append(f"  {one.record}: vote {one.vote} of {one.teacher} {one.prompt}: {before} -> {after}")
    rest = len(done.changed) - _CHANGES_SHOWN
    return "\n".join([*lines, *([f"  and {rest} more"] if rest > 0 else []), ""])


def _summary(done: AnnotateResult) -> str:
    words = _changes(done)
    words += f"{done.votes} votes on {done.records} records, {done.abstentions} abstentions"
    words += f"; {done.tokens_in} tokens in, {done.tokens_out} out, {done.cost:.4f} USD"
    words += f"; {done.early_stops} early stops saved {done.saved} votes" if done.early_stops else ""
    words += f"; {done.rejected} texts refused (see rejects.jsonl)" if done.rejected else ""
    words += (
        f"; tried again after: {', '.join(f'{n} {kind}' for kind, n in done.troubles.items())}" if done.troubles else ""
    )
    if done.repeated >= _REPEATED_MIN and done.identical > _MOST * done.repeated:
        words += f"; the votes on {done.identical} of {done.repeated} records are word for word the same: the endpoint"
        words += " ignores the temperature, and votes: 1 says as much for less"
    return words + ("; stopped before the budget was exceeded" if done.budget_reached else "")
