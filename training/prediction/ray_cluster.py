"""``predict --engine ray``: prediction on a Ray cluster, through Ray Data.

The driver reads the source and writes each window beside the parts; actors on the cluster predict
windows and write parts; the driver joins them. OUT's folder and the task directory must be on
storage that every machine mounts under the same path. See ``docs/ray.md``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage.core.errors import StudentError
from tutelage.core.files import replacing
from tutelage.core.records import Progress, ProgressCallback
from tutelage.training.prediction.calibrated import calibrated
from tutelage.training.prediction.engines.engine import truncated
from tutelage.training.prediction.engines.engine_table import RAY
from tutelage.training.prediction.engines.selection import ChosenEngine, Say, choose_engine, classifier_on
from tutelage.training.prediction.job import PredictionJob, output_format, part_key
from tutelage.training.prediction.kept import Kept
from tutelage.training.prediction.outputs import STANDARD, OutputFormat, PartFiles, Predictions
from tutelage.training.prediction.windows import Window
from tutelage.training.registry import find_student

WINDOWS_A_ROUND = 256
"""Windows on disk at the same time: about four million short rows."""


@dataclass(frozen=True, kw_only=True)
class RayPlan:
    """Everything that a worker of the cluster needs."""

    students: Path
    student: str
    chosen: ChosenEngine
    out: Path
    style: OutputFormat
    key: str

    def parts(self) -> PartFiles:
        """The part files."""
        return PartFiles(self.out, self.style, self.key)


def predict_on_ray(
    job: PredictionJob, kept: Kept, work: tuple[list[str], Iterator[Window]], say: Say, progress: ProgressCallback
) -> tuple[ChosenEngine, PartFiles, int]:
    """Predict all windows on the cluster; returns the engine, the parts, and the number of rows done before.

    ``work`` are the first window's texts, for the check of the engine, and all windows.

    Raises
    ------
    StudentError
        When Ray is not installed or its cluster cannot be reached, or OUT is no file.
    """
    if job.out == STANDARD:
        raise StudentError("--engine ray: needs a file on storage that all machines share; pass one as OUT")
    with redirect_stdout(sys.stderr), _connected() as ray:  # Ray reports dead workers on standard output
        first, rows = work
        students = job.workspace.students.resolve()
        chosen = ray.get(
            ray.remote(_choose_remotely).options(**_worker_resources(ray)).remote(students, job.entry.id, first)
        )
        if chosen.agreement is not None:
            say(f"{chosen.name}: the same label as torch on {chosen.agreement:.1%} of {chosen.sample} texts")
        chosen = replace(chosen, name=f"{RAY}, {chosen.name}")
        out, about = Path(job.out).resolve(), output_format(job, chosen, kept)
        plan = RayPlan(
            students=students,
            student=job.entry.id,
            chosen=chosen,
            out=out,
            style=about,
            key=part_key(job, chosen),
        )
        parts = plan.parts()
        return chosen, parts, _run(ray, plan, parts, rows, progress)


@contextmanager
def _connected() -> Iterator[Any]:
    ray = _connect()
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect() -> Any:
    """Ray, connected to the cluster that RAY_ADDRESS names, else to one of this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
    try:
        import ray
    except ModuleNotFoundError:
        raise StudentError("--engine ray: ray is not installed; install it with: pip install 'tutelage[ray]'") from None
    try:
        ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        address = os.environ.get("RAY_ADDRESS", "a new cluster on this machine")
        raise StudentError(
            f"--engine ray: cannot connect to {address}: {error}; set RAY_ADDRESS, see docs/ray.md"
        ) from None
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.verbose_stats_logs = False, False
    return ray


def _worker_resources(ray: Any) -> dict[str, int]:
    """Resources of one worker: a GPU where the cluster has any, else a core."""
    return {"num_cpus": 1, "num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}


def _workers(ray: Any) -> int:
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU") or resources.get("CPU", 1)))


def _choose_remotely(students: Path, student: str, texts: list[str]) -> ChosenEngine:
    """Choose an engine on a worker, whose hardware may differ from the driver's."""
    entry = find_student(students, student)
    return choose_engine(entry.load(), entry.manifest.kind, entry.path, texts, "auto", lambda _words: None)[0]


def _run(ray: Any, plan: RayPlan, parts: PartFiles, rows: Iterator[Window], progress: ProgressCallback) -> int:
    """In rounds: write windows, predict those without a part, collect the parts. Returns the rows predicted before."""
    done = before = 0
    while round_ := [_handed_out(parts, window) for window in islice(rows, WINDOWS_A_ROUND)]:
        _predict_remotely(ray, plan, [str(handed.rows_file) for handed in round_ if handed.rows_file])
        for handed in round_:
            parts.append(handed.part)
            done += handed.rows
            before += 0 if handed.rows_file else handed.rows
        progress(Progress("predicting", done, unit="rows"))
    return before


@dataclass(frozen=True)
class _HandedOut:
    """A window on the storage: its part, and the file with its rows where the part is still to come."""

    part: Path
    rows: int
    rows_file: Path | None


def _handed_out(parts: PartFiles, window: Window) -> _HandedOut:
    written = None if parts.has(window) else _write_window(parts, window)
    return _HandedOut(parts.part(window), len(window.texts), written)


def _write_window(parts: PartFiles, window: Window) -> Path:
    """An Arrow file with the texts in its first column, then what is kept."""
    import pyarrow as pa

    path = parts.part(window).with_suffix(".rows")
    table = window.kept.add_column(0, "text", pa.array(window.texts, pa.large_string()))
    with replacing(path, public=True) as temporary, pa.ipc.new_file(temporary, table.schema) as file:
        file.write_table(table)
    return path


def _read_window(path: Path) -> tuple[list[str], Any]:
    import pyarrow as pa

    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    return table.column(0).to_pylist(), table.remove_column(0)


def _predict_remotely(ray: Any, plan: RayPlan, paths: list[str]) -> None:
    """One task per window; a task whose worker dies is retried on another."""
    if not paths:
        return
    windows = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=len(paths))
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=min(len(paths), _workers(ray)))
    results = windows.map_batches(
        Worker, fn_constructor_args=(plan,), batch_size=1, compute=pool, **_worker_resources(ray)
    )
    for _ in results.iter_batches(batch_size=None):
        pass


class Worker:
    """A process on the cluster, with the student on the chosen engine."""

    def __init__(self, plan: RayPlan) -> None:
        entry = find_student(plan.students, plan.student)
        self._parts = plan.parts()
        classifier = classifier_on(entry.load(), entry.manifest.kind, entry.path, plan.chosen.engine)
        self._classifier = calibrated(entry.manifest, classifier)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict the windows at these paths, except those that a dead worker has finished."""
        for path in map(Path, map(str, batch["path"])):
            if not path.with_suffix(".parquet").exists():
                texts, kept = _read_window(path)
                prepared = self._classifier.prepare(texts)
                predictions = Predictions(self._classifier.compute(prepared), truncated(prepared))
                self._parts.write(path.with_suffix(".parquet"), kept, predictions)
            path.unlink(missing_ok=True)
        return batch
