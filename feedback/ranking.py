"""Which suggestions look wrong: label quality scores and their order, as pure functions on arrays.

CROWDLAB (Goh, Tkachenko, Mueller: "CROWDLAB: Supervised learning to infer consensus labels and
quality scores for data with multiple annotators", 2022) weighs each voter and the student's
out-of-sample probabilities by how well they agree with the rest. cleanlab implements it; what is
scored here is the suggestion, not the consensus that CROWDLAB would choose itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import TutelageError
from tutelage.record import Rank

if TYPE_CHECKING:
    import pandas as pd

NO_LABEL = -1
LABELS_KEY = b"labels"

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


def label_quality(suggested: Labels, votes: Labels, pred_probs: Floats) -> Floats:
    """How likely each suggested label is right.

    Parameters
    ----------
    suggested
        Shape (N,): index of the suggested label, ``NO_LABEL`` where there is none.
    votes
        Shape (N, V): index of the label that each voter voted, ``NO_LABEL`` for an abstention. Each
        suggested label has a voter (a label that the data already had counts as one); V may be 0.
    pred_probs
        Shape (N, K): out-of-sample probabilities.

    Returns
    -------
    Shape (N,), 0 to 1, low = suspect; 0 where nothing is suggested.
    """
    scores = np.zeros(len(suggested))
    has_label = suggested != NO_LABEL
    if not has_label.any():
        return scores
    score = _crowdlab if _overlaps(votes[has_label]) else _self_confidence
    scores[has_label] = score(suggested[has_label], votes[has_label], pred_probs[has_label])
    return scores


def _overlaps(votes: Labels) -> bool:
    """Whether voters can be compared: some record has two votes."""
    return bool(((votes != NO_LABEL).sum(axis=1) > 1).any())


def _self_confidence(suggested: Labels, _votes: Labels, pred_probs: Floats) -> Floats:
    from cleanlab.rank import get_label_quality_scores

    scores: Floats = get_label_quality_scores(suggested, pred_probs, method="self_confidence")
    return scores


def _crowdlab(suggested: Labels, votes: Labels, pred_probs: Floats) -> Floats:
    """Mean over the voters of the suggestion of the quality that CROWDLAB gives their vote."""
    crowd = votes[:, (votes != NO_LABEL).any(axis=0)]
    detailed = _detailed_quality(crowd, pred_probs)
    agrees = crowd == suggested[:, None]
    mean: Floats = np.where(agrees, detailed, 0).sum(axis=1) / agrees.sum(axis=1)
    return mean


def _detailed_quality(crowd: Labels, pred_probs: Floats) -> Floats:
    import pandas as pd
    from cleanlab.multiannotator import get_label_quality_multiannotator

    frame = pd.DataFrame(np.where(crowd == NO_LABEL, np.nan, crowd))
    found: dict[str, Any] = get_label_quality_multiannotator(
        frame, pred_probs, quality_method="crowdlab", return_annotator_stats=False, verbose=False
    )
    detailed: Floats = found["detailed_label_quality"].to_numpy(dtype=float)
    return np.nan_to_num(detailed)


def order(ids: Sequence[str], suggested: Labels, quality: Floats, *, seed: int) -> list[Rank]:
    """Rank the records, the most suspect first: no suggestion, then by quality, ties by a hash of seed and id."""
    draw = [hashlib.sha256(f"{seed} {record_id}".encode()).digest() for record_id in ids]
    positions = sorted(range(len(ids)), key=lambda i: (suggested[i] != NO_LABEL, quality[i], draw[i]))
    return [Rank(ids[i], float(quality[i]), place) for place, i in enumerate(positions, 1)]


def read_pred_probs(path: Path, labels: Sequence[str]) -> pd.DataFrame:
    """Out-of-sample probabilities by record id, columns in the order of ``labels``.

    Raises
    ------
    TutelageError
        When the file was written for other labels.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    written_for = json.loads((table.schema.metadata or {}).get(LABELS_KEY, b"null"))
    if written_for != list(labels):
        raise TutelageError(f"{path}: holds probabilities of {written_for}, the task's labels are {list(labels)}")
    ids, *columns = table.columns  # by position: a label may be called "id"
    return pd.DataFrame(np.column_stack(columns), index=ids.to_pylist(), columns=list(labels))
