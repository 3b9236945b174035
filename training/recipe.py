"""What to train and how: a frozen recipe that, with a snapshot, decides the student."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tutelage.errors import StudentError

Kind = Literal["linear", "encoder", "frozen", "setfit"]

LINEAR_TAKES = ("class_weights", "human_weight", "suspects_out")
"""The options that make another linear student."""

SETFIT_MODEL = "sentence-transformers/paraphrase-mpnet-base-v2"
ONE_PROCESS: tuple[Kind, ...] = ("linear", "frozen")
"""Kinds that several processes do not share."""

_SUFFIXES: dict[str, Kind] = {"frozen": "frozen", "setfit": "setfit"}


@dataclass(frozen=True)
class Recipe:
    """A kind of student, the model it starts from, and every number that training depends on.

    The defaults for encoders are those of Laurer (2024), "Synthetic data: save money, time and
    carbon with open source": learning rate 2e-5, batches of 16, linear schedule with a warm-up of
    a tenth, no weight decay, 256 tokens, the best of ten epochs. That a label from a person weighs
    twice, and that no suspect is left out, did best in ``benchmarks/students.py --noise``.
    """

    kind: Kind
    model: str = ""
    seed: int = 42
    learning_rate: float = 2e-5
    epochs: int = 10
    batch_size: int = 16
    accumulate: int = 1
    max_length: int = 256
    warmup: float = 0.1
    weight_decay: float = 0.0
    validation: float = 0.1
    patience: int = 3
    class_weights: bool | None = None
    soft_targets: bool = False
    human_weight: float = 2.0
    suspects_out: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def balanced(self) -> bool:
        """Whether each label weighs the same in sum: if asked for, and by default in all kinds but encoders."""
        return self.kind != "encoder" if self.class_weights is None else self.class_weights

    def with_options(self, **options: Any) -> Recipe:
        """The recipe with those options that are not None."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})


def parse_student(name: str, **options: Any) -> Recipe:
    """The recipe for what ``--student`` names: ``linear``, ``setfit``, ``MODEL``, ``MODEL:frozen``, ``MODEL:setfit``.

    >>> parse_student("FacebookAI/roberta-base:frozen").kind
    'frozen'
    """
    if name == "linear":
        return Recipe("linear").with_options(**options)
    if name == "setfit":
        return Recipe("setfit", SETFIT_MODEL).with_options(**options)
    model, _, suffix = name.rpartition(":")
    if model and suffix in _SUFFIXES:
        return Recipe(_SUFFIXES[suffix], model).with_options(**options)
    return Recipe("encoder", name).with_options(**options)


def digest(value: Any) -> str:
    """First 12 hex digits of a SHA-256 over a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()[:12]


def student_id(recipe: Recipe, snapshot: str, left_out: Any) -> str:
    """Name of the student that this recipe makes of this snapshot without what is left out.

    The same call has the same id; ``linear`` does not depend on an encoder's numbers.
    """
    numbers = asdict(recipe)
    if recipe.kind == "linear":
        numbers = {name: numbers[name] for name in ("kind", *LINEAR_TAKES)}
    return f"{recipe.kind}-{digest([numbers, snapshot, left_out])}"


_POSITIVE = ("learning_rate", "epochs", "batch_size", "accumulate", "max_length", "patience", "human_weight")
_FRACTIONS = ("warmup", "validation", "suspects_out")


def _check(recipe: Recipe) -> None:
    for name in _POSITIVE:
        if getattr(recipe, name) <= 0:
            raise StudentError(f"--{name.replace('_', '-')} {getattr(recipe, name)}: must be above 0")
    for name in _FRACTIONS:
        if not 0 <= getattr(recipe, name) < 1:
            raise StudentError(f"--{name.replace('_', '-')} {getattr(recipe, name)}: must be at least 0 and below 1")
