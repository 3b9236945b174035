"""A prediction job: source, student and output."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.core import __version__
from tutelage.core.workspace import Workspace
from tutelage.loaders.sources import Source
from tutelage.training.check_texts import check_texts
from tutelage.training.prediction.engines.agreement import SAMPLE
from tutelage.training.prediction.engines.selection import ChosenEngine
from tutelage.training.prediction.kept import Kept
from tutelage.training.prediction.outputs import OutputFormat
from tutelage.training.registry import Entry
from tutelage.training.students.recipe import digest


@dataclass(frozen=True, kw_only=True)
class PredictionJob:
    """A prediction job: ``text`` is a column, ``out`` is a file or ``-``.

    ``columns`` are those of the source that the output has too, None for all; with ``force`` an output
    that is there is replaced.
    """

    workspace: Workspace
    entry: Entry
    source: Source
    out: str
    text: str = "text"
    columns: tuple[str, ...] | None = None
    force: bool = False

    def sample(self) -> tuple[list[str], list[str]]:
        """The texts on which an engine is checked."""
        return check_texts(self.workspace, self.entry, SAMPLE)


def output_format(entry: Entry, chosen: ChosenEngine, kept: Kept) -> OutputFormat:
    """The output's columns and metadata."""
    names = entry.manifest.labels
    about = {"student": entry.id, "engine": chosen.name, "agreement": chosen.agreement}
    return OutputFormat(names, {**about, "labels": list(names), "version": __version__}, kept)


def part_key(entry: Entry, chosen: ChosenEngine) -> str:
    """A digest of everything but the rows that determines a part: the student and the engine."""
    return digest([entry.id, entry.manifest.created_at, chosen.name, __version__])
