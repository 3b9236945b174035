"""The check of an engine against torch, on the same texts for every step, kept beside the exports.

An engine must give torch's labels, and a text the same answer alone and among others. ``predict``, ``serve-student``
and the workers of a cluster take the same texts from the task, and so come to the same verdict; it is computed once
for a student, an engine, a version of the libraries and a kind of machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tutelage.core.arrays import Ints, decide
from tutelage.core.compute import machine_kind
from tutelage.core.files import make_folder, write_text
from tutelage.training.prediction.engines.engine import Classifier

ENOUGH_AGREEMENT = 0.99
"""Minimum fraction of the texts on which an engine and torch must agree, together and one by one."""

STEADY = 1e-3
"""The largest change of a probability between a text alone and among others."""

SAMPLE = 256
"""Number of texts on which an engine is checked."""

ENOUGH_UNSEEN = 200
"""With fewer texts that the student was not trained on, some that it was trained on are taken as well."""

_FORM = 1
_LIBRARIES = ("torch", "transformers", "onnxruntime", "openvino", "sentence-transformers")

Sample = Callable[[], tuple[Sequence[str], Sequence[str]]]
"""Gives texts that the student was not trained on, and others that it was trained on, at most ``SAMPLE`` of each."""


@dataclass(frozen=True, kw_only=True)
class CheckTexts:
    """The texts of a check; ``unseen`` of them the student was not trained on, None where that is not known."""

    texts: Sequence[str]
    unseen: int | None = None


@dataclass(frozen=True, kw_only=True)
class EngineVerdict:
    """How an engine and torch agree.

    Parameters
    ----------
    name
        The engine's name with its data type.
    agreement
        The fraction of ``sample`` texts with torch's label: the lower of one by one and all together.
    sample, unseen
        The number of texts, and how many of them the student was not trained on; None where that is not known.
    change, moved
        Between one by one and all together: the largest change of a probability, and how many labels moved.
    """

    name: str
    agreement: float
    sample: int
    unseen: int | None
    change: float
    moved: int

    @property
    def agrees(self) -> bool:
        """Whether the engine has torch's labels."""
        return self.agreement >= ENOUGH_AGREEMENT

    @property
    def steady(self) -> bool:
        """Whether a text has the same answer alone and among others."""
        return self.change <= STEADY and not self.moved

    @property
    def words(self) -> str:
        """The agreement, as people read it."""
        return f"{self.name}: the same label as torch on {self.agreement:.1%} of {self._texts}"

    @property
    def _texts(self) -> str:
        if self.unseen is None:
            return f"{self.sample} texts"
        if self.unseen == self.sample:
            return f"{self.sample} texts that the student was not trained on"
        return f"{self.sample} texts, {self.unseen or 'none'} of which the student was not trained on"


def check_sample(sample: Sample, to_predict: Sequence[str]) -> CheckTexts:
    """The task's texts, filled up with those of the training; those to predict where the task has none."""
    unseen, trained = sample()
    texts = [*unseen[:SAMPLE], *trained[: max(0, SAMPLE - len(unseen))]] if len(unseen) < ENOUGH_UNSEEN else unseen
    if texts:
        return CheckTexts(texts=texts[:SAMPLE], unseen=min(len(unseen), SAMPLE))
    return CheckTexts(texts=list(to_predict[:: max(1, len(to_predict) // SAMPLE)])[:SAMPLE])


def compared_with_torch(classifier: Classifier, expected: Ints, checked: CheckTexts) -> EngineVerdict:
    """The verdict; ``expected`` are torch's labels, of shape (N,)."""
    texts = list(checked.texts)
    together = classifier.compute(classifier.prepare(texts))
    alone = np.concatenate([classifier.compute(classifier.prepare([text])) for text in texts])
    return EngineVerdict(
        name=classifier.name,
        agreement=min(float((decide(probs) == expected).mean()) for probs in (together, alone)),
        sample=len(texts),
        unseen=checked.unseen,
        change=float(np.abs(together - alone).max()),
        moved=int((decide(together) != decide(alone)).sum()),
    )


def kept_verdict(exports: Path, engine: str) -> EngineVerdict | None:
    """The verdict of an earlier check on this kind of machine; None without one."""
    with suppress(OSError, ValueError, TypeError):
        return EngineVerdict(**json.loads(_file(exports, engine).read_text("utf-8")))
    return None


def keep_verdict(exports: Path, engine: str, verdict: EngineVerdict) -> None:
    """Keep a verdict on enough texts that the student was not trained on; not where nothing can be written."""
    if (verdict.unseen or 0) >= ENOUGH_UNSEEN:
        with suppress(OSError):
            make_folder(exports)
            write_text(_file(exports, engine), json.dumps(asdict(verdict), indent=1) + "\n")


def _file(exports: Path, engine: str) -> Path:
    about = json.dumps([_FORM, machine_kind(), *map(_version, _LIBRARIES)])
    return exports / f"check-{engine}-{hashlib.sha256(about.encode()).hexdigest()[:12]}.json"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
