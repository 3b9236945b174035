"""The recipe of a student: its kind, base model and hyperparameters; with a snapshot it determines the student."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from tutelage.core.errors import StudentError
from tutelage.core.task import WINDOWS
from tutelage.training.students.kinds import ENCODER, KINDS, LINEAR, SETFIT


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A kind of student, its base model, and all hyperparameters.

    The defaults for encoders are those of Laurer (2024), "Synthetic data: save money, time and
    carbon with open source": learning rate 2e-5, batch size 16, linear schedule with 10 % warm-up,
    no weight decay, 256 tokens, the best of ten epochs. ``human_weight`` 2 and ``suspects_out`` 0
    did best in ``benchmarks/students.py --noise``. ``batch_size`` is the global batch size, of all
    processes together; ``soft_targets`` trains on soft labels (vote proportions). ``long_texts`` is the task's:
    ``cut`` reads the first ``max_length`` tokens of a text, ``windows`` all.
    """

    kind: str
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
    long_texts: str = "cut"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def balanced(self) -> bool:
        """Whether to use balanced class weights: as given, else the default of the kind."""
        return KINDS[self.kind].balanced if self.class_weights is None else self.class_weights

    @property
    def windows(self) -> bool:
        """Whether it reads long texts in windows; a kind without ``max_length`` reads whole texts anyway."""
        options = KINDS[self.kind].options
        return self.long_texts == WINDOWS and (options is None or "max_length" in options)

    def with_options(self, **options: Any) -> Recipe:
        """The recipe with these options, except those that are None."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})


def parse_student(name: str, **options: Any) -> Recipe:
    """The recipe for a value of ``--student``: ``linear``, ``setfit``, ``MODEL``, ``MODEL:frozen``, ``MODEL:setfit``.

    >>> parse_student("FacebookAI/roberta-base:frozen").kind
    'frozen'
    """
    kind, model = _kind_and_model(name)
    return Recipe(kind=kind, model=model).with_options(**options)


def _kind_and_model(name: str) -> tuple[str, str]:
    if name in {LINEAR, SETFIT}:
        return name, KINDS[name].model
    model, _, suffix = name.rpartition(":")
    match = next((key for key, kind in KINDS.items() if model and suffix and kind.suffix == suffix), None)
    return (match, model) if match else (ENCODER, name)


def digest(value: Any) -> str:
    """First 12 hex digits of a SHA-256 over a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()[:12]


def student_id(recipe: Recipe, snapshot: str, left_out: Any) -> str:
    """The id of the student with this recipe, snapshot and holdout.

    The same arguments give the same id; only options that have an effect on this kind are in it.
    """
    numbers, options = asdict(recipe), KINDS[recipe.kind].options
    if not recipe.windows:
        del numbers["long_texts"]  # earlier versions had none: their students keep their ids
    if options is not None:
        numbers = {name: numbers[name] for name in ("kind", *options)}
    return f"{recipe.kind}-{digest([numbers, snapshot, left_out])}"


_POSITIVE = ("learning_rate", "epochs", "batch_size", "accumulate", "max_length", "patience", "human_weight")
_FRACTIONS = ("warmup", "validation", "suspects_out")


def _check(recipe: Recipe) -> None:
    if recipe.kind not in KINDS:
        raise StudentError(f"unknown kind of student {recipe.kind!r}; this version has: {', '.join(KINDS)}")
    for name in _POSITIVE:
        if getattr(recipe, name) <= 0:
            raise StudentError(f"--{name.replace('_', '-')} {getattr(recipe, name)}: must be greater than 0")
    for name in _FRACTIONS:
        if not 0 <= getattr(recipe, name) < 1:
            raise StudentError(
                f"--{name.replace('_', '-')} {getattr(recipe, name)}: must be at least 0 and less than 1"
            )
