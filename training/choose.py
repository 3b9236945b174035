"""``--student auto``: which kind of student suits what there is to learn from, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from training.recipe import Recipe, parse_student
from training.student import Ints

FEW = 50
"""Labels per class, on average, under which SetFit is taken in place of fine-tuning all weights."""

ENCODER = "FacebookAI/roberta-base"


def choose(labels: Ints, task_student: str, options: Mapping[str, Any]) -> tuple[Recipe, str]:
    """The recipe, and the reason in words.

    The encoder that is fine-tuned is the task's, where its ``student`` names one.
    """
    if not (find_spec("torch") and find_spec("transformers")):
        return parse_student(
            "linear", **options
        ), "linear, because torch is not installed: pip install 'tutelage[train]'"
    a_class = len(labels) / len(np.unique(labels))
    if a_class < FEW:
        return parse_student("setfit", **options), f"setfit, because {a_class:.0f} labels a class are under {FEW}"
    own = parse_student(ENCODER if task_student == "auto" else task_student)
    model = own.model if own.kind == "encoder" else ENCODER
    recipe = replace(parse_student(model), kind="encoder").with_options(**options)
    return recipe, f"{model}, because {a_class:.0f} labels a class are {FEW} or more"
