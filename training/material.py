"""From a snapshot to what a student learns from: rows, targets, weights, and what is left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from loaders.holdout import HeldOut
from loaders.texts import normalised
from training.duplicates import near_duplicates
from training.holdout import text_key
from training.recipe import Recipe
from training.student import Floats, Ints, one_hot
from tutelage.errors import SnapshotError, StudentError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Material:
    """N rows to learn from: labels (N,) of 0 to K-1, weights (N,) with mean 1, targets (N, K) that sum to 1."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    labels: Ints
    weights: Floats
    targets: Floats

    def take(self, rows: Ints) -> Material:
        """These rows, in this order."""
        texts = tuple(self.texts[i] for i in rows)
        ids = tuple(self.ids[i] for i in rows)
        return Material(ids, texts, self.labels[rows], self.weights[rows], self.targets[rows])

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class LeftOut:
    """Record ids that are not trained on; a near-duplicate with the holdout's text that it resembles."""

    no_label: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    holdout: tuple[str, ...] = ()
    near_duplicates: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """How many are left out, by reason."""
        return {name: len(getattr(self, name)) for name in ("no_label", "suspects", "holdout", "near_duplicates")}


def gather(
    frame: pd.DataFrame, label_names: Sequence[str], held_out: HeldOut, recipe: Recipe
) -> tuple[Material, LeftOut]:
    """The rows of a snapshot that may be learned from.

    Raises
    ------
    SnapshotError
        When none is left, or a label is not one of the task's.
    StudentError
        When suspects shall be left out and nothing was ranked.
    """
    labelled = frame["label"].notna().to_numpy()
    suspects = _suspects(frame, recipe) & labelled
    held, twins = _touches(frame, held_out)
    keep = labelled & ~suspects & ~held & np.array([twin == "" for twin in twins], dtype=bool)
    ids = frame["id"].to_numpy(dtype=object)
    near = {str(ids[i]): twins[i] for i in np.flatnonzero(labelled) if twins[i] and not held[i]}
    left_out = LeftOut(tuple(ids[~labelled]), tuple(ids[suspects]), tuple(ids[held & labelled]), near)
    return _material(frame[keep], label_names, recipe, left_out), left_out


def _suspects(frame: pd.DataFrame, recipe: Recipe) -> Any:
    """The given fraction of the unreviewed rows with the lowest label quality."""
    if not recipe.suspects_out:
        return np.zeros(len(frame), dtype=bool)
    unreviewed = frame["source"] != "human"
    quality = frame["label_quality"].where(unreviewed)
    if unreviewed.any() and quality.isna().all():
        raise StudentError(
            f"--suspects-out {recipe.suspects_out:g}: the snapshot has no label quality to tell suspects by;"
            " get one with: tutelage rank, then: tutelage pull"
        )
    return (quality.rank(method="first") <= recipe.suspects_out * quality.notna().sum()).to_numpy()


def _touches(frame: pd.DataFrame, held_out: HeldOut) -> tuple[Any, list[str]]:
    """Which rows are of the holdout, by id or text, and the holdout's text that each one resembles ('' for none)."""
    texts = frame["text"].tolist()
    keys = {text_key(text) for text in held_out.texts}
    held = np.array([i in held_out.ids or text_key(t) in keys for i, t in zip(frame["id"], texts, strict=True)], bool)
    near = near_duplicates(texts, held_out.texts)
    return held, [held_out.texts[i] if i >= 0 else "" for i in near]


def _material(frame: pd.DataFrame, label_names: Sequence[str], recipe: Recipe, left_out: LeftOut) -> Material:
    if frame.empty:
        raise SnapshotError(
            f"the snapshot holds nothing to learn from; left out: {left_out.counts()}; label more texts"
        )
    index = {name: i for i, name in enumerate(label_names)}
    unknown = sorted(set(frame["label"]) - set(index))
    if unknown:
        raise SnapshotError(f"the snapshot holds {unknown[0]!r}, which is no label of the task; pull a new snapshot")
    labels: Ints = np.array([index[name] for name in frame["label"]], dtype=np.int64)
    targets = _targets(frame, labels, index) if recipe.soft_targets else one_hot(labels, len(index))
    human = (frame["source"] == "human").to_numpy()
    weights = np.where(human, recipe.human_weight, 1.0)
    return Material(tuple(frame["id"]), tuple(frame["text"]), labels, weights / weights.mean(), targets)


def _targets(frame: pd.DataFrame, labels: Ints, index: dict[str, int]) -> Floats:
    """The shares of the votes for each label; the label alone where a human gave it or there are no votes."""
    targets = one_hot(labels, len(index))
    for row, (source, votes) in enumerate(zip(frame["source"], frame["votes"], strict=True)):
        said = [index[vote["label"]] for vote in votes if vote["label"] in index]
        if source == "teacher" and said:
            targets[row] = np.bincount(said, minlength=len(index)) / len(said)
    return targets


def split_validation(material: Material, share: float, seed: int) -> tuple[Material, Material | None]:
    """Put about ``share`` of the rows aside, equal texts on one side, labels in proportion; None where too few.

    Raises
    ------
    StudentError
        When the share is above a half.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if share > 0.5:
        raise StudentError(f"--validation {share:g}: must be at most 0.5, else little is left to learn from")
    folds = round(1 / share) if share else 0
    groups = np.unique([normalised(text) for text in material.texts], return_inverse=True)[1]
    if folds < 2 or np.bincount(material.labels).max() < folds or len(np.unique(groups)) < 5 * folds:
        return material, None
    rows = np.arange(len(material))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    train, validation = next(iter(_quiet_splits(splitter, rows, material.labels, groups)))
    return material.take(train), material.take(validation)


def _quiet_splits(splitter: Any, rows: Ints, labels: Ints, groups: Ints) -> list[tuple[Ints, Ints]]:
    import warnings

    with warnings.catch_warnings():
        # A rare label may be missing in the validation rows; it is then learned from, not validated.
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        return list(splitter.split(rows, labels, groups))
