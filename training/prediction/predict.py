"""The step ``predict``: a label and its probabilities for every text of a source of any size."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tutelage.core.arrays import Floats
from tutelage.core.errors import StudentError
from tutelage.core.locks import in_use
from tutelage.core.records import Progress, ProgressCallback, unreported, with_total
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.workspace import Workspace
from tutelage.training.manifest import FILE
from tutelage.training.prediction.calibrated import calibrated
from tutelage.training.prediction.engines.engine import Classifier, truncated
from tutelage.training.prediction.engines.engine_table import RAY
from tutelage.training.prediction.engines.selection import Say, choose_engine
from tutelage.training.prediction.job import PredictionJob, check_min_probability, output_format, part_key
from tutelage.training.prediction.kept import kept_of
from tutelage.training.prediction.outputs import (
    Output,
    Predictions,
    added_columns,
    check_output,
    open_output,
    sole_writer,
)
from tutelage.training.prediction.windows import Window, windows

Windows = Iterator[Window]


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """The result of ``predict``; ``kept`` counts rows that an earlier run had predicted.

    ``agreement`` is the fraction of ``sample`` texts on which the engine and torch agree, 0 to 1;
    None for torch itself, or a student without engines. ``labels`` counts rows by label, ``abstained`` those
    without one, whose probability is below ``min_probability``; ``truncated`` counts texts that the student read
    the beginning of only. ``probabilities`` are calibrated or uncalibrated.
    """

    out: str
    student: str
    engine: str
    agreement: float | None
    sample: int
    rows: int
    kept: int
    rejected: int
    labels: dict[str, int]
    abstained: int
    min_probability: float
    truncated: int
    probabilities: str
    wall_s: float


def predict(
    job: PredictionJob, engine: str = "auto", *, say: Say = lambda _words: None, progress: ProgressCallback = unreported
) -> PredictResult:
    """Predict all usable rows of the source, in its order; the others go to ``rejects.jsonl``.

    Run again after a kill, it resumes from the finished parts.

    Raises
    ------
    SourceError
        When the source cannot be read, a column cannot be kept, or the output cannot be written.
    StudentError
        When the student has other labels than the task, or the engine is not available.
    """
    check_min_probability(job.min_probability)
    check_output(job.out, job.source.name, force=job.force)
    job.entry.manifest.check_labels(job.workspace.task.label_names)
    with sole_writer(job.out), in_use(job.entry.path / FILE):
        return _predict(job, engine, say, progress)


def _predict(job: PredictionJob, engine: str, say: Say, progress: ProgressCallback) -> PredictResult:
    from tutelage.training.prediction.ray_cluster import predict_on_ray

    started, rejects = time.perf_counter(), RejectBuffer(job.workspace)
    progress(Progress("loading the student and choosing an engine"))
    kept = kept_of(job.source, job.columns, added_columns(job.entry.manifest.labels))
    first, rows = peek(windows(job.source, job.text, kept, rejects.add))
    counted = with_total(job.source.row_count(), progress)
    out: Output
    if engine == RAY:
        chosen, out, done_before = predict_on_ray(job, kept, (first, rows), say, counted)
    else:
        chosen, classifier = choose_engine(
            job.entry.load(), job.entry.manifest.kind, job.entry.path, first, engine, say
        )
        classifier = calibrated(job.entry.manifest, classifier)
        out = open_output(job.out, output_format(job, chosen, kept), part_key(job, chosen))
        done_before = predict_windows(classifier, rows, out, counted)
    totals = out.finish()
    rejects.write()
    labels = {name: totals.labels[name] for name in job.workspace.task.label_names}
    return PredictResult(
        out=job.out,
        student=job.entry.id,
        engine=chosen.name,
        agreement=chosen.agreement,
        sample=chosen.sample,
        rows=totals.rows,
        kept=done_before,
        rejected=rejects.count,
        labels=labels,
        abstained=totals.abstained,
        min_probability=job.min_probability,
        truncated=totals.truncated,
        probabilities=job.entry.manifest.probabilities,
        wall_s=round(time.perf_counter() - started, 2),
    )


class RejectBuffer:
    """Collects rejected rows and writes them to ``rejects.jsonl`` in batches."""

    def __init__(self, workspace: Workspace) -> None:
        self.count = 0
        self._file, self._waiting = Rejects(workspace.rejects), list[Reject]()

    def add(self, row: Reject) -> None:
        """Add one row."""
        self.count += 1
        self._waiting.append(row)
        if len(self._waiting) == 1000:
            self.write()

    def write(self) -> None:
        """Write the rows added so far."""
        self._file.add(self._waiting)
        self._waiting = []


def peek(rows: Windows) -> tuple[list[str], Windows]:
    """The texts of the first window, for the check of the engine, and all windows."""
    first = next(rows, None)
    return ([], rows) if first is None else (list(first.texts), itertools.chain([first], rows))


def predict_windows(classifier: Classifier, rows: Windows, out: Output, progress: ProgressCallback) -> int:
    """Predict all windows; each is read and tokenised while the one before is computed. Returns the rows kept."""
    done = kept = 0
    for window, prepared in _ahead(
        rows, lambda window: None if out.has(window) else classifier.prepare(list(window.texts))
    ):
        out.add(window, None if prepared is None else Predictions(computed(classifier, prepared), truncated(prepared)))
        done += len(window.texts)
        kept += len(window.texts) if prepared is None else 0
        progress(Progress("predicting", done, unit="rows"))
    return kept


def computed(classifier: Classifier, prepared: Any) -> Floats:
    """What the engine says; what its library raises, such as a GPU's memory that others took meanwhile, in one line."""
    try:
        return classifier.compute(prepared)
    except RuntimeError as error:  # torch's OutOfMemoryError is one
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise StudentError(
            f"{classifier.name}: failed after it was checked: {reason[0]}; run this again, or with --engine torch"
        ) from None


def _ahead(rows: Windows, prepare: Callable[[Window], Any]) -> Iterator[tuple[Window, Any]]:
    """Windows with their result of ``prepare``, which runs in a thread while the one before is used."""

    def step() -> tuple[Window, Any] | None:
        window = next(rows, None)
        return None if window is None else (window, prepare(window))

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(step)
        while (done := coming.result()) is not None:
            coming = pool.submit(step)
            yield done
