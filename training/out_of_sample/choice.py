"""Which students give the ranking their probabilities: those that were named, the champion's recipe, or ``auto``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tutelage.core.compute import has_gpu
from tutelage.core.errors import StudentError
from tutelage.core.task import Task
from tutelage.training.manifest import FILE
from tutelage.training.out_of_sample.student_probs import StudentProbs
from tutelage.training.registry import CHAMPION, Entry
from tutelage.training.students.kinds import ENCODER, LINEAR
from tutelage.training.students.recipe import Recipe, parse_student

AUTO = "auto"
AFFORDABLE_S = 120
"""Seconds that ``auto`` lets the embedding of new texts take."""


@dataclass(frozen=True)
class Chosen:
    """The students whose probabilities are averaged, and why ``auto`` took them; empty where it was not asked."""

    recipes: tuple[Recipe, ...]
    why: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """As people write them after ``--student``."""
        return tuple(student_name(recipe) for recipe in self.recipes)


def student_name(recipe: Recipe) -> str:
    """The name of a student as it is written after ``--student``."""
    return recipe.kind if recipe.kind == LINEAR else f"{recipe.model}:{recipe.kind}".removesuffix(f":{ENCODER}")


def choose_students(names: Sequence[str], probs: StudentProbs, task: Task, champion: Entry | None) -> Chosen:
    """The students of these names, each once; ``champion`` is the champion's recipe, to be fitted anew in each fold.

    Raises
    ------
    StudentError
        When there is no champion to take the recipe of, or a model is a trained student, which may have seen the texts.
    """
    chosen, why = list[Recipe](), ""
    for name in names:
        if name == AUTO:
            found = _auto(probs, task, champion)
            chosen, why = [*chosen, *found.recipes], found.why
        else:
            chosen.append(_named(name, probs.seed, task, champion))
    return Chosen(tuple(dict.fromkeys(chosen)), why)


def _named(name: str, seed: int, task: Task, champion: Entry | None) -> Recipe:
    if name == CHAMPION:
        if champion is None:
            raise StudentError(
                "--student champion: there is no champion yet; make one with tutelage promote, or name a student"
            )
        return champion.manifest.recipe
    recipe = parse_student(name, seed=seed, long_texts=task.long_texts)
    if recipe.model and (Path(recipe.model) / FILE).exists():
        raise StudentError(
            f"--student {name}: is a trained student, which has seen texts that it would be asked about; --student"
            " champion trains the champion's kind anew without them"
        )
    return recipe


def _auto(probs: StudentProbs, task: Task, champion: Entry | None) -> Chosen:
    """The linear student; with it those of the champion's or the task's encoder that this machine can afford."""
    linear = parse_student(LINEAR, seed=probs.seed)
    own = champion.manifest.recipe if champion else parse_student(task.student, long_texts=task.long_texts)
    if own.kind == LINEAR or not own.model or own.model == AUTO:
        return Chosen((linear,), "linear alone: neither the champion nor task.yaml names an encoder")
    problem = _problem(own.model)
    if problem:
        return Chosen((linear,), f"linear alone: {problem}")
    frozen = parse_student(f"{own.model}:frozen", seed=probs.seed, long_texts=task.long_texts)
    seconds = probs.embeddings(frozen).seconds(probs.keys, probs.texts)
    if seconds > AFFORDABLE_S:
        why = f"linear alone: embedding with {own.model} would take about {seconds:.0f} s, more than {AFFORDABLE_S}"
        return Chosen((linear,), why)
    return _with_tuned((linear, frozen), probs, own, f"about {seconds:.0f} s of embedding")


def _with_tuned(recipes: tuple[Recipe, ...], probs: StudentProbs, own: Recipe, why: str) -> Chosen:
    """Add the fine-tuned encoder where that is cheap: its folds are there, or a GPU is."""
    first = Chosen(recipes)
    if own.kind != ENCODER or not (probs.is_kept(own) or has_gpu()):
        return Chosen(recipes, f"{' and '.join(first.names)}: {why}; fine-tuning each fold needs a GPU")
    both = Chosen((*recipes, own))
    reason = "its folds are kept" if probs.is_kept(own) else "there is a GPU"
    return Chosen(both.recipes, f"{', '.join(both.names)}: {why}; {reason}")


def _problem(model: str) -> str:
    """Why an encoder cannot be used without a download; empty where it can."""
    if not (find_spec("torch") and find_spec("sentence_transformers")):
        return "torch is not installed: pip install 'tutelage[train]'"
    return "" if _is_on_disk(model) else f"{model} is not on this disk; name it after --student to have it loaded"


def _is_on_disk(model: str) -> bool:
    if Path(model).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(model, "config.json"), str)
    except HFValidationError:  # a path that is not there
        return False
