"""Ranks the records that are not reviewed yet, by the votes, a student's probabilities and people's answers."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints
from tutelage.core.records import Rank, RankedBy, Shown
from tutelage.core.task import Task
from tutelage.feedback.curate import Curated, is_open
from tutelage.feedback.ranking.error_model import ErrorModel
from tutelage.feedback.ranking.label_quality import METHODS, Method, rank_by_quality
from tutelage.feedback.ranking.support import Evidence
from tutelage.feedback.ranking.verdicts import NOTHING_KNOWN, Verdict, verdicts_of
from tutelage.loaders.voting.vote_matrix import vote_matrix

if TYPE_CHECKING:
    import pandas as pd


class Ranking(NamedTuple):
    """The most suspect record first, and what the order was made of."""

    ranks: list[Rank]
    by: RankedBy


def rank_records(
    curated: Sequence[Curated],
    task: Task,
    pred_probs: pd.DataFrame,
    *,
    method: Method = "weighted",
    shown: Mapping[str, Sequence[Shown]] = NOTHING_KNOWN,
    seed: int = 0,
    dealt: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Ranking:
    """Rank the records that are not settled yet, the most suspect first.

    Parameters
    ----------
    pred_probs
        Out-of-sample probabilities, indexed by record id, columns in the task's label order. All
        records count for the weights of voters, settled ones too.
    shown
        What each record showed on Argilla, by its id, the oldest first.
    dealt
        Whose a record is, by its id: one that is one person's waits for no second answer.
    """
    waiting = {item.record.id for item in curated if is_open(item, task, dealt.get(item.record.id, ()))}
    return Ranker(curated, task, pred_probs, method=method, seed=seed).rank(waiting, verdicts_of(curated, shown))


class Ranker:
    """Ranks the same records again and again, as answers come in: made in seconds, each ranking in milliseconds.

    Parameters
    ----------
    curated
        The records; those without probabilities are left out. Of their answers nothing is used here.
    pred_probs, method, seed
        As for ``rank_records``.
    """

    def __init__(
        self,
        curated: Sequence[Curated],
        task: Task,
        pred_probs: pd.DataFrame,
        *,
        method: Method = "weighted",
        seed: int = 0,
    ) -> None:
        import pandas as pd

        self._task, self._method, self._seed = task, method, seed
        ranked = [item for item in curated if item.record.id in pred_probs.index]
        records = [item.record for item in ranked]
        self._ids = [record.id for record in records]
        self._suggested = suggested_labels(ranked, task)
        self._has_label = np.flatnonzero(self._suggested != NO_LABEL)
        rows = self._has_label
        probs = pred_probs.to_numpy(dtype=float)[pred_probs.index.get_indexer(pd.Index(self._ids))][rows]
        self._evidence = Evidence(self._suggested[rows], vote_matrix(records, task)[rows], probs)
        self._lengths = np.array([len(records[row].text) for row in rows], dtype=np.int64)

    def rank(self, waiting: Container[str], verdicts: Mapping[str, Verdict]) -> Ranking:
        """Rank the records that wait for an answer, with what people found of others so far."""
        rows, shown, is_wrong = self._judged(verdicts) if self._method == "weighted" else _nothing()
        quality = np.zeros(len(self._ids))
        quality[self._has_label] = 1 - self._model.wrong(rows, shown, is_wrong) if len(rows) else self._static
        open_ = np.array([record_id in waiting for record_id in self._ids], dtype=bool)
        ids = [record_id for record_id, waits in zip(self._ids, open_, strict=True) if waits]
        by = RankedBy(
            method=self._method,
            student_worth=self._evidence.student if self._method == "weighted" else None,
            reviewed=len(rows),
            wrong=int(is_wrong.sum()),
        )
        return Ranking(rank_by_quality(ids, self._suggested[open_], quality[open_], seed=self._seed), by)

    @cached_property
    def _static(self) -> Floats:
        return METHODS[self._method](self._evidence) if len(self._has_label) else np.empty(0)

    @cached_property
    def _model(self) -> ErrorModel:
        return ErrorModel(self._evidence, self._lengths)

    @cached_property
    def _row(self) -> dict[str, int]:
        """The row of each record that has a suggestion."""
        return {self._ids[place]: row for row, place in enumerate(self._has_label)}

    def _judged(self, verdicts: Mapping[str, Verdict]) -> tuple[Ints, Ints, Ints]:
        """The rows of the reviewed records, the labels shown, and 1 where they were found wrong."""
        names = set(self._task.label_names)  # the task may have lost a label since
        usable = [(self._row[key], each) for key, each in verdicts.items() if key in self._row and each.shown in names]
        usable.sort(key=lambda pair: pair[0])
        rows = np.array([row for row, _ in usable], dtype=np.int64)
        return (
            rows,
            self._task.indices(each.shown for _, each in usable),
            np.array([v.is_wrong for _, v in usable], int),
        )


def _nothing() -> tuple[Ints, Ints, Ints]:
    none = np.empty(0, dtype=np.int64)
    return none, none, none


def suggested_labels(curated: Sequence[Curated], task: Task) -> Ints:
    """Shape (N,): the index of each record's suggested label, ``NO_LABEL`` where there is none."""
    return task.indices(item.suggestion.label if item.suggestion else None for item in curated)
