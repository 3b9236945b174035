"""Which engine runs a student: what the machine has, the fastest first, and only if it agrees with torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.core.compute import has_matrix_units
from tutelage.core.errors import StudentError
from tutelage.training.prediction.engines.classifier import EngineClassifier, PlainClassifier
from tutelage.training.prediction.engines.engine import Classifier, Engine, Network
from tutelage.training.prediction.engines.engine_table import ENGINES, REFERENCE
from tutelage.training.prediction.engines.export import cached
from tutelage.training.prediction.engines.network import network_of
from tutelage.training.students.student import Student

ENOUGH_AGREEMENT = 0.99
"""Share of the sample's texts that must get torch's label."""

SAMPLE = 256
"""Texts on which an engine is checked."""

FEW = 1000
"""With fewer texts than this, exporting a model takes longer than it saves."""

FEW_CHARACTERS = 4_000_000
"""Unless they are that long together."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ChosenEngine:
    """The engine, its name with the type it computes in, and the share of ``sample`` texts with torch's label."""

    engine: str
    name: str
    agreement: float | None = None
    sample: int = 0


def choose_engine(
    student: Student, kind: str, folder: Path, texts: Sequence[str], wanted: str, say: Say
) -> tuple[ChosenEngine, Classifier]:
    """The engine ``wanted``, or for ``auto`` the first that can be made and agrees with torch on a sample of ``texts``.

    An engine that does not agree is passed over with a word, one that was asked for by name too. One that
    fails is passed over with a word by ``auto``.

    Raises
    ------
    StudentError
        When the engine that was asked for by name cannot be had.
    """
    network = network_of(student, folder)
    if network is None:
        if wanted not in {"auto", REFERENCE}:
            raise StudentError(f"--engine {wanted}: a {kind} student runs by itself; leave --engine out")
        return ChosenEngine(REFERENCE, kind), PlainClassifier(student, kind)
    sample = list(texts[:: max(1, len(texts) // SAMPLE)])[:SAMPLE]
    return _Choice(network, sample, say).first(_candidates(wanted, network, texts), wanted)


def classifier_on(student: Student, kind: str, folder: Path, engine: str) -> Classifier:
    """The student on the engine that was chosen, and checked, before."""
    network = network_of(student, folder)
    return PlainClassifier(student, kind) if network is None else EngineClassifier(network, _make(engine, network))


def _candidates(wanted: str, network: Network, texts: Sequence[str]) -> list[str]:
    names = list(ENGINES)
    if wanted != "auto":
        return names[names.index(wanted) :]
    if not texts:  # nothing to check another engine on
        return [REFERENCE]
    if not has_matrix_units():  # 8 bits are faster there
        names.insert(names.index("onnx"), names.pop(names.index("openvino")))
    many = len(texts) >= FEW or sum(map(len, texts)) >= FEW_CHARACTERS
    return [name for name in names if many or not ENGINES[name].exports or _is_cached(name, network)]


def _is_cached(name: str, network: Network) -> bool:
    return cached(network.exports, _module(name).KIND).exists()


@dataclass(frozen=True)
class _Choice:
    network: Network
    sample: list[str]
    say: Say

    def first(self, names: Sequence[str], wanted: str) -> tuple[ChosenEngine, Classifier]:
        """The first of these that can be made and agrees; the reference needs no check."""
        for name in names[:-1]:
            chosen = self._checked(name, needed=name == wanted)
            if chosen is not None:
                return chosen
        return ChosenEngine(REFERENCE, self._reference.name), self._reference

    def _checked(self, name: str, *, needed: bool) -> tuple[ChosenEngine, Classifier] | None:
        try:
            classifier = EngineClassifier(self.network, _make(name, self.network))
            agreement = self._agreement(classifier)
        except _FailedError as error:
            if needed:
                raise StudentError(f"--engine {name}: {error}; use --engine torch") from None
            self.say(f"{name}: {error}; the next engine is taken")
            return None
        except StudentError as error:
            if needed:
                raise StudentError(f"--engine {name}: {error}") from None
            return None
        words = f"{classifier.name}: the same label as torch on {agreement:.1%} of {len(self.sample)} texts"
        if agreement < ENOUGH_AGREEMENT:
            self.say(f"{words}; that is under {ENOUGH_AGREEMENT:.0%}, the next engine is taken")
            return None
        self.say(words)
        return ChosenEngine(name, classifier.name, agreement, len(self.sample)), classifier

    @cached_property
    def _reference(self) -> EngineClassifier:
        return EngineClassifier(self.network, _make(REFERENCE, self.network))

    @cached_property
    def _expected(self) -> Ints:
        return np.asarray(self._reference.compute(self._reference.prepare(self.sample)).argmax(axis=1))

    def _agreement(self, classifier: Classifier) -> float:
        if not self.sample:
            return 1.0
        expected = self._expected
        with _failures():
            said = classifier.compute(classifier.prepare(self.sample)).argmax(axis=1)
        return float((said == expected).mean())


class _FailedError(StudentError):
    """An engine that the machine has fails on this student."""


@contextmanager
def _failures() -> Iterator[None]:
    """Say in one line what an engine's library raises."""
    try:
        yield
    except StudentError:
        raise
    except ModuleNotFoundError as error:
        raise StudentError(f"{error.name} is not installed; install it with: pip install 'tutelage[fast]'") from None
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise _FailedError(f"this student cannot be run by it: {reason[0]}") from None


def _make(name: str, network: Network) -> Engine:
    with _failures():
        engine: Engine = getattr(_module(name), ENGINES[name].factory)(network)
    return engine


def _module(name: str) -> Any:
    return import_module(f"tutelage.training.prediction.engines.{ENGINES[name].module}")
