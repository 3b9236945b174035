"""Ranks the records that nobody has reviewed yet, from the votes and a student's probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from feedback.curate import Curated, is_settled
from feedback.ranking import NO_LABEL, Labels, label_quality, order
from loaders.consensus import suggest
from tutelage.record import Rank, Record, Voter
from tutelage.task import Task

if TYPE_CHECKING:
    import pandas as pd

_GIVEN = Voter("given", "given")
"""A label that the data already had was voted by somebody, too."""


def rank(curated: Sequence[Curated], task: Task, pred_probs: pd.DataFrame, *, seed: int = 0) -> list[Rank]:
    """Rank what is not settled yet, the most suspect first.

    Parameters
    ----------
    pred_probs
        Out-of-sample probabilities, indexed by record id, columns in the task's label order. All
        records count when voters are weighed, also those that people have settled.
    """
    known = pred_probs.index
    ranked = [item for item in curated if item.record.id in known]
    records = [item.record for item in ranked]
    suggested = suggested_labels(records, task)
    probs = pred_probs.loc[[record.id for record in records]].to_numpy(dtype=float)
    quality = label_quality(suggested, vote_matrix(records, task), probs)
    open_ = np.array([not is_settled(item.responses, task.argilla.min_submitted) for item in ranked], dtype=bool)
    ids = [record.id for record, is_open in zip(records, open_, strict=True) if is_open]
    return order(ids, suggested[open_], quality[open_], seed=seed)


def suggested_labels(records: Sequence[Record], task: Task) -> Labels:
    """Shape (N,): the index of each record's suggested label, ``NO_LABEL`` where there is none."""
    index = _index(task)
    suggestions = [suggest(record) for record in records]
    return np.array([index[s.label] if s else NO_LABEL for s in suggestions], dtype=np.int64)


def vote_matrix(records: Sequence[Record], task: Task) -> Labels:
    """Shape (N, V): the index of the label that each voter voted, ``NO_LABEL`` for an abstention."""
    index = _index(task)
    said = [_said(record) for record in records]
    voters = sorted({voter for labels in said for voter in labels}, key=str)
    rows = [[index[labels[voter]] if voter in labels else NO_LABEL for voter in voters] for labels in said]
    return np.array(rows, dtype=np.int64).reshape(len(records), len(voters))


def _said(record: Record) -> dict[Voter, str]:
    votes = {vote.voter: vote.label for vote in record.votes if vote.label is not None}
    return votes | ({_GIVEN: record.given} if record.given is not None else {})


def _index(task: Task) -> Mapping[str, int]:
    return {label: i for i, label in enumerate(task.label_names)}
