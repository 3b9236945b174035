"""``predict --engine ray``: windows of rows over the machines of a Ray cluster, through Ray Data.

The driver reads the source and lays each window beside the parts; actors on the cluster predict
windows and write parts; the driver joins them. OUT's folder and the task directory must lie where
every machine sees them under the same path. See ``docs/ray.md``.
"""

from __future__ import annotations

import json
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
from tutelage.core.files import write_text
from tutelage.core.records import Progress, ProgressCallback
from tutelage.training.prediction.engines.engine_table import RAY
from tutelage.training.prediction.engines.selection import ChosenEngine, Say, choose_engine, classifier_on
from tutelage.training.prediction.job import PredictionJob, output_format, part_key
from tutelage.training.prediction.outputs import STANDARD, OutputFormat, PartFiles
from tutelage.training.prediction.windows import Window
from tutelage.training.registry import find_student

WINDOWS_A_ROUND = 256
"""How many windows lie on disk at once: about four million short rows."""


@dataclass(frozen=True)
class Plan:
    """All that a machine of the cluster needs to know."""

    students: Path
    student: str
    chosen: ChosenEngine
    out: Path
    style: OutputFormat
    key: str

    def parts(self) -> PartFiles:
        """Where parts are written."""
        return PartFiles(self.out, self.style, self.key)


def predict_on_ray(
    job: PredictionJob, first: list[str], rows: Iterator[Window], say: Say, progress: ProgressCallback
) -> tuple[ChosenEngine, PartFiles, int]:
    """Predict all windows on the cluster; returns the engine, the parts, and the rows that were kept.

    Raises
    ------
    StudentError
        When Ray is not installed or its cluster cannot be reached, or OUT is no file.
    """
    if job.out == STANDARD:
        raise StudentError("--engine ray: writes a file on storage that all machines share; name one as OUT")
    with redirect_stdout(sys.stderr), _connected() as ray:  # Ray tells of dead workers on standard output
        students = job.workspace.students.resolve()
        chosen = ray.get(ray.remote(_choose_there).options(**_share(ray)).remote(students, job.entry.id, first))
        if chosen.agreement is not None:
            say(f"{chosen.name}: the same label as torch on {chosen.agreement:.1%} of {chosen.sample} texts")
        chosen = replace(chosen, name=f"{RAY}, {chosen.name}")
        out, about = Path(job.out).resolve(), output_format(job.entry, chosen)
        plan = Plan(students, job.entry.id, chosen, out, about, part_key(job.entry, chosen))
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
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ModuleNotFoundError:
        raise StudentError("--engine ray: ray is not installed; install it with: pip install 'tutelage[ray]'") from None
    try:
        ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        address = os.environ.get("RAY_ADDRESS", "a new one on this machine")
        raise StudentError(
            f"--engine ray: no cluster at {address}: {error}; set RAY_ADDRESS, see docs/ray.md"
        ) from None
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.verbose_stats_logs = False, False
    return ray


def _share(ray: Any) -> dict[str, int]:
    """What one worker takes: a GPU where the cluster has some, else a core."""
    return {"num_cpus": 1, "num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}


def _workers(ray: Any) -> int:
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU") or resources.get("CPU", 1)))


def _choose_there(students: Path, student: str, texts: list[str]) -> ChosenEngine:
    """Choose on a machine of the cluster, which may have other processors than the driver's."""
    entry = find_student(students, student)
    return choose_engine(entry.load(), entry.manifest.kind, entry.path, texts, "auto", lambda _words: None)[0]


def _run(ray: Any, plan: Plan, parts: PartFiles, rows: Iterator[Window], progress: ProgressCallback) -> int:
    """Round after round: lay windows down, predict those without a part, take the parts. Returns the rows kept."""
    done = kept = 0
    while round_ := list(islice(rows, WINDOWS_A_ROUND)):
        missing = [window for window in round_ if not parts.has(window)]
        _predict_there(ray, plan, [_lay_down(parts, window) for window in missing])
        for window in round_:
            parts.add(window, None)
        done += sum(len(window.ids) for window in round_)
        kept += sum(len(window.ids) for window in round_) - sum(len(window.ids) for window in missing)
        progress(Progress("predicting", done, unit="rows"))
    return kept


def _lay_down(parts: PartFiles, window: Window) -> str:
    path = parts.part(window).with_suffix(".rows")
    write_text(path, json.dumps([window.number, window.ids, window.texts]))
    return str(path)


def _predict_there(ray: Any, plan: Plan, paths: list[str]) -> None:
    """One task a window; a task whose worker dies is given to another."""
    if not paths:
        return
    windows = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=len(paths))
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=min(len(paths), _workers(ray)))
    done = windows.map_batches(Worker, fn_constructor_args=(plan,), batch_size=1, compute=pool, **_share(ray))
    for _ in done.iter_batches(batch_size=None):
        pass


class Worker:
    """A process on the cluster that holds the student on the chosen engine."""

    def __init__(self, plan: Plan) -> None:
        entry = find_student(plan.students, plan.student)
        self._parts = plan.parts()
        self._classifier = classifier_on(entry.load(), entry.manifest.kind, entry.path, plan.chosen.engine)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict the windows that lie at these paths; one that a dead worker had finished is left alone."""
        for path in map(Path, map(str, batch["path"])):
            if not path.with_suffix(".parquet").exists():
                number, ids, texts = json.loads(path.read_text("utf-8"))
                probs = self._classifier.compute(self._classifier.prepare(texts))
                self._parts.write(Window(number, tuple(ids), tuple(texts)), probs)
            path.unlink(missing_ok=True)
        return batch
