"""From a snapshot to a training set: rows, targets, weights, and which records are left out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tutelage.core.arrays import Floats, Ints, indices, one_hot
from tutelage.core.errors import SnapshotError, StudentError
from tutelage.core.records import ProgressCallback, unreported
from tutelage.loaders.holdout import HeldOut
from tutelage.loaders.rows import normalised, text_key
from tutelage.training.measures.near_duplicates import RULE, near_duplicates
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.student import Student

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """N training rows: labels (N,) of 0 to K-1, sample weights (N,) with mean 1, target distributions (N, K)."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    labels: Ints
    weights: Floats
    targets: Floats

    def take(self, rows: Ints) -> TrainingSet:
        """These rows, in this order."""
        texts = tuple(self.texts[i] for i in rows)
        ids = tuple(self.ids[i] for i in rows)
        return TrainingSet(
            ids=ids, texts=texts, labels=self.labels[rows], weights=self.weights[rows], targets=self.targets[rows]
        )

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Fitted:
    """A trained student, the validation rows that chose its checkpoint, a log of the run, and its loss curve."""

    student: Student
    validation: TrainingSet | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    curve: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Ids of records that are not trained on; near-duplicates with the similar text of the holdout.

    ``rule`` says what was a near-duplicate, as ``near_duplicates`` takes it.
    """

    no_label: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    holdout: tuple[str, ...] = ()
    near_duplicates: dict[str, str] = field(default_factory=dict)
    rule: int = RULE

    def counts(self) -> dict[str, int]:
        """The number of records left out, by reason."""
        return {name: len(getattr(self, name)) for name in ("no_label", "suspects", "holdout", "near_duplicates")}


_LEFT_OUT = {
    "no_label": "without a label",
    "suspects": "suspects",
    "holdout": "of the holdout",
    "near_duplicates": "near-duplicates of the holdout",
}


def left_out_words(counts: Mapping[str, int]) -> str:
    """How many records were left out and why, as people read it; empty where none was."""
    return ", ".join(f"{count} {_LEFT_OUT[reason]}" for reason, count in counts.items() if count)


class SnapshotRows:
    """A snapshot's rows, with their overlap with the holdout, which is computed once for all recipes.

    Parameters
    ----------
    frame
        As of ``Snapshot.frame``.
    held_out
        What must not be trained on, near-duplicates included.
    progress
        Told how far the search for near-duplicates is.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        label_names: Sequence[str],
        held_out: HeldOut,
        progress: ProgressCallback = unreported,
    ) -> None:
        self._frame, self._label_names = frame, tuple(label_names)
        self._held, self._similar = _overlap(frame, held_out, progress)

    def select(self, recipe: Recipe) -> tuple[TrainingSet, LeftOut]:
        """The training set of a recipe, and the records left out.

        Raises
        ------
        SnapshotError
            When no row is left, or a label is not one of the task's.
        StudentError
            When suspects are to be left out and the snapshot has no label quality.
        """
        labelled = self._frame["label"].notna().to_numpy()
        suspects = _suspects(self._frame, recipe) & labelled
        held, similar = self._held, self._similar
        keep = labelled & ~suspects & ~held & np.array([text == "" for text in similar], dtype=bool)
        ids = self._frame["id"].to_numpy(dtype=object)
        near = {str(ids[i]): similar[i] for i in np.flatnonzero(labelled) if similar[i] and not held[i]}
        left_out = LeftOut(
            no_label=tuple(ids[~labelled]),
            suspects=tuple(ids[suspects]),
            holdout=tuple(ids[held & labelled]),
            near_duplicates=near,
        )
        return _training_set(self._frame[keep], self._label_names, recipe, left_out), left_out


def _suspects(frame: pd.DataFrame, recipe: Recipe) -> Any:
    """The given fraction of the unreviewed rows with the lowest label quality."""
    if not recipe.suspects_out:
        return np.zeros(len(frame), dtype=bool)
    unreviewed = frame["source"] != "human"
    quality = frame["label_quality"].where(unreviewed)
    if unreviewed.any() and quality.isna().all():
        raise StudentError(
            f"--suspects-out {recipe.suspects_out:g}: the snapshot has no label quality scores;"
            " run: tutelage rank, then: tutelage pull"
        )
    return (quality.rank(method="first") <= recipe.suspects_out * quality.notna().sum()).to_numpy()


def _overlap(frame: pd.DataFrame, held_out: HeldOut, progress: ProgressCallback) -> tuple[Any, list[str]]:
    """Which rows are of the holdout, by id or text, and the similar text of the holdout ('' for none)."""
    texts = frame["text"].tolist()
    keys = {text_key(text) for text in held_out.texts}
    held = np.array([i in held_out.ids or text_key(t) in keys for i, t in zip(frame["id"], texts, strict=True)], bool)
    near = near_duplicates(texts, held_out.texts, progress=progress)
    return held, [held_out.texts[i] if i >= 0 else "" for i in near]


def _training_set(frame: pd.DataFrame, label_names: Sequence[str], recipe: Recipe, left_out: LeftOut) -> TrainingSet:
    if frame.empty:
        why = left_out_words(left_out.counts()) or "it has no records"
        raise SnapshotError(f"the snapshot has no rows to train on ({why}); label more texts, then: tutelage pull")
    unknown = sorted(set(frame["label"]) - set(label_names))
    if unknown:
        raise SnapshotError(f"the snapshot has the label {unknown[0]!r}, which is not in the task; run: tutelage pull")
    labels = indices(frame["label"], label_names)
    targets = _targets(frame, labels, label_names) if recipe.soft_targets else one_hot(labels, len(label_names))
    human = (frame["source"] == "human").to_numpy()
    weights = np.where(human, recipe.human_weight, 1.0)
    return TrainingSet(
        ids=tuple(frame["id"]),
        texts=tuple(frame["text"]),
        labels=labels,
        weights=weights / weights.mean(),
        targets=targets,
    )


def _targets(frame: pd.DataFrame, labels: Ints, label_names: Sequence[str]) -> Floats:
    """Soft labels: the vote proportions; one-hot where a human gave the label or there are no votes."""
    targets = one_hot(labels, len(label_names))
    for row, (source, votes) in enumerate(zip(frame["source"], frame["votes"], strict=True)):
        voted = indices([vote["label"] for vote in votes if vote["label"] in label_names], label_names)
        if source == "teacher" and len(voted):
            targets[row] = np.bincount(voted, minlength=len(label_names)) / len(voted)
    return targets


def split_validation(training_set: TrainingSet, share: float, seed: int) -> tuple[TrainingSet, TrainingSet | None]:
    """Split off about ``share`` of the rows, stratified, equal texts on the same side; None where there are too few.

    Raises
    ------
    StudentError
        When the share is above a half.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if share > 0.5:
        raise StudentError(f"--validation {share:g}: must be at most 0.5, else few rows are left to train on")
    folds = round(1 / share) if share else 0
    groups = np.unique([normalised(text) for text in training_set.texts], return_inverse=True)[1]
    if folds < 2 or np.bincount(training_set.labels).max() < folds or len(np.unique(groups)) < 5 * folds:
        return training_set, None
    rows = np.arange(len(training_set))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    train, validation = next(iter(_quiet_splits(splitter, rows, training_set.labels, groups)))
    return training_set.take(train), training_set.take(validation)


def _quiet_splits(splitter: Any, rows: Ints, labels: Ints, groups: Ints) -> list[tuple[Ints, Ints]]:
    import warnings

    with warnings.catch_warnings():
        # A rare label may be missing in the validation rows.
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        return list(splitter.split(rows, labels, groups))
