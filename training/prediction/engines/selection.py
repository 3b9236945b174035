"""The choice of an engine: the fastest that the machine supports and that agrees with torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from tutelage.core.arrays import Ints, decide
from tutelage.core.compute import has_matrix_units
from tutelage.core.errors import StudentError
from tutelage.training.prediction.engines.classifier import EngineClassifier, PlainClassifier
from tutelage.training.prediction.engines.engine import Classifier, Engine, Network
from tutelage.training.prediction.engines.engine_table import ENGINES, REFERENCE
from tutelage.training.prediction.engines.export import cached
from tutelage.training.prediction.engines.network import network_of
from tutelage.training.students.student import Student

ENOUGH_AGREEMENT = 0.99
"""Minimum fraction of the sample on which an engine and torch must agree."""

SAMPLE = 256
"""Number of texts on which an engine is checked."""

FEW = 1000
"""With fewer texts, exporting a model takes longer than it saves."""

FEW_CHARACTERS = 4_000_000
"""Unless they have more characters in total."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ChosenEngine:
    """The engine, its name with its data type, and the fraction of ``sample`` texts on which it agrees with torch."""

    engine: str
    name: str
    agreement: float | None = None
    sample: int = 0


def choose_engine(
    student: Student, kind: str, folder: Path, texts: Sequence[str], wanted: str, say: Say
) -> tuple[ChosenEngine, Classifier]:
    """The engine ``wanted``, or for ``auto`` the first that works and agrees with torch on a sample of ``texts``.

    An engine that does not agree is skipped with a message, even where it was asked for by name; one that fails
    is skipped by ``auto``.

    Raises
    ------
    StudentError
        When the engine that was asked for by name does not work here.
    """
    network = network_of(student, folder)
    if network is None:
        if wanted not in {"auto", REFERENCE}:
            raise StudentError(f"--engine {wanted}: a {kind} student needs no engine; omit --engine")
        return ChosenEngine(engine=REFERENCE, name=kind), PlainClassifier(student, kind)
    sample = list(texts[:: max(1, len(texts) // SAMPLE)])[:SAMPLE]
    return _Choice(network, sample, say).first(_candidates(wanted, network, texts), wanted)


def classifier_on(student: Student, kind: str, folder: Path, engine: str) -> Classifier:
    """The student on an engine that was chosen and checked before."""
    network = network_of(student, folder)
    return PlainClassifier(student, kind) if network is None else EngineClassifier(network, _make(engine, network))


def _candidates(wanted: str, network: Network, texts: Sequence[str]) -> list[str]:
    names = list(ENGINES)
    if wanted != "auto":
        return names[names.index(wanted) :]
    if not texts:  # no sample to check another engine on
        return [REFERENCE]
    if not has_matrix_units():  # int8 is faster there
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
        """The first of these that works and agrees; the reference needs no check."""
        for name in names[:-1]:
            chosen = self._checked(name, needed=name == wanted)
            if chosen is not None:
                return chosen
        return ChosenEngine(engine=REFERENCE, name=self._reference.name), self._reference

    def _checked(self, name: str, *, needed: bool) -> tuple[ChosenEngine, Classifier] | None:
        try:
            classifier = EngineClassifier(self.network, _make(name, self.network))
            agreement = self._agreement(classifier)
        except _FailedError as error:
            if needed:
                raise StudentError(f"--engine {name}: {error}; use --engine torch") from None
            self.say(f"{name}: {error}; using the next engine")
            return None
        except StudentError as error:
            if needed:
                raise StudentError(f"--engine {name}: {error}") from None
            return None
        words = f"{classifier.name}: the same label as torch on {agreement:.1%} of {len(self.sample)} texts"
        if agreement < ENOUGH_AGREEMENT:
            self.say(f"{words}; that is below {ENOUGH_AGREEMENT:.0%}, using the next engine")
            return None
        self.say(words)
        return ChosenEngine(engine=name, name=classifier.name, agreement=agreement, sample=len(self.sample)), classifier

    @cached_property
    def _reference(self) -> EngineClassifier:
        return EngineClassifier(self.network, _make(REFERENCE, self.network))

    @cached_property
    def _expected(self) -> Ints:
        return decide(self._reference.compute(self._reference.prepare(self.sample)))

    def _agreement(self, classifier: Classifier) -> float:
        if not self.sample:
            return 1.0
        expected = self._expected
        with _failures():
            predictions = decide(classifier.compute(classifier.prepare(self.sample)))
        return float((predictions == expected).mean())


class _FailedError(StudentError):
    """An installed engine fails on this student."""


@contextmanager
def _failures() -> Iterator[None]:
    """Turn the exceptions of an engine's library into a one-line error."""
    try:
        yield
    except StudentError:
        raise
    except ModuleNotFoundError as error:
        raise StudentError(f"{error.name} is not installed; install it with: pip install 'tutelage[fast]'") from None
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise _FailedError(f"this engine cannot run the student: {reason[0]}") from None


def _make(name: str, network: Network) -> Engine:
    with _failures():
        engine: Engine = getattr(_module(name), ENGINES[name].factory)(network)
    return engine


def _module(name: str) -> Any:
    return import_module(f"tutelage.training.prediction.engines.{ENGINES[name].module}")
