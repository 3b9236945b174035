"""``annotate``: asks the teacher."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Literal

import click

from tutelage.commands.terminal.console import Console, command
from tutelage.core.errors import TeacherError

if TYPE_CHECKING:
    from tutelage.loaders.teacher.annotate import AnnotateResult
    from tutelage.loaders.teacher.pilot import Pilot, PilotAnswer
    from tutelage.loaders.teacher.plan import PlannedPanel


@command("annotate", example="tutelage annotate --budget 5")
@click.option(
    "--plan",
    "--dry-run",
    "only_plan",
    is_flag=True,
    help="Print a filled prompt, and calls, tokens and cost; ask nothing.",
)
@click.option(
    "--pilot",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Ask about N texts only; print their answers as they were read, labels, and the cost of the rest.",
)
@click.option(
    "--budget", type=click.FloatRange(min=0), metavar="USD", help="Stop before this run spends more than this."
)
@click.option("--votes", type=click.IntRange(1, 99), metavar="N", help="Votes of each prompt (default: the task's).")
@click.option(
    "--again",
    metavar="KIND",
    type=click.Choice(["abstentions", "refused", "cut"]),
    help="Ask anew for votes that name no label (abstentions), that the endpoint refused, or that were cut off (cut).",
)
def annotate_command(
    console: Console,
    *,
    only_plan: bool,
    pilot: int | None,
    budget: float | None,
    votes: int | None,
    again: Literal["abstentions", "refused", "cut"] | None,
) -> None:
    """Ask the task's teachers for the votes that are missing."""
    _check_one(plan=only_plan, pilot=pilot, again=again)
    if only_plan:
        plan = console.project.plan_annotation(votes=votes)
        lines = [
            *map(_prompt, plan.panels),
            *map(_planned, plan.panels),
            f"together at most {plan.calls} calls, {_dollars(plan.cost)}",
        ]
        console.result(plan, "\n".join(line for line in lines if line))
    elif pilot:
        tried = console.project.pilot_annotation(pilot, votes=votes, budget=budget)
        console.result(tried, _piloted(tried))
        _check_all_answered(tried.run)
    else:
        result = console.project.annotate(votes=votes, budget=budget, again=again)
        console.result(result, _summary(result))
        _check_all_answered(result)


_SHOWN = 100  # characters of a text or an answer


def _piloted(tried: Pilot) -> str:
    """The answers text by text, then labels, cost and what the rest would take."""
    lines: list[str] = []
    for (record, text), answers in groupby(tried.answers, key=lambda one: (one.record, one.text)):
        lines += [f"{record}: {_short(text)}", *map(_pilot_answer, answers)]
    spread = ", ".join(f"{label or 'no label'} {count}" for label, count in tried.labels.items())
    lines += [f"{tried.texts} texts, {len(tried.answers)} answers, {tried.abstentions} abstentions; labels: {spread}"]
    lines += [f"this run: {_summary(tried.run)}", *(f"the rest: {_planned(panel)}" for panel in tried.rest)]
    return "\n".join(lines)


def _pilot_answer(one: PilotAnswer) -> str:
    read = f"{one.label}{f' ({_short(one.reason)})' if one.reason else ''}"
    return (
        f"  vote {one.vote} of {one.teacher} {one.prompt}: {read if one.label else f'no label in: {_short(one.raw)}'}"
    )


def _short(text: str) -> str:
    from tutelage.commands.terminal.tables import harmless

    words = " ".join(harmless(text).split())
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"


def _check_one(**options: object) -> None:
    given = [f"--{name}" for name, value in options.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} cannot go together; give one of them")


def _check_all_answered(result: AnnotateResult) -> None:
    if result.unanswered:
        why = ", ".join(f"{count} after {words}" for words, count in result.why.items())
        raise TeacherError(f"{result.unanswered} votes are missing ({why}); all answers are kept, run it again")


def _prompt(panel: PlannedPanel) -> str:
    """The panel's first prompt, as it would be sent."""
    from tutelage.commands.terminal.tables import indented

    return f"{panel.teacher} {panel.prompt} would be asked:\n\n{indented(panel.example)}\n" if panel.example else ""


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
    words += f"; {done.again} of these votes were asked for anew" if done.again else ""
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
