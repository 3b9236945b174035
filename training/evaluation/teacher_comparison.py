"""Teachers against gold on the same rows: each prompt, each number of votes, what it is worth and what it costs."""

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
from tutelage.training.evaluation.gold_set import GoldRow, GoldSet
from tutelage.training.measures.comparison import Comparison, compare
from tutelage.training.measures.metrics import Interval, score

_ENOUGH = 0.9  # share of the voted rows; a teacher asked only in doubt is not measured on doubts alone


class TeacherPrompt(NamedTuple):
    """A teacher with one prompt."""

    teacher: str
    prompt: str


EVERYONE = TeacherPrompt("everyone", "all votes")


@dataclass(frozen=True)
class TeacherScore:
    """A teacher with one prompt and the consensus of its first ``votes`` votes; abstentions count as wrong.

    Where there are several, 'everyone' is the consensus of all votes, at most ``votes`` a row.

    ``cost`` (US dollars) and ``seconds`` (of answering, one call after the other) are for 1,000 texts,
    from the ledger's calls; None where nobody knows. ``to_best`` is the best against this one, on the same
    rows; None for the best itself.
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


@dataclass(frozen=True)
class TeacherTable:
    """All scores on the ``rows`` that every teacher here has voted on, the best first.

    ``left_out`` are the teachers and prompts that voted on too few rows to be measured with the others.
    """

    sheet: str
    rows: int
    scores: tuple[TeacherScore, ...]
    left_out: tuple[TeacherPrompt, ...]


class _Candidate(NamedTuple):
    panel: TeacherPrompt
    votes: int
    said: Ints


def compare_teachers(workspace: Workspace, sheet: GoldSet) -> TeacherTable:
    """Measure every teacher, prompt and number of votes that the sheet's rows have.

    Raises
    ------
    StudentError
        When no row has votes, or there is no row on which all have voted.
    """
    panels, left_out = _panels(sheet.items)
    items = [item for item in sheet.items if all(_votes(item, panel, 1) for panel in panels)]
    if not panels or not items:
        raise StudentError(f"{sheet.name}: no rows with votes; run tutelage annotate, or name columns with --vote")
    names = workspace.task.label_names
    gold = indices([item.gold for item in items], names)
    candidates = [candidate for panel in panels for candidate in _candidates(items, panel, names)]
    candidates += [_everyone(items, names)] if len(panels) > 1 else []
    best = max(candidates, key=lambda c: (int((c.said == gold).sum()), -c.votes))
    spent = _spent(workspace)
    scores = [_score(candidate, best, gold, names, spent) for candidate in candidates]
    return TeacherTable(sheet.name, len(items), tuple(sorted(scores, key=lambda s: -s.accuracy)), tuple(left_out))


def _panels(items: Sequence[GoldRow]) -> tuple[list[TeacherPrompt], list[TeacherPrompt]]:
    """The panels that voted on enough of the voted rows, and those that did not."""
    voted = [
        {TeacherPrompt(vote.voter.teacher, vote.voter.prompt) for vote in item.votes} for item in items if item.votes
    ]
    panels = list(dict.fromkeys(panel for panels in voted for panel in sorted(panels)))
    enough = [panel for panel in panels if sum(panel in there for there in voted) >= _ENOUGH * len(voted)]
    return enough, [panel for panel in panels if panel not in enough]


def _candidates(items: Sequence[GoldRow], panel: TeacherPrompt, names: tuple[str, ...]) -> list[_Candidate]:
    most = max(vote.voter.vote for item in items for vote in item.votes if _is_of(panel, vote.voter))
    return [_Candidate(panel, votes, _said(items, panel, votes, names)) for votes in range(1, most + 1)]


def _everyone(items: Sequence[GoldRow], names: tuple[str, ...]) -> _Candidate:
    """The consensus of all votes that a row has: what is suggested for it."""
    most = max(len(item.votes) for item in items)
    return _Candidate(EVERYONE, most, indices([item.consensus for item in items], names))


def _said(items: Sequence[GoldRow], panel: TeacherPrompt, votes: int, names: tuple[str, ...]) -> Ints:
    found = [consensus(_votes(item, panel, votes)) for item in items]
    return indices([majority.label if majority else None for majority in found], names)


def _votes(item: GoldRow, panel: TeacherPrompt, most: int) -> list[str | None]:
    """The labels of the panel's votes up to number ``most``; an early stop leaves fewer, and the same majority."""
    mine = [vote for vote in item.votes if _is_of(panel, vote.voter) and vote.voter.vote <= most]
    return [vote.label for vote in sorted(mine, key=lambda vote: vote.voter.vote)]


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
    scores = score(gold, candidate.said, names)
    cost, seconds = _for_a_thousand(candidate, spent)
    return TeacherScore(
        *candidate.panel,
        candidate.votes,
        scores.accuracy,
        scores.accuracy_interval,
        scores.macro_f1,
        scores.macro_f1_interval,
        int(np.sum(candidate.said < 0)),
        cost,
        seconds,
        None if candidate is best else compare(gold, best.said, candidate.said, len(names)),
    )


def _for_a_thousand(candidate: _Candidate, spent: Sequence[Spent]) -> tuple[float | None, float | None]:
    """Cost and seconds of 1,000 texts; votes that early stops saved cost nothing."""
    mine = [s for s in spent if (s.teacher, s.prompt) == candidate.panel and s.vote <= candidate.votes]
    texts = max((s.calls for s in mine), default=0)
    if not texts:
        return None, None
    cost = sum(s.cost for s in mine) if all(s.priced == s.calls for s in mine) else None
    return None if cost is None else 1000 * cost / texts, 1000 * sum(s.latency for s in mine) / texts
