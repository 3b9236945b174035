"""From a recipe and rows to a student: the one place that knows all kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.material import Material, split_validation
from training.ranks import share
from training.recipe import Recipe
from training.student import Student

Progress = Callable[[str], None]


def fit(
    recipe: Recipe, material: Material, label_names: tuple[str, ...], work: Path, progress: Progress
) -> tuple[Student, Material | None, dict[str, Any]]:
    """Train; returns the student, the rows that only chose among its states, and what the run was like.

    ``work`` is a folder for what must survive a kill. The same arguments give the same student.
    """
    if recipe.kind == "encoder":
        from training.finetune import finetune

        rest, validation = split_validation(material, recipe.validation, recipe.seed)
        encoder, story = finetune(rest, validation, label_names, recipe, work, progress)
        return encoder, validation, story
    return _fit_with_head(recipe, material, label_names, work, progress), None, {}


def _fit_with_head(
    recipe: Recipe, material: Material, label_names: tuple[str, ...], work: Path, progress: Progress
) -> Student:
    if recipe.kind == "linear":
        from training.linear import fit_linear

        weights, balanced = material.weights, recipe.balanced
        return fit_linear(material.texts, material.labels, label_names, weights=weights, balanced=balanced)
    from training.frozen import fit_frozen, fit_setfit

    if recipe.kind == "frozen":
        return fit_frozen(material, label_names, recipe)
    return fit_setfit(material, label_names, replace(recipe, batch_size=share(recipe.batch_size)), work, progress)
