"""Which votes to ask for next: pure functions on the votes so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from tutelage.core.records import Vote
from tutelage.core.teachers import Escalate
from tutelage.loaders.consensus import agreement, consensus
from tutelage.loaders.teacher.panel import Panel


class Step(NamedTuple):
    """The votes to ask for concurrently, and the panels that are stopped early, with the votes saved."""

    ask: tuple[tuple[Panel, int], ...] = ()
    stopped: tuple[tuple[Panel, int], ...] = ()


def next_step(votes: Sequence[Vote], panels: Sequence[Panel], overflows: Iterable[tuple[str, str]] = ()) -> Step:
    """The next votes to ask for; with none, the record is done.

    Panels are asked in stages: first those without escalation, then each teacher with
    ``escalate``, in the task's order, where the votes of the stages before are in doubt. Imported
    votes count in every stage. Panels in ``overflows`` are not asked. A panel with ``early_stop`` is
    stopped where neither its own votes nor those of later stages could change the majority.
    """
    asked, closed = {panel.key for panel in panels}, set(overflows)
    seen = [vote for vote in votes if (vote.voter.teacher, vote.voter.prompt) not in asked]
    stopped: list[tuple[Panel, int]] = []
    stages = _stages(panels)
    for number, (escalate, stage) in enumerate(stages, 1):
        if escalate and not in_doubt(seen, escalate):
            continue
        seen += [vote for vote in votes if (vote.voter.teacher, vote.voter.prompt) in {p.key for p in stage}]
        later = sum(p.votes for _, panels_later in stages[number:] for p in panels_later if p.key not in closed)
        step = _stage_step(seen, [panel for panel in stage if panel.key not in closed], later)
        stopped += step.stopped
        if step.ask:
            return Step(step.ask, tuple(stopped))
    return Step((), tuple(stopped))


def possible_votes(
    votes: Sequence[Vote], panels: Sequence[Panel], overflows: Iterable[tuple[str, str]] = ()
) -> list[tuple[Panel, int]]:
    """The remaining votes of each panel, at most."""
    first = next_step(votes, panels, overflows)
    if not first.ask:
        return []
    voted, closed = {vote.voter for vote in votes}, {panel.key for panel, _ in first.stopped} | set(overflows)
    missing = [(p, sum(p.voter(n) not in voted for n in range(1, p.votes + 1))) for p in panels if p.key not in closed]
    return [(panel, count) for panel, count in missing if count]


def _stages(panels: Sequence[Panel]) -> list[tuple[Escalate | None, list[Panel]]]:
    always = [panel for panel in panels if panel.escalate is None]
    later = [panel for panel in panels if panel.escalate is not None]
    by_teacher = [list(group) for _, group in groupby(later, key=lambda panel: panel.teacher)]
    return [(None, always), *((group[0].escalate, group) for group in by_teacher)]


def in_doubt(votes: Sequence[Vote], escalate: Escalate) -> bool:
    """Whether the votes tie, include an abstention, or agree less than ``escalate.agreement_below``."""
    labels = [vote.label for vote in votes]
    majority = consensus(labels)
    if majority is None or majority.tie or None in labels:
        return True
    return (agreement(majority.label, labels) or 0.0) < escalate.agreement_below


def _stage_step(votes: Sequence[Vote], stage: Sequence[Panel], later: int) -> Step:
    """The step within a stage; ``later`` is the number of votes that later stages could add."""
    voted = {vote.voter for vote in votes}
    missing = [(panel, n) for panel in stage for n in range(1, panel.votes + 1) if panel.voter(n) not in voted]
    must = [(panel, n) for panel, n in missing if not panel.early_stop]
    may = [(panel, n) for panel, n in missing if panel.early_stop]
    wanted = votes_to_settle([vote.label for vote in votes], len(missing) + later)
    if wanted == 0 and may:
        spared = Counter(panel.key for panel, _ in may)
        return Step(tuple(must), tuple((panel, spared[panel.key]) for panel in stage if panel.key in spared))
    return Step((*must, *may[: max(0, wanted - len(must))]))


def votes_to_settle(labels: Sequence[str | None], remaining: int) -> int:
    """The minimum of the ``remaining`` votes that can settle the majority; 0 when they cannot change it.

    With L votes for the leading label and S for the next, k more for the leader settle it when
    L + k > S + remaining - k.
    """
    counts = [count for _, count in Counter(label for label in labels if label is not None).most_common(2)]
    lead, second = (*counts, 0, 0)[:2]
    if lead > second + remaining or not remaining:
        return 0
    return min(remaining, (remaining - lead + second) // 2 + 1)
