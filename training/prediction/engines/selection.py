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
from tutelage.training.prediction.engines.agreement import (
    ENOUGH_AGREEMENT,
    SAMPLE,
    CheckTexts,
    EngineVerdict,
    Sample,
    check_sample,
    compared_with_torch,
    keep_verdict,
    kept_verdict,
)
from tutelage.training.prediction.engines.classifier import EngineClassifier, PlainClassifier
from tutelage.training.prediction.engines.engine import Classifier, Engine, Network
from tutelage.training.prediction.engines.engine_table import ENGINES, REFERENCE
from tutelage.training.prediction.engines.export import cached
from tutelage.training.prediction.engines.network import network_of
from tutelage.training.students.student import Student

FEW = 1000
"""With fewer texts, exporting a model takes longer than it saves."""

FEW_CHARACTERS = 4_000_000
"""Unless they have more characters in total."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ChosenEngine:
    """The engine, its name with its data type, and how it and torch agree; None where it was not checked."""

    engine: str
    name: str
    verdict: EngineVerdict | None = None

    @property
    def agreement(self) -> float | None:
        """The fraction of ``sample`` texts on which it agrees with torch; None where it was not checked."""
        return self.verdict.agreement if self.verdict else None

    @property
    def sample(self) -> int:
        """The number of texts on which it was checked."""
        return self.verdict.sample if self.verdict else 0


def no_sample() -> tuple[Sequence[str], Sequence[str]]:
    """Of a task that has no texts: engines are checked on those to predict."""
    return (), ()


def choose_engine(
    student: Student,
    kind: str,
    folder: Path,
    texts: Sequence[str] | None,
    wanted: str,
    say: Say,
    *,
    sample: Sample = no_sample,
) -> tuple[ChosenEngine, Classifier]:
    """The engine ``wanted``, or for ``auto`` the first that works, agrees with torch and is steady on a sample.

    An engine that does not agree is skipped with a message, even where it was asked for by name; one that fails,
    or is not steady, is skipped by ``auto``. ``texts`` are the first of those to predict, None for any number to come.

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
    return _Choice(network, texts or (), sample, say).first(_candidates(wanted, network, texts), wanted)


def classifier_on(student: Student, kind: str, folder: Path, engine: str) -> Classifier:
    """The student on an engine that was chosen and checked before."""
    network = network_of(student, folder)
    return PlainClassifier(student, kind) if network is None else EngineClassifier(network, _make(engine, network))


def _candidates(wanted: str, network: Network, texts: Sequence[str] | None) -> list[str]:
    names = list(ENGINES)
    if wanted != "auto":
        return names[names.index(wanted) :]
    if texts is not None and not texts:
        return [REFERENCE]
    if not has_matrix_units():  # int8 is faster there
        names.insert(names.index("onnx"), names.pop(names.index("openvino")))
    return [name for name in names if name == REFERENCE or _pays(name, network, texts)]


def _pays(name: str, network: Network, texts: Sequence[str] | None) -> bool:
    """Whether the engine saves more than its export and its check take."""
    if texts is None or len(texts) >= FEW or sum(map(len, texts)) >= FEW_CHARACTERS:
        return True
    checked = kept_verdict(network.exports, name) is not None
    return (checked or len(texts) >= SAMPLE) and (not ENGINES[name].exports or _is_cached(name, network))


def _is_cached(name: str, network: Network) -> bool:
    return cached(network.exports, _module(name).KIND).exists()


@dataclass(frozen=True)
class _Choice:
    network: Network
    to_predict: Sequence[str]
    sample: Sample
    say: Say

    def first(self, names: Sequence[str], wanted: str) -> tuple[ChosenEngine, Classifier]:
        """The first of these that works and agrees; the reference needs no check."""
        for name in names[:-1]:
            found = self._working(name, needed=name == wanted)
            if found is not None and self._accepted(found[0], found[1], needed=name == wanted):
                verdict, classifier = found
                return ChosenEngine(engine=name, name=classifier.name, verdict=verdict), classifier
        return ChosenEngine(engine=REFERENCE, name=self._reference.name), self._reference

    def _working(self, name: str, *, needed: bool) -> tuple[EngineVerdict | None, EngineClassifier] | None:
        """The engine and its verdict, None without any text; nothing where it does not work, or cannot be checked."""
        try:
            if not needed and not self._can_check(name):
                return None
            classifier = EngineClassifier(self.network, _make(name, self.network))
            return self._verdict(name, classifier), classifier
        except _FailedError as error:
            if needed:
                raise StudentError(f"--engine {name}: {error}; use --engine torch") from None
            self.say(f"{name}: {error}; using the next engine")
        except StudentError as error:
            if needed:
                raise StudentError(f"--engine {name}: {error}") from None
        return None

    def _accepted(self, verdict: EngineVerdict | None, classifier: EngineClassifier, *, needed: bool) -> bool:
        if verdict is None:
            return needed
        if not verdict.agrees:
            self.say(f"{verdict.words}; that is below {ENOUGH_AGREEMENT:.0%}, using the next engine")
            return False
        self.say(verdict.words)
        if verdict.steady or classifier.pads:
            return True
        moved = f"{verdict.name}: a probability changes by up to {verdict.change:.2g} with the other texts of its batch"
        self.say(moved if needed else f"{moved}; using the next engine")
        return needed

    @cached_property
    def _reference(self) -> EngineClassifier:
        return EngineClassifier(self.network, _make(REFERENCE, self.network))

    @cached_property
    def _texts(self) -> CheckTexts:
        return check_sample(self.sample, self.to_predict)

    @cached_property
    def _expected(self) -> Ints:
        return decide(self._reference.compute(self._reference.prepare(list(self._texts.texts))))

    def _can_check(self, name: str) -> bool:
        return kept_verdict(self.network.exports, name) is not None or bool(self._texts.texts)

    def _verdict(self, name: str, classifier: EngineClassifier) -> EngineVerdict | None:
        if kept := kept_verdict(self.network.exports, name):
            return kept
        if not self._texts.texts:
            return None
        expected = self._expected
        with _failures():
            verdict = compared_with_torch(classifier, expected, self._texts)
        keep_verdict(self.network.exports, name, verdict)
        return verdict


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
