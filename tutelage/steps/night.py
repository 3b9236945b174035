"""One run of the periodic job, step by step; each can be killed and is done again by the next run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from tutelage.core.errors import SnapshotError, TutelageError
from tutelage.core.records import CHECKPOINT_SAVED, Progress, ProgressCallback
from tutelage.core.task import TextFile
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import was_pushed
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.ledger import FILE
from tutelage.steps.results import Retrained
from tutelage.views.history import read_history

if TYPE_CHECKING:
    from tutelage.steps.review.loop import Loop
    from tutelage.training.evaluation.gold_set import GoldSet
    from tutelage.training.registry import Entry

T = TypeVar("T")
OpenLoop = Callable[[bool], AbstractContextManager["Loop"]]
"""Opens the task's loop, with Argilla or without."""

GOLD_WEARS_OUT = 20
"""Decisions on the same gold after which its figure for the champion is said to be too high."""


class OutOfTimeError(Exception):
    """The run has taken as long as it may."""


class TimeLimit:
    """How long a run may take; it is looked at where nothing is lost: between steps and at a training's checkpoints."""

    def __init__(self, seconds: float | None, progress: ProgressCallback) -> None:
        self._seconds, self._progress = seconds, progress
        self._began = monotonic()

    def check(self, step: str) -> None:
        """End the run here where its time is over; ``step`` is what it has just done."""
        if self._seconds is not None and monotonic() - self._began > self._seconds:
            raise OutOfTimeError(
                f"the time limit of {self._seconds:.0f} s was reached ({step}); nothing is lost, the next run goes on"
            )

    def progress(self, state: Progress) -> None:
        """Say how far a step is."""
        self._progress(state)
        if state is CHECKPOINT_SAVED:
            self.check("in training, at a checkpoint")


class Night:
    """What a run does, in order; ``job`` takes what came of it."""

    def __init__(self, workspace: Workspace, open_loop: OpenLoop, job: Retrained, limit: TimeLimit) -> None:
        self._workspace, self._open_loop, self._job, self._limit = workspace, open_loop, job, limit
        self._options, self._progress = workspace.task.retrain, limit.progress
        self._past = read_history(workspace.root)

    def run(self, *, another_argilla: bool) -> None:
        """Do it."""
        job = self._job
        new_votes = self._load()
        self._limit.check("after loading")
        with self._open_loop(was_pushed(self._workspace.db)) as loop:
            self._pull(loop, new=job.new_texts + new_votes, another_argilla=another_argilla)
            self._limit.check("after reading the answers")
            champion = champion_of(self._workspace)
            job.champion = champion.id if champion else None
            job.drift = self._drift(champion)
            before = judged(self._workspace, self._past)
            known = answers_in(self._workspace, before) if before else {}
            job.new_answers = changed(known, answers_in(self._workspace, job.snapshot))
            if job.new_answers < self._options.min_new:
                job.outcome = "nothing_new"
                job.message = f"{job.new_answers} new answers, fewer than {self._options.min_new}"
            else:
                self._challenge(champion)
            self._send(loop)
        if job.challenger:
            job.report = self._or_problem(self._report, "")
        self._clear()

    # New texts

    def _load(self) -> int:
        """Load the task's sources, and have the teachers asked where the task says so; returns the new votes."""
        self._job.new_texts, problems = load_sources(self._workspace, self._progress)
        self._job.problems += problems
        return self._or_problem(self._annotate, 0) if self._options.new_texts == "teacher" else 0

    def _or_problem(self, step: Callable[[], T], otherwise: T) -> T:
        """What a step brings; where it fails that is a problem, and the rest goes on."""
        try:
            return step()
        except OutOfTimeError:
            raise
        except (TutelageError, OSError) as error:
            self._job.problems.append(str(error))
        except Exception as error:  # whatever breaks beside it, what is decided stays decided
            self._job.problems.append(f"{type(error).__name__}: {error}")
        return otherwise

    def _annotate(self) -> int:
        from tutelage.loaders.teacher.session import Session

        return Session.of(self._workspace).run(budget=self._options.budget, progress=self._progress).votes

    # Answers

    def _pull(self, loop: Loop, *, new: int, another_argilla: bool) -> None:
        """People's answers, which are read only where some came since the last time."""
        job = self._job
        look(loop, job)
        if not another_argilla:
            check_same_argilla(job, self._past)
        is_quiet = not has_activity(job, self._past) and not new
        job.snapshot = (latest_snapshot(self._workspace) if is_quiet else None) or loop.pull().snapshot

    def _drift(self, champion: Entry | None) -> Any:
        from tutelage.training.evaluation.predicted_drift import drift_since_snapshot

        if champion is None:
            return None
        return self._or_problem(partial(drift_since_snapshot, self._workspace, champion, progress=self._progress), None)

    # The challenger

    def _challenge(self, champion: Entry | None) -> None:
        from tutelage.training.evaluation.gold_set import find_holdout
        from tutelage.training.train import train

        job = self._job
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

    # Afterwards

    def _send(self, loop: Loop) -> None:
        """Bring Argilla and the ranking up to date, also with what an earlier run did not get to."""
        job = self._job
        try:
            champion = self._or_problem(self._trusted_champion, None)
            if champion and self._options.new_texts == "student":
                job.proposed = loop.propose(champion)
            sent = loop.push().sent if loop.argilla else job.new_texts + job.new_answers + job.proposed
            self._limit.check("before the ranking")
            if sent or job.challenger or self._owes():
                loop.rank(champion=champion)
            job.sent = True
        except (TutelageError, OutOfTimeError) as error:
            if not job.challenger:
                raise
            job.problems.append(str(error))  # what was decided before stays decided

    def _trusted_champion(self) -> Entry | None:
        """The champion, where it has the task's labels and its training texts are known."""
        champion = champion_of(self._workspace)
        if champion:
            champion.manifest.check_labels(self._workspace.task.label_names)
            champion.seen()
        return champion

    def _owes(self) -> bool:
        """Whether the last run that worked at all did not send and rank."""
        last = next((line for line in reversed(self._past) if line["outcome"] != "busy"), None)
        return last is not None and not last.get("sent", last["outcome"] != "failed")

    def _report(self) -> str:
        from tutelage.report.page import write_page

        return write_page(self._workspace, run=asdict(self._job), progress=self._progress).path

    def _clear(self) -> None:
        from tutelage.training.retention import clear, expendable

        workspace, keep = self._workspace, self._options.keep
        if keep is None:
            return
        needed = {self._job.snapshot, judged(workspace, self._past)}

        def delete() -> list[str]:
            return clear(workspace, expendable(workspace, keep, needed=filter(None, needed)))

        self._job.removed = self._or_problem(delete, [])


def load_sources(workspace: Workspace, progress: ProgressCallback) -> tuple[int, list[str]]:
    """Load the task's sources; returns how many texts are new, and what failed, which does not end it."""
    new, problems = 0, list[str]()
    for source in workspace.task.sources:
        for name in _files(workspace, source):
            try:
                new += _load_file(workspace, source, name, problems, progress)
            except TutelageError as error:
                problems.append(str(error))
    return new, problems


def _load_file(
    workspace: Workspace, source: TextFile, name: str, problems: list[str], progress: ProgressCallback
) -> int:
    """How many texts of a file are new; rows that cannot be used are told once, when they come."""
    from tutelage.loaders.load import Columns, load, rejects_size
    from tutelage.loaders.sources import Source, is_being_written

    if is_being_written(Path(name)):
        problems.append(
            f"{name}: is still being written, it seems: it was changed a moment ago and its last line has no end; "
            "a later run loads it"
        )
        return 0
    before = rejects_size(workspace)
    read, columns = Source(name, source.encoding, source.split), Columns(text=source.text, id=source.id)
    done = load(workspace, read, columns, keep_empty=False, progress=progress)
    if rejects_size(workspace) > before:
        problems.append(f"{name}: has rows that cannot be used, {done.rejected} in all; rejects.jsonl says why")
    return done.new


def _files(workspace: Workspace, source: TextFile) -> Sequence[str]:
    """The files that a pattern matches; the file itself where it is none."""
    if source.file.startswith("hf://"):
        return [source.file]
    if not set("*?[") & set(source.file):
        return [str(workspace.root / source.file)]
    return sorted(map(str, workspace.root.glob(source.file)))


def look(loop: Loop, job: Retrained) -> None:
    """Note where people answer and when the last answer came; without Argilla, in a file."""
    if loop.argilla:
        dataset = loop.dataset()
        job.server, job.dataset, job.activity = dataset.remote.url, dataset.id, dataset.activity()
    job.filed = max((one.updated_at.isoformat() for one in loop.ledger.responses(FILE)), default="")


def check_same_argilla(job: Retrained, past: Sequence[dict[str, Any]]) -> None:
    """Refuse another server or dataset than that of the last run that had one."""
    last = next((line for line in reversed(past) if line["snapshot"] and line["server"]), None)
    if last and job.server and (job.server, job.dataset) != (last["server"], last["dataset"]):
        raise TutelageError(
            f"the answers are in dataset {job.dataset} at {job.server} now, last time in {last['dataset']} at "
            f"{last['server']}; if that is meant, run once: tutelage retrain --another-argilla"
        )


def has_activity(job: Retrained, past: Sequence[dict[str, Any]]) -> bool:
    """Whether answers came, on Argilla or in a file, since the last run that looked."""
    last = next((line for line in reversed(past) if line["snapshot"]), None)
    return last is None or (last["activity"], last.get("filed", "")) != (job.activity, job.filed)


def champion_of(workspace: Workspace) -> Entry | None:
    """The champion; None before the first."""
    from tutelage.training.registry import CHAMPION, champion_id, find_student

    students = workspace.students
    return find_student(students, CHAMPION) if champion_id(students) else None


def judged(workspace: Workspace, past: Sequence[dict[str, Any]]) -> str | None:
    """The snapshot whose student was last judged; a run that failed may have ended before that.

    It is the champion's where that was promoted in another way, or in a run that was killed before its line.
    """
    champion = champion_of(workspace)
    last = next((line for line in reversed(past) if line["challenger"] and line["outcome"] != "failed"), None)
    if last and (champion is None or last["champion"] == champion.id):
        return str(last["snapshot"])
    return champion.manifest.snapshot if champion else None


def latest_snapshot(workspace: Workspace) -> str | None:
    """The newest snapshot's id; None where there is none, or it was removed or is damaged."""
    try:
        return load_snapshot(workspace.snapshots).id
    except SnapshotError:
        return None


Answers = dict[tuple[str, str], tuple[str, str]]
"""Status and label by record and person."""


def changed(before: Answers, now: Answers) -> int:
    """How many answers are new or different."""
    return sum(before.get(key) != answer for key, answer in now.items())


def answers_in(workspace: Workspace, snapshot: str | None) -> Answers:
    """The finished answers of a snapshot; none where there is no such snapshot."""
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
