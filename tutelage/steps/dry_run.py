"""What a run of the periodic job would do: its reading steps, on a copy of what they would change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tutelage.core.locks import is_locked
from tutelage.core.records import ProgressCallback, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import was_pushed
from tutelage.feedback.curate import Curated, is_final
from tutelage.feedback.snapshot import MANIFEST, frozen_id
from tutelage.steps.backup import copy_database
from tutelage.steps.night import (
    Answers,
    answers_in,
    champion_of,
    changed,
    check_same_argilla,
    has_activity,
    judged,
    latest_snapshot,
    load_sources,
    look,
)
from tutelage.steps.results import Retrained, RetrainPlan
from tutelage.steps.retrain import LOCK
from tutelage.views.history import read_history

if TYPE_CHECKING:
    from tutelage.steps.review.loop import Loop

OpenLoopOn = Callable[[Workspace, bool], AbstractContextManager["Loop"]]
"""Opens the loop of a task, with Argilla or without."""


@dataclass(frozen=True)
class _Copy(Workspace):
    """The task, with the files that loading and reading answers write in another directory."""

    folder: Path

    @property
    def db(self) -> Path:
        return self.folder / super().db.name

    @property
    def rejects(self) -> Path:
        return self.folder / super().rejects.name


@dataclass(frozen=True)
class _Ahead:
    """What a run would freeze: the snapshot's id, the finished answers in it, and whether it is new."""

    snapshot: str
    answers: Answers
    is_new: bool = False


def plan_retrain(
    workspace: Workspace,
    open_loop: OpenLoopOn,
    *,
    another_argilla: bool = False,
    progress: ProgressCallback = unreported,
) -> RetrainPlan:
    """See ``Project.plan_retrain``; nothing is written in the task directory or on Argilla."""
    past, now = read_history(workspace.root), Retrained()
    with TemporaryDirectory(prefix="tutelage-") as folder:
        copy = _Copy(workspace.root, Path(folder))
        if workspace.db.exists():
            copy_database(workspace.db, copy.db)
        with suppress(FileNotFoundError):
            copyfile(workspace.rejects, copy.rejects)
        now.new_texts, now.problems = load_sources(copy, progress)
        with open_loop(copy, was_pushed(copy.db)) as loop:
            look(loop, now)
            if not another_argilla:
                check_same_argilla(now, past)
            is_active = has_activity(now, past)
            ahead = _frozen(workspace) if not (is_active or now.new_texts) else None
            ahead = ahead or _unfrozen(workspace, loop)
    before = judged(workspace, past)
    now.new_answers = changed(answers_in(workspace, before) if before else {}, ahead.answers)
    trains = now.new_answers >= workspace.task.retrain.min_new
    champion = champion_of(workspace)
    removes = _removes(workspace, [ahead.snapshot, before], students=int(trains), snapshots=int(ahead.is_new))
    return RetrainPlan(
        new_texts=now.new_texts,
        new_answers=now.new_answers,
        activity=is_active,
        trains=trains,
        champion=champion.id if champion else None,
        removes=removes,
        busy=is_locked(workspace.root / LOCK),
        problems=now.problems,
        message=_message(workspace, now, len(removes), trains=trains),
    )


def _frozen(workspace: Workspace) -> _Ahead | None:
    """The newest snapshot, which a quiet run takes; None where it is not there any more."""
    name = latest_snapshot(workspace)
    return _Ahead(name, answers_in(workspace, name)) if name else None


def _unfrozen(workspace: Workspace, loop: Loop) -> _Ahead:
    curated = loop.curated()
    name = frozen_id(workspace.snapshots, workspace.task, curated)
    is_new = not (workspace.snapshots / name / MANIFEST).exists()
    return _Ahead(name, _finished(curated), is_new)


def _finished(curated: Iterable[Curated]) -> Answers:
    return {
        (item.record.id, one.user_id): (one.status, one.label or "")
        for item in curated
        for one in item.responses
        if is_final(one)
    }


def _removes(workspace: Workspace, needed: Iterable[str | None], *, students: int, snapshots: int) -> list[str]:
    from tutelage.training.retention import expendable

    keep = workspace.task.retrain.keep
    if keep is None:
        return []
    return expendable(workspace, keep, needed=filter(None, needed), coming=(students, snapshots))


def _message(workspace: Workspace, now: Retrained, removed: int, *, trains: bool) -> str:
    least = workspace.task.retrain.min_new
    then = "a challenger would be trained" if trains else f"fewer than {least}, so nothing would be trained"
    gone = f"; {removed} of the past would be deleted" if removed else ""
    return f"{now.new_texts} new texts and {now.new_answers} new answers: {then}{gone}"
