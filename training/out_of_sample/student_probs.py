"""What students say of records that they did not see: fitted, kept and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.records import ProgressCallback, named, unreported
from tutelage.loaders.rows import text_key
from tutelage.training.measures.near_duplicates import near_duplicate_groups
from tutelage.training.out_of_sample.cross_validation import FOLDS, MOST_ROWS, FitFold, cross_validated
from tutelage.training.out_of_sample.embeddings import Embeddings
from tutelage.training.out_of_sample.fold_fits import fit_embedded, fit_fold, fit_kept
from tutelage.training.out_of_sample.folds import NO_FOLD, assign_folds
from tutelage.training.out_of_sample.kept_folds import FoldPlan, KeptFolds
from tutelage.training.students.kinds import ENCODER, LINEAR, SETFIT
from tutelage.training.students.recipe import Recipe, digest

REFIT = 0.05
"""Share of the labels that must be new or changed before folds whose models are kept are fitted anew."""

_SLOW = (ENCODER, SETFIT)
"""Kinds whose folds' models are kept."""

_LIBRARIES = ("scikit-learn", "numpy")
_NEURAL = ("torch", "transformers", "sentence-transformers", "setfit")


@dataclass(frozen=True, kw_only=True)
class StudentProbs:
    """Out-of-sample probabilities of N records by any student.

    Parameters
    ----------
    texts, labels
        Of the records, (N,): ``NO_LABEL`` where there is nothing to learn.
    names
        The K labels.
    folder
        Where folds are kept.
    seed
        Settles the folds.
    """

    texts: Sequence[str]
    labels: Ints
    names: tuple[str, ...]
    folder: Path
    seed: int = 0
    progress: ProgressCallback = unreported

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The key of each text."""
        return tuple(map(text_key, self.texts))

    @cached_property
    def groups(self) -> Ints:
        """The group of each text: near-duplicates are together."""
        return near_duplicate_groups(self.texts)

    def mean(self, recipes: Sequence[Recipe]) -> Floats:
        """The mean over these students, of shape (N, K)."""
        total = np.zeros((len(self.texts), len(self.names)))
        for recipe in recipes:
            total += self.of(recipe)
        return total / len(recipes)

    def of(self, recipe: Recipe) -> Floats:
        """What one student says, of shape (N, K); from what is kept, where that still holds."""
        kept = self.kept(recipe)
        plan = kept.plan()
        if plan is None or not self._holds(plan, recipe):
            plan = FoldPlan(self.keys, self.labels, assign_folds(self.labels, self.groups, FOLDS, self.seed))
            kept.begin(plan)
        return self._extended(recipe, kept, plan)

    def is_kept(self, recipe: Recipe) -> bool:
        """Whether the student's folds are there and need not be fitted anew."""
        kept = self.kept(recipe)
        plan = kept.plan()
        return plan is not None and self._holds(plan, recipe) and bool(kept.probs()[0])

    def kept(self, recipe: Recipe) -> KeptFolds:
        """What is kept of a student."""
        made_from = {
            "recipe": asdict(recipe),
            "labels": list(self.names),
            "seed": self.seed,
            "folds": FOLDS,
            "rows": MOST_ROWS,
            "libraries": versions(recipe),
        }
        return KeptFolds(self.folder / f"{recipe.kind}-{digest(asdict(recipe))}", made_from)

    def embeddings(self, recipe: Recipe) -> Embeddings:
        """The embeddings of a frozen student's encoder."""
        return Embeddings(self.folder, recipe, versions(recipe))

    def _holds(self, plan: FoldPlan, recipe: Recipe) -> bool:
        if recipe.kind not in _SLOW:
            return plan.equals(self.keys, self.labels)
        return plan.change(self.keys, self.labels) < REFIT and self._reaches_new(self.kept(recipe), plan)

    def _reaches_new(self, kept: KeptFolds, plan: FoldPlan) -> bool:
        """Whether new texts can be predicted: there are none, or the folds' models are there or still being made."""
        known = kept.probs()[0]
        return not known or all(key in known for key in self.keys) or kept.has_models(plan)

    def _extended(self, recipe: Recipe, kept: KeptFolds, plan: FoldPlan) -> Floats:
        """The probabilities that are kept, and for new texts those of the folds' models."""
        place, probs = kept.probs()
        new = np.array([row for row, key in enumerate(self.keys) if key not in place], dtype=np.int64)
        found = np.empty((len(self.keys), len(self.names)))
        old = np.setdiff1d(np.arange(len(self.keys)), new)
        if len(old):
            found[old] = probs[[place[self.keys[row]] for row in old]]
        if len(new):
            found[new] = self._computed(recipe, kept, plan, new)
            kept.keep_probs(self.keys, found)
            kept.bound()
        return found

    def _computed(self, recipe: Recipe, kept: KeptFolds, plan: FoldPlan, asked: Ints) -> Floats:
        labels, fold = self._as_planned(plan)
        fit = self._fit(recipe, kept, labels)
        progress = named(self.progress, recipe.model or recipe.kind)
        return cross_validated(labels, fold, len(self.names), fit, seed=self.seed, asked=asked, progress=progress)

    def _as_planned(self, plan: FoldPlan) -> tuple[Ints, Ints]:
        """The labels and folds (N,) of the plan; a new text has the fold of its group, where that has one."""
        if plan.keys == self.keys:
            return plan.labels, plan.fold
        planned = plan.by_key()
        labels, fold = np.array([planned.get(key, (-1, NO_FOLD)) for key in self.keys], dtype=np.int64).T.copy()
        of_group = {int(group): number for group, number in zip(self.groups, fold, strict=True) if number != NO_FOLD}
        return labels, np.array([of_group.get(int(group), NO_FOLD) for group in self.groups], dtype=np.int64)

    def _fit(self, recipe: Recipe, kept: KeptFolds, labels: Ints) -> FitFold:
        if recipe.kind == "frozen" and not recipe.windows:
            vectors = self.embeddings(recipe).of(self.keys, self.texts, self.progress)
            return fit_embedded(recipe, vectors, labels, len(self.names))
        if recipe.kind in _SLOW:
            return fit_kept(recipe, self.texts, labels, self.names, kept, self.progress)
        return fit_fold(recipe, self.texts, labels, self.names, self.progress)


def versions(recipe: Recipe) -> dict[str, str]:
    """The versions of the libraries, and of a model on disk, that this student's probabilities depend on."""
    found: dict[str, str] = {}
    for name in _LIBRARIES if recipe.kind == LINEAR else (*_LIBRARIES, *_NEURAL):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | _files_of(Path(recipe.model) if recipe.model else None)


def _files_of(model: Path | None) -> dict[str, str]:
    """What a model's folder on disk holds, by sizes and times: another one may come under the same path."""
    if model is None or not model.is_dir():
        return {}
    files = [(path, path.stat()) for path in sorted(model.rglob("*")) if path.is_file()]
    return {"files": digest([(str(path), about.st_size, about.st_mtime_ns) for path, about in files])}
