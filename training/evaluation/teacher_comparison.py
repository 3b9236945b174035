"""Teachers against gold labels on the same rows: accuracy and cost by prompt and number of votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tutelage.core.arrays import Ints, indices
from tutelage.core.errors import StudentError
from tutelage.core.records import Voter
from tutelage.core.workspace import Workspace
from tutelage.loaders.consensus import consensus
from tutelage.loaders.teacher.teacher_ledger import Spent, TeacherLedger
from tutelage.loaders.teacher.voting import votes_to_settle
from tutelage.training.evaluation.gold_set import GoldRow, GoldSet
from tutelage.training.measures.comparison import Comparison, compare
from tutelage.training.measures.metrics import Interval, score

_ENOUGH = 0.9  # fraction of the voted rows; a teacher asked by escalation has votes on hard rows only


class TeacherPrompt(NamedTuple):
    """A teacher with one prompt."""

    teacher: str
    prompt: str


EVERYONE = TeacherPrompt("everyone", "all votes")


@dataclass(frozen=True)
class CutVotes:
    """A teacher with one prompt whose votes, from this number on, were asked only where others left room for doubt."""

    teacher: str
    prompt: str
    votes: int


@dataclass(frozen=True, kw_only=True)
class TeacherScore:
    """Scores of the consensus of a prompt's first ``votes`` votes; abstentions count as wrong.

    With several prompts, 'everyone' is the consensus of all votes, at most ``votes`` per row.

    ``cost`` (US dollars) and ``seconds`` (latency of consecutive calls) are per 1,000 texts, from the
    ledger's calls; None where unknown. ``to_best`` compares the best with this one, on the same rows;
    None for the best itself.
    """

    teacher: str
    prompt: str
    votes: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    abstentions: int
    cost: float | None
    seconds: float | None
    to_best: Comparison | None


@dataclass(frozen=True, kw_only=True)
class TeacherTable:
    """Scores on the ``rows`` that all these teachers have voted on, the best first.

    ``left_out`` are the teachers and prompts with votes on too few rows, ``cut`` those that cannot be compared,
    because ``early_stop`` or ``escalate`` asked them with regard to others' votes.
    """

    gold_set: str
    rows: int
    scores: tuple[TeacherScore, ...]
    left_out: tuple[TeacherPrompt, ...]
    cut: tuple[CutVotes, ...] = ()
    repeated: int = 0
    contradictory: tuple[str, ...] = ()


class _Candidate(NamedTuple):
    panel: TeacherPrompt
    votes: int
    predictions: Ints


def compare_teachers(workspace: Workspace, gold_set: GoldSet) -> TeacherTable:
    """Evaluate every teacher, prompt and number of votes on the gold set.

    Raises
    ------
    StudentError
        When no row has votes, or none has votes of all teachers.
    """
    voted, left_out = _panels(gold_set.items)
    most = _comparable_votes(workspace, gold_set.items, voted, [*voted, *left_out])
    panels = [panel for panel in voted if most[panel]]
    items = [item for item in gold_set.items if all(_votes(item, panel, 1) for panel in panels)]
    if not panels or not items:
        raise StudentError(
            f"{gold_set.name}: no rows with votes that can be compared; run tutelage annotate, without early_stop and"
            " escalate, or pass columns of votes with --vote"
            if voted
            else f"{gold_set.name}: no rows with votes; run tutelage annotate, or pass columns of votes with --vote"
        )
    names = workspace.task.label_names
    gold = indices([item.gold for item in items], names)
    candidates = [candidate for panel in panels for candidate in _candidates(items, panel, most[panel], names)]
    candidates += [_everyone(items, names)] if len(voted) > 1 else []
    best = max(candidates, key=lambda c: (int((c.predictions == gold).sum()), -c.votes))
    spent = _spent(workspace)
    scores = [_score(candidate, best, gold, names, spent) for candidate in candidates]
    return TeacherTable(
        gold_set=gold_set.name,
        rows=len(items),
        scores=tuple(sorted(scores, key=lambda s: -s.accuracy)),
        left_out=tuple(left_out),
        repeated=gold_set.repeated,
        contradictory=gold_set.contradictory,
        cut=tuple(CutVotes(*panel, most[panel] + 1) for panel in voted if most[panel] < _most(gold_set.items, panel)),
    )


def _panels(items: Sequence[GoldRow]) -> tuple[list[TeacherPrompt], list[TeacherPrompt]]:
    """The panels with votes on enough of the voted rows, and the others."""
    voted = [
        {TeacherPrompt(vote.voter.teacher, vote.voter.prompt) for vote in item.votes} for item in items if item.votes
    ]
    panels = list(dict.fromkeys(panel for panels in voted for panel in sorted(panels)))
    enough = [panel for panel in panels if sum(panel in voters for voters in voted) >= _ENOUGH * len(voted)]
    return enough, [panel for panel in panels if panel not in enough]


def _comparable_votes(
    workspace: Workspace, items: Sequence[GoldRow], voted: Sequence[TeacherPrompt], everyone: Sequence[TeacherPrompt]
) -> dict[TeacherPrompt, int]:
    """How many votes of each panel say what it would have said without others: all, but after an early stop."""
    with_votes = [item for item in items if item.votes]
    shared = _asked_by_need(workspace) if len(everyone) > 1 else set()
    most = {panel: _most(items, panel) for panel in voted}
    for panel in shared & most.keys():
        unknown = (n for n in range(1, most[panel] + 1) if not all(_is_known(item, panel, n) for item in with_votes))
        most[panel] = next(unknown, most[panel] + 1) - 1
    return most


def _is_known(item: GoldRow, panel: TeacherPrompt, votes: int) -> bool:
    """Whether the panel's first ``votes`` votes are there, or those that are settle their majority."""
    labels = _votes(item, panel, votes)
    return len(labels) == votes or (bool(labels) and not votes_to_settle(labels, votes - len(labels)))


def _asked_by_need(workspace: Workspace) -> set[TeacherPrompt]:
    """The panels whose votes may depend on the votes of others."""
    if not workspace.db.exists():
        return set()
    names = {teacher.name for teacher in workspace.task.teachers if teacher.early_stop or teacher.escalate}
    with TeacherLedger(workspace.db) as ledger:
        stopped, used = ledger.early_stopped(), ledger.used_panels()
    return {TeacherPrompt(*key) for key in stopped} | {
        TeacherPrompt(p.teacher, p.prompt) for p in used if p.teacher in names
    }


def _most(items: Sequence[GoldRow], panel: TeacherPrompt) -> int:
    return max(vote.voter.vote for item in items for vote in item.votes if _is_of(panel, vote.voter))


def _candidates(items: Sequence[GoldRow], panel: TeacherPrompt, most: int, names: tuple[str, ...]) -> list[_Candidate]:
    return [_Candidate(panel, votes, _predictions(items, panel, votes, names)) for votes in range(1, most + 1)]


def _everyone(items: Sequence[GoldRow], names: tuple[str, ...]) -> _Candidate:
    """The consensus of all votes of a row, which is its suggestion."""
    most = max(len(item.votes) for item in items)
    return _Candidate(EVERYONE, most, indices([item.consensus for item in items], names))


def _predictions(items: Sequence[GoldRow], panel: TeacherPrompt, votes: int, names: tuple[str, ...]) -> Ints:
    majorities = [consensus(_votes(item, panel, votes)) for item in items]
    return indices([majority.label if majority else None for majority in majorities], names)


def _votes(item: GoldRow, panel: TeacherPrompt, most: int) -> list[str | None]:
    """The labels of the panel's first ``most`` votes; fewer, with the same majority, after an early stop."""
    votes = [vote for vote in item.votes if _is_of(panel, vote.voter) and vote.voter.vote <= most]
    return [vote.label for vote in sorted(votes, key=lambda vote: vote.voter.vote)]


def _is_of(panel: TeacherPrompt, voter: Voter) -> bool:
    return (voter.teacher, voter.prompt) == panel


def _spent(workspace: Workspace) -> list[Spent]:
    if not workspace.db.exists():
        return []
    with TeacherLedger(workspace.db) as ledger:
        return ledger.spent()


def _score(
    candidate: _Candidate, best: _Candidate, gold: Ints, names: tuple[str, ...], spent: Sequence[Spent]
) -> TeacherScore:
    scores = score(gold, candidate.predictions, names)
    cost, seconds = _for_a_thousand(candidate, spent)
    return TeacherScore(
        teacher=candidate.panel.teacher,
        prompt=candidate.panel.prompt,
        votes=candidate.votes,
        accuracy=scores.accuracy,
        accuracy_interval=scores.accuracy_interval,
        macro_f1=scores.macro_f1,
        macro_f1_interval=scores.macro_f1_interval,
        abstentions=int(np.sum(candidate.predictions < 0)),
        cost=cost,
        seconds=seconds,
        to_best=None if candidate is best else compare(gold, best.predictions, candidate.predictions, len(names)),
    )


def _for_a_thousand(candidate: _Candidate, spent: Sequence[Spent]) -> tuple[float | None, float | None]:
    """Cost and seconds per 1,000 texts; votes saved by early stopping cost nothing."""
    calls = [s for s in spent if (s.teacher, s.prompt) == candidate.panel and s.vote <= candidate.votes]
    texts = max((s.texts for s in calls), default=0)
    if not texts:
        return None, None
    cost = sum(s.cost for s in calls) if all(s.priced == s.calls for s in calls) else None
    return None if cost is None else 1000 * cost / texts, 1000 * sum(s.latency for s in calls) / texts
