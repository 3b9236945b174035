"""The periodic job: new texts and answers in, a challenger trained, the champion changed only for a better one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tutelage.core.errors import SnapshotError, TutelageError
from tutelage.core.files import open_itself
from tutelage.core.locks import locked
from tutelage.core.records import ProgressCallback, unreported
from tutelage.core.task import TextFile
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.ledger import FILE
from tutelage.training.measures.gate import GateDecision
from tutelage.views.history import HISTORY, read_history

if TYPE_CHECKING:
    from tutelage.steps.loop import Loop
    from tutelage.training.evaluation.gold_set import GoldSet
    from tutelage.training.registry import Entry

LOCK = "retrain.lock"
GOLD_WEARS_OUT = 20
"""Decisions on the same gold after which its figure for the champion is said to be too high."""
NOTIFY_SECONDS = 60
_STDERR = 2
Outcome = Literal["promoted", "kept", "nothing_new", "busy", "no_holdout", "failed"]


@dataclass(kw_only=True)
class Retrained:
    """What the job did; a line of ``history.jsonl``.

    Parameters
    ----------
    outcome, message
        What came of it, and the same in one line.
    at, took_s
        When it began, in ISO 8601, and the seconds that it took.
    new_texts, new_answers
        Records that were loaded; people's answers since the snapshot that was last judged.
    server, dataset, activity, filed
        Where people answer, when Argilla last saw an answer there, and when the last one came in a file.
    snapshot, challenger, champion
        What was trained on, what was trained, and the champion afterwards.
    gate
        What decided; None where nothing was compared.
    gold, decisions
        A hash of the holdout's rows, and how often they have decided, this time included.
    problems
        What did not work and did not end the job.
    """

    outcome: Outcome = "failed"
    message: str = ""
    at: str = ""
    took_s: float = 0.0
    new_texts: int = 0
    new_answers: int = 0
    server: str = ""
    dataset: str = ""
    activity: str = ""
    filed: str = ""
    snapshot: str | None = None
    challenger: str | None = None
    champion: str | None = None
    gate: GateDecision | None = None
    gold: str = ""
    decisions: int = 0
    problems: list[str] = field(default_factory=list)


class _BusyError(Exception):
    """Another process holds the lock."""


OpenLoop = Callable[[], AbstractContextManager["Loop"]]


def retrain(
    workspace: Workspace,
    open_loop: OpenLoop,
    *,
    another_argilla: bool = False,
    progress: ProgressCallback = unreported,
) -> Retrained:
    """One run of the job; see ``Project.retrain``. ``open_loop`` signs in to Argilla."""
    job, began = Retrained(at=datetime.now(UTC).isoformat(timespec="seconds")), time.monotonic()
    root = workspace.root
    try:
        with _alone(root / LOCK):
            _Night(workspace, open_loop, job, progress).run(another_argilla=another_argilla)
    except _BusyError as holder:
        job.outcome, job.message = "busy", f"process {holder} is retraining this task"
    except (TutelageError, OSError) as error:
        job.outcome, job.message = "failed", str(error)
    except BaseException as error:
        job.outcome, job.message = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        job.took_s = round(time.monotonic() - began, 1)
        _write_down(root / HISTORY, job)
        _notify(workspace, job)
    return job


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    def refuse(holder: str) -> None:
        raise _BusyError(holder)

    with locked(path, on_wait=refuse):
        yield


class _Night:
    """The steps, in order; each can be killed and is done again by the next run."""

    def __init__(self, workspace: Workspace, open_loop: OpenLoop, job: Retrained, progress: ProgressCallback) -> None:
        self._workspace, self._open_loop, self._job, self._progress = workspace, open_loop, job, progress
        self._options = workspace.task.retrain
        os.close(_opened(workspace.root / HISTORY))  # where no line can be written, nothing is done
        self._past = read_history(workspace.root)

    def run(self, *, another_argilla: bool) -> None:
        job = self._job
        new_votes = self._load()
        with self._open_loop() as loop:
            self._pull(loop, new=job.new_texts + new_votes, another_argilla=another_argilla)
            job.champion = self._champion.id if self._champion else None
            job.new_answers = _answers_since(self._workspace, self._judged(), job.snapshot)
            if job.new_answers < self._options.min_new:
                job.outcome = "nothing_new"
                job.message = f"{job.new_answers} new answers, fewer than {self._options.min_new}"
            else:
                self._challenge()
            self._send(loop)

    def _send(self, loop: Loop) -> None:
        """Bring Argilla up to date, also with what a run that failed or was killed did not send."""
        job = self._job
        has_failed = bool(self._past and self._past[-1]["outcome"] == "failed")
        try:
            if loop.push().sent or job.challenger or has_failed:
                loop.rank()
        except TutelageError as error:
            if not job.challenger:
                raise
            job.problems.append(str(error))  # what was decided before stays decided

    def _load(self) -> int:
        """Load the task's sources, and have the teachers asked where the task says so; returns the new votes."""
        for source in self._workspace.task.sources:
            for name in self._files(source):
                self._job.new_texts += self._or_problem(partial(self._load_one, source, name))
        return self._or_problem(self._annotate) if self._options.new_texts == "teacher" else 0

    def _or_problem(self, step: Callable[[], int]) -> int:
        """What a step brings; where it fails that is a problem, and the rest goes on."""
        try:
            return step()
        except TutelageError as error:
            self._job.problems.append(str(error))
            return 0

    def _annotate(self) -> int:
        from tutelage.loaders.teacher.session import Session

        return Session.of(self._workspace).run(budget=self._options.budget, progress=self._progress).votes

    def _load_one(self, source: TextFile, name: str) -> int:
        from tutelage.loaders.load import Columns, load
        from tutelage.loaders.sources import Source

        read, columns = Source(name, source.encoding, source.split), Columns(text=source.text, id=source.id)
        return load(self._workspace, read, columns, keep_empty=False, progress=self._progress).new

    def _files(self, source: TextFile) -> Sequence[str]:
        """The files that a pattern matches; the file itself where it is none."""
        if source.file.startswith("hf://"):
            return [source.file]
        if not set("*?[") & set(source.file):
            return [str(self._workspace.root / source.file)]
        return sorted(map(str, self._workspace.root.glob(source.file)))

    def _pull(self, loop: Loop, *, new: int, another_argilla: bool) -> None:
        """People's answers, which are read only where Argilla has seen any since the last time."""
        job, dataset = self._job, loop.dataset()
        job.server, job.dataset, job.activity = dataset.remote.url, dataset.id, dataset.activity()
        job.filed = max((one.updated_at.isoformat() for one in loop.ledger.responses(FILE)), default="")
        last = next((line for line in reversed(self._past) if line["snapshot"]), None)
        if last and (job.server, job.dataset) != (last["server"], last["dataset"]) and not another_argilla:
            raise TutelageError(
                f"the answers are in dataset {job.dataset} at {job.server} now, last time in {last['dataset']} at "
                f"{last['server']}; if that is meant, run once: tutelage retrain --another-argilla"
            )
        seen = (last["activity"], last.get("filed", "")) if last else None
        is_quiet = seen == (job.activity, job.filed) and not new
        job.snapshot = (self._newest_snapshot() if is_quiet else None) or loop.pull().snapshot

    def _newest_snapshot(self) -> str | None:
        try:
            return load_snapshot(self._workspace.snapshots).id
        except SnapshotError:  # it was removed, or is damaged: another is pulled
            return None

    @property
    def _champion(self) -> Entry | None:
        from tutelage.training.registry import CHAMPION, champion_id, find_student

        students = self._workspace.students
        return find_student(students, CHAMPION) if champion_id(students) else None

    def _judged(self) -> str | None:
        """The snapshot whose student was last judged.

        It is the champion's where that was promoted in another way, or in a run that was killed before its line.
        """
        champion = self._champion
        last = next((line for line in reversed(self._past) if line["challenger"]), None)
        if last and (champion is None or last["champion"] == champion.id):
            return str(last["snapshot"])
        return champion.manifest.snapshot if champion else None

    def _challenge(self) -> None:
        from tutelage.training.evaluation.gold_set import find_holdout
        from tutelage.training.train import train

        job, champion = self._job, self._champion
        recipe = champion.manifest.recipe if champion else self._workspace.task.student
        trained = train(self._workspace, recipe, snapshot=job.snapshot, progress=self._progress)
        job.challenger = trained.id
        holdout = find_holdout(self._workspace)
        if holdout is None:
            job.outcome = "no_holdout"
            job.message = (
                f"{trained.id} is trained and not compared: the task has no holdout with gold labels "
                "(set holdout in task.yaml and bring gold labels with tutelage load --gold)"
            )
        elif champion is None:
            self._promote(f"{trained.id} is the first champion")
        else:
            self._judge(champion, holdout)

    def _judge(self, champion: Entry, holdout: GoldSet) -> None:
        from tutelage.training.evaluation.promotion import compare_with_champion
        from tutelage.training.registry import find_student

        job = self._job
        challenger = find_student(self._workspace.students, job.challenger or "")
        job.gate = compare_with_champion(self._workspace, champion, challenger, holdout, margin=self._options.margin)
        job.gold = holdout.digest
        job.decisions = 1 + sum(line.get("gold") == job.gold for line in self._past)
        if job.decisions > GOLD_WEARS_OUT:
            job.problems.append(
                f"the same {len(holdout.items)} gold rows have decided {job.decisions} times, so the champion looks "
                "better on them than it is; bring new gold labels"
            )
        if job.gate.promoted:
            self._promote(f"{challenger.id} replaces {champion.id}: {job.gate.reason}")
        else:
            job.outcome, job.message = "kept", f"{champion.id} stays: {challenger.id}: {job.gate.reason}"

    def _promote(self, message: str) -> None:
        from tutelage.training.registry import promote_student

        job = self._job
        job.champion = promote_student(self._workspace.students, job.challenger or "", why=f"retrain: {message}").id
        job.outcome, job.message = "promoted", message


def _answers_since(workspace: Workspace, judged: str | None, snapshot: str | None) -> int:
    """How many finished answers of a snapshot are new or different since another one."""
    before = _answers(workspace, judged) if judged else {}
    now = _answers(workspace, snapshot)
    return sum(before.get(key) != answer for key, answer in now.items())


def _answers(workspace: Workspace, snapshot: str | None) -> dict[tuple[str, str], tuple[str, str]]:
    try:
        frame = load_snapshot(workspace.snapshots, snapshot).frame()
    except SnapshotError:
        return {}
    return {
        (record_id, one["user_id"]): (one["status"], one["label"] or "")
        for record_id, responses in zip(frame["id"], frame["responses"], strict=True)
        for one in responses
        if one["status"] != "draft" and one["state"] != "withdrawn"
    }


def _write_down(path: Path, job: Retrained) -> None:
    try:
        _append(path, asdict(job))
    except (OSError, TutelageError) as error:
        job.problems.append(f"the line could not be written: {error}")


def _opened(path: Path) -> int:
    return open_itself(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)


def _append(path: Path, line: dict[str, Any]) -> None:
    with os.fdopen(_opened(path), "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        cut = size and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write(b"\n" * bool(cut) + json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _notify(workspace: Workspace, job: Retrained) -> None:
    """Run the task's command with the result as JSON on its standard input; its failure is not the job's."""
    if job.outcome not in {"failed", "promoted"}:
        return
    try:
        command = shlex.split(workspace.task.retrain.notify)
        if command:
            said = json.dumps(asdict(job)).encode()
            root, out = workspace.root, _STDERR  # --json prints one object and nothing else
            subprocess.run(command, input=said, cwd=root, stdout=out, timeout=NOTIFY_SECONDS, check=True)
    except (OSError, ValueError, subprocess.SubprocessError, TutelageError) as error:
        job.problems.append(f"notify: {error}")
