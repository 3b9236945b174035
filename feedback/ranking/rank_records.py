"""Ranks the records that are not reviewed yet, by the votes and a student's probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.core.records import Rank, Record, Voter
from tutelage.core.task import Task
from tutelage.feedback.curate import Curated, is_open
from tutelage.feedback.ranking.label_quality import label_quality, rank_by_quality

if TYPE_CHECKING:
    import pandas as pd

_GIVEN = Voter("given", "given")
"""Given labels count as the votes of one more voter."""


def rank_records(
    curated: Sequence[Curated],
    task: Task,
    pred_probs: pd.DataFrame,
    *,
    seed: int = 0,
    dealt: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Rank]:
    """Rank the records that are not settled yet, the most suspect first.

    Parameters
    ----------
    pred_probs
        Out-of-sample probabilities, indexed by record id, columns in the task's label order. All
        records count for the weights of voters, settled ones too.
    dealt
        Whose a record is, by its id: one that is one person's waits for no second answer.
    """
    known = pred_probs.index
    ranked = [item for item in curated if item.record.id in known]
    records = [item.record for item in ranked]
    suggested = suggested_labels(ranked, task)
    probs = pred_probs.loc[[record.id for record in records]].to_numpy(dtype=float)
    quality = label_quality(suggested, vote_matrix(records, task), probs)
    open_ = np.array([is_open(item, task, dealt.get(item.record.id, ())) for item in ranked], dtype=bool)
    ids = [record.id for record, waits in zip(records, open_, strict=True) if waits]
    return rank_by_quality(ids, suggested[open_], quality[open_], seed=seed)


def suggested_labels(curated: Sequence[Curated], task: Task) -> Ints:
    """Shape (N,): the index of each record's suggested label, ``NO_LABEL`` where there is none."""
    return task.indices(item.suggestion.label if item.suggestion else None for item in curated)


def vote_matrix(records: Sequence[Record], task: Task) -> Ints:
    """Shape (N, V): the index of each voter's label, ``NO_LABEL`` for an abstention."""
    labels = [_labels_by_voter(record) for record in records]
    voters = sorted({voter for by_voter in labels for voter in by_voter}, key=str)
    voted = task.indices(by_voter.get(voter) for by_voter in labels for voter in voters)
    return voted.reshape(len(records), len(voters))


def _labels_by_voter(record: Record) -> dict[Voter, str]:
    votes = {vote.voter: vote.label for vote in record.votes if vote.label is not None}
    return votes | ({_GIVEN: record.given} if record.given is not None else {})
