"""A prediction job: source, student and output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tutelage.core import __version__
from tutelage.core.errors import StudentError
from tutelage.core.workspace import Workspace
from tutelage.loaders.sources import Source
from tutelage.training.prediction.engines.selection import ChosenEngine
from tutelage.training.prediction.kept import Kept
from tutelage.training.prediction.outputs import OutputFormat
from tutelage.training.registry import Entry
from tutelage.training.students.recipe import digest


@dataclass(frozen=True, kw_only=True)
class PredictionJob:
    """A prediction job: ``text`` is a column, ``out`` is a file or ``-``.

    ``columns`` are those of the source that the output has too, None for all; with ``force`` an output
    that is there is replaced. A row whose most probable label is below ``min_probability`` gets no label.
    """

    workspace: Workspace
    entry: Entry
    source: Source
    out: str
    text: str = "text"
    columns: tuple[str, ...] | None = None
    force: bool = False
    min_probability: float = 0.0


def check_min_probability(value: float) -> None:
    """Refuse what is no probability.

    Raises
    ------
    StudentError
        Where it is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise StudentError(f"min_probability is {value}; it must be between 0 and 1")


def output_format(job: PredictionJob, chosen: ChosenEngine, kept: Kept) -> OutputFormat:
    """The output's columns and metadata."""
    manifest = job.entry.manifest
    about: dict[str, Any] = {"student": job.entry.id, "engine": chosen.name, "agreement": chosen.agreement}
    given = {"probabilities": manifest.probabilities, "min_probability": job.min_probability}
    about |= {**given, "labels": list(manifest.labels), "version": __version__}
    return OutputFormat(manifest.labels, about, kept, job.min_probability)


def part_key(job: PredictionJob, chosen: ChosenEngine) -> str:
    """A digest of everything but the rows that determines a part: the student, the engine, the least probability."""
    entry = job.entry
    given = [entry.manifest.probabilities, job.min_probability]
    return digest([entry.id, entry.manifest.created_at, chosen.name, __version__, *given])
