"""``.out_of_sample/STUDENT/``: a student's folds and probabilities, kept for the next ranking.

``folds.parquet``, written first: every row's text key, training label and fold, and what the folds are valid for.
``fold-N/``: the model of a fold, where it is kept. ``probs.parquet``, written last: probabilities by text key.
A dot is before the folder's name: it can be computed again, and no backup holds it.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints
from tutelage.core.files import make_folder, replacing
from tutelage.training.out_of_sample.folds import NO_FOLD

MOST_BYTES = 2 * 2**30
"""What a student's folds' models, or an encoder's embeddings, may take on disk; larger ones are not kept."""

_FOLDS, _PROBS = "folds.parquet", "probs.parquet"
_MADE_FROM = b"made_from"


@dataclass(frozen=True)
class FoldPlan:
    """N rows: the key of each text, its training label (N,) and its fold (N,)."""

    keys: tuple[str, ...]
    labels: Ints
    fold: Ints

    def pairs(self) -> Counter[tuple[str, int]]:
        """The labels that the folds' models learn, by text key."""
        return Counter(
            (key, int(label)) for key, label in zip(self.keys, self.labels, strict=True) if label != NO_LABEL
        )

    def by_key(self) -> dict[str, tuple[int, int]]:
        """Label and fold of each text; of equal texts those of one that has a label."""
        rows = sorted(zip(self.keys, map(int, self.labels), map(int, self.fold), strict=True), key=lambda row: row[1])
        return {key: (label, fold) for key, label, fold in rows}

    def equals(self, keys: Sequence[str], labels: Ints) -> bool:
        """Whether these are its rows."""
        mine, theirs = (
            Counter(zip(k, map(int, v), strict=True)) for k, v in ((self.keys, self.labels), (keys, labels))
        )
        return mine == theirs

    def change(self, keys: Sequence[str], labels: Ints) -> float:
        """The share of its labels that these rows change or add; all of them where it has a text that is gone."""
        mine, theirs = self.pairs(), FoldPlan(tuple(keys), labels, labels).pairs()
        if {key for key, _ in mine} - set(keys) or not mine:
            return 1.0
        return max((mine - theirs).total(), (theirs - mine).total()) / mine.total()


@dataclass(frozen=True)
class KeptFolds:
    """What is kept of one student; ``made_from`` is what it must have been made from to be used."""

    folder: Path
    made_from: Mapping[str, Any]

    def plan(self) -> FoldPlan | None:
        """The rows and their folds; None where there are none, or they were made from something else."""
        table = _read(self.folder / _FOLDS)
        if table is None or json.loads(table.schema.metadata.get(_MADE_FROM, b"null")) != self.made_from:
            return None
        keys, labels, fold = (table.column(name) for name in ("key", "label", "fold"))
        return FoldPlan(tuple(keys.to_pylist()), labels.to_numpy(), fold.to_numpy())

    def begin(self, plan: FoldPlan) -> None:
        """Keep a new plan, in place of all that was kept before."""
        import pyarrow as pa

        shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder.parent)  # only the last folder that it makes is closed to others
        make_folder(self.folder)
        table = pa.table({"key": list(plan.keys), "label": plan.labels, "fold": plan.fold})
        _write(self.folder / _FOLDS, table.replace_schema_metadata({_MADE_FROM: json.dumps(self.made_from)}))

    def probs(self) -> tuple[dict[str, int], Floats]:
        """The row of each text key, and probabilities of shape (rows, K); nothing where there are none yet."""
        table = _read(self.folder / _PROBS)
        if table is None:
            return {}, np.empty((0, 0))
        keys = table.column("key").to_pylist()
        return {key: row for row, key in enumerate(keys)}, np.column_stack(table.columns[1:])

    def keep_probs(self, keys: Sequence[str], probs: Floats) -> None:
        """Keep the probabilities (N, K) of these texts; of equal keys the first."""
        import pyarrow as pa

        first = np.unique(keys, return_index=True)[1] if len(keys) else np.empty(0, dtype=np.int64)
        columns = {"key": [keys[row] for row in first], **{str(k): column[first] for k, column in enumerate(probs.T)}}
        _write(self.folder / _PROBS, pa.table(columns))

    def has_models(self, plan: FoldPlan) -> bool:
        """Whether the model of each fold is there."""
        return all(self.model(int(number)).is_dir() for number in np.unique(plan.fold[plan.fold != NO_FOLD]))

    def bound(self) -> None:
        """Remove the models where they are too large to be kept."""
        models = [path for path in self.folder.glob("fold-*") if path.is_dir()]
        if sum(path.stat().st_size for model in models for path in model.rglob("*")) > MOST_BYTES:
            for model in models:
                shutil.rmtree(model)

    def model(self, number: int) -> Path:
        """Where the model of a fold lies."""
        return self.folder / f"fold-{number}"


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _read(path: Path) -> Any:
    """The table; None where there is none, or it is damaged: it can be computed again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
