"""A ranking by all that is known, with what speaks against each suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tutelage.core.arrays import Ints
from tutelage.core.records import Record
from tutelage.core.task import Task
from tutelage.feedback.curate import Curated
from tutelage.feedback.ranking.findings import explained, grounds_of, student_says, together
from tutelage.feedback.ranking.rank_records import Ranking, rank_records
from tutelage.loaders.ledger import QUEUE, Ledger

if TYPE_CHECKING:
    import pandas as pd

    from tutelage.feedback.ranking.label_quality import Method


def groups_of(records: Sequence[Record]) -> Ints:
    """Shape (N,): the number of each record's group of near-duplicates."""
    from tutelage.training.measures.near_duplicates import near_duplicate_groups

    return near_duplicate_groups([record.text for record in records])


def rank_and_explain(
    ledger: Ledger,
    task: Task,
    curated: Sequence[Curated],
    pred_probs: pd.DataFrame,
    groups: Ints,
    *,
    method: Method = "weighted",
    seed: int = 0,
) -> Ranking:
    """Rank what is not settled, the most suspect first; near-duplicates with different labels lie together.

    Parameters
    ----------
    pred_probs, method, seed
        As for ``rank_records``.
    groups
        Those of ``groups_of``.
    """
    dataset = ledger.current_dataset(QUEUE)
    shown = ledger.shown(dataset) if dataset else {}
    ranks, by = rank_records(curated, task, pred_probs, method=method, shown=shown, seed=seed, dealt=ledger.dealt())
    student = student_says(list(pred_probs.index), pred_probs.to_numpy(dtype=float), task.label_names)
    grounds = grounds_of(curated, student, groups, shown)
    return Ranking(explained(together(ranks, curated, groups), curated, grounds), by)
