"""What the training seed changes: the students of all seeds of a recipe, measured on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.training.measures.comparison import MARGIN
from tutelage.training.measures.seeds import RecipeComparison, SeedSpread, compare_recipes, seed_spread
from tutelage.training.registry import Entry


def spreads(
    groups: Mapping[str, Sequence[Entry]], predictions: Mapping[str, Ints], gold: Ints
) -> dict[str, SeedSpread]:
    """The spread of each student that has siblings, by its id."""
    return {
        name: seed_spread([entry.id for entry in group], _right(group, predictions, gold))
        for name, group in groups.items()
        if len(group) > 1
    }


def recipe_comparison(
    groups: Mapping[str, Sequence[Entry]],
    first: str,
    second: str,
    predictions: Mapping[str, Ints],
    gold: Ints,
    *,
    margin: float = MARGIN,
) -> RecipeComparison | None:
    """One student's recipe against another's, or the teacher that ``second`` names; None where no spread is known.

    ``predictions`` are those of all students of the groups, and the teacher's.
    """
    ours = groups[first]
    theirs = groups.get(second)
    if max(len(ours), len(theirs or ())) < 2 or (theirs is None and len(ours) < 2) or _overlap(ours, theirs):
        return None
    there = _right(theirs, predictions, gold) if theirs else (predictions[second] == gold)[None, :].astype(np.float64)
    return compare_recipes(_right(ours, predictions, gold), there, is_trained=theirs is not None, margin=margin)


def _overlap(ours: Sequence[Entry], theirs: Sequence[Entry] | None) -> bool:
    """Whether both are of one recipe."""
    return bool({entry.id for entry in ours} & {entry.id for entry in theirs or ()})


def _right(group: Sequence[Entry], predictions: Mapping[str, Ints], gold: Ints) -> Floats:
    return np.stack([predictions[entry.id] == gold for entry in group]).astype(np.float64)
