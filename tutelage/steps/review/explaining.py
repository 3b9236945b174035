"""A ranking by all that is known, with what speaks against each suggestion; near-duplicates lie together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tutelage.core.task import Task
from tutelage.feedback.curate import Curated, is_open
from tutelage.feedback.ranking.findings import Grounds, differing_labels, explained, reviewed_kinds, together
from tutelage.feedback.ranking.label_quality import Method
from tutelage.feedback.ranking.rank_records import Ranker, Ranking
from tutelage.feedback.ranking.verdicts import verdicts_of
from tutelage.loaders.ledger import QUEUE, Ledger

if TYPE_CHECKING:
    import pandas as pd


class ExplainedRanker:
    """Ranks the same records again and again, as answers come in.

    Parameters
    ----------
    curated
        The records; of their answers nothing is used here.
    pred_probs, method, seed
        As for ``rank_records``.
    """

    def __init__(
        self, curated: Sequence[Curated], task: Task, pred_probs: pd.DataFrame, *, method: Method, seed: int
    ) -> None:
        from tutelage.training.measures.near_duplicates import near_duplicate_groups

        self._task = task
        self._ranker = Ranker(curated, task, pred_probs, method=method, seed=seed)
        self._groups = near_duplicate_groups([item.record.text for item in curated])
        self._student = student_differs(curated, pred_probs, task.label_names)

    def rank(self, ledger: Ledger, curated: Sequence[Curated]) -> Ranking:
        """Rank what is not settled, the most suspect first; ``curated``: the same records with the answers by now."""
        queue, dealt = ledger.current_dataset(QUEUE), ledger.dealt()
        verdicts = verdicts_of(curated, ledger.shown(queue) if queue else {})
        waiting = {item.record.id for item in curated if is_open(item, self._task, dealt.get(item.record.id, ()))}
        ranks, by = self._ranker.rank(waiting, verdicts)
        grounds = Grounds(
            student={} if by.student_worth == 0 else self._student,
            duplicates=differing_labels(curated, self._groups),
            reviewed=reviewed_kinds(curated, verdicts),
        )
        return Ranking(explained(together(ranks, curated, self._groups), curated, grounds), by)


def student_differs(
    curated: Sequence[Curated], pred_probs: pd.DataFrame, names: Sequence[str]
) -> dict[str, tuple[str, float]]:
    """By record id: the label that a student gives, where that is not the suggested one, and its probability."""
    suggested = {item.record.id: item.suggestion.label for item in curated if item.suggestion}
    probs = pred_probs.to_numpy(dtype=float)
    best = probs.argmax(axis=1) if len(probs) else []
    said = zip(pred_probs.index, (names[one] for one in best), probs.max(axis=1, initial=0).tolist(), strict=True)
    return {key: (label, prob) for key, label, prob in said if suggested.get(key, label) != label}
