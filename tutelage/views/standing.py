"""Where a task stands, as data, and the step that comes next: the one place that knows the order of the loop."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tutelage.core.records import RankedBy
from tutelage.loaders.teacher.teacher_ledger import Spent

ArgillaState = Literal["up", "down", "silent"]
Words = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StudentSummary:
    """A student.

    Parameters
    ----------
    id, kind, model
        Its name, the kind of student, and the model that it started from.
    rows, snapshot
        On how many texts of which snapshot it was trained.
    created_at
        When, in ISO 8601.
    """

    id: str
    kind: str
    model: str
    rows: int
    snapshot: str
    created_at: str


@dataclass(frozen=True)
class LabelChange:
    """How many records people gave another label than the suggested one that they saw."""

    suggested: str
    label: str
    records: int


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What is older than what it is made of; zeros and False where all is up to date.

    Parameters
    ----------
    unsent
        Records that Argilla does not have yet, or with other votes or another suggestion.
    misplaced
        Records whose place in the queue on Argilla is not the one that the last ranking gave them.
    unpulled
        Answers on Argilla that were not pulled; None where Argilla was not asked or did not answer.
    ranks
        Records that were settled or came in since the last ranking.
    snapshot
        Records whose label in the newest snapshot is no longer what answers and votes say.
    student
        Whether the newest student was trained on an older snapshot than the newest.
    evaluation
        Whether the newest student was neither evaluated nor compared with the champion by ``retrain``.
    """

    unsent: int
    misplaced: int
    unpulled: int | None
    ranks: int
    snapshot: int
    student: bool
    evaluation: bool


@dataclass(frozen=True)
class LastRun:
    """The newest run of the periodic job: when it began, in ISO 8601, its outcome, and the same in one line."""

    began_at: str
    outcome: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a task stands.

    Parameters
    ----------
    task
        Its name.
    records, votes, abstentions
        How many there are; abstentions are votes that name no label.
    without_suggestion, ties
        Records that nothing is suggested for, and those whose suggestion is one of several equals.
    ranked
        Records that have a suspect rank.
    by_status
        Records that are pending, reviewed, discarded or tied; held-out ones are none of these.
    snapshot
        The newest one's id; None before the first.
    students, champion
        The newest last; the champion's id.
    spent
        What each vote of each teacher's prompt cost so far.
    settled, pending, held_out
        Records that need no more review, that do, and that are held out of it: together all records.
    answers
        Finished answers that were pulled, of records that are not held out.
    kept, changes
        Reviewed records for which people saw a suggestion: how many kept it, and from which label to which the
        others were changed, the most frequent change first.
    without_vote, teachers
        Records with neither a vote nor a given label; teachers of the task file that can be asked.
    has_gold
        Whether there are held-out records and gold labels to measure a student on.
    argilla, link
        ``up``, ``down``, or ``silent``: it does not answer; and what opens the queue, the worst record first.
    behind
        What is older than what it is made of.
    beats_champion
        Whether the newest student was found better than the champion, and has never been it.
    last_run
        The newest run of ``retrain``; None before the first.
    ranked_by
        What the last ranking was made of; None before the first.
    in_files
        Whether people's answers came from files, and nothing was ever pushed to an Argilla.
    next
        The command that comes next, to be pasted.
    """

    task: str
    records: int
    votes: int
    abstentions: int
    without_suggestion: int
    ties: int
    ranked: int
    by_status: dict[str, int]
    snapshot: str | None
    students: tuple[StudentSummary, ...]
    champion: str | None
    spent: tuple[Spent, ...]
    settled: int
    pending: int
    held_out: int
    answers: int
    kept: int
    changes: tuple[LabelChange, ...]
    without_vote: int
    teachers: int
    has_gold: bool
    argilla: ArgillaState
    link: str | None
    behind: Behind
    beats_champion: bool
    last_run: LastRun | None = None
    ranked_by: RankedBy | None = None
    in_files: bool = False
    next: str = ""


@dataclass(frozen=True)
class NextStep:
    """What comes next: the words of a command, and whether people's review comes before it."""

    words: Words
    review: bool = False

    def command(self, directory: Path) -> str:
        """The command as it can be pasted; ``--task`` where the directory is not the current one."""
        task = [] if directory == Path() or self.words[0] == "up" else ["--task", str(directory)]
        return shlex.join(["tutelage", *self.words, *task])


FIRST = ("load", "texts.csv")
"""What comes before all else."""

_ON_ARGILLA = {"push", "rank", "pull"}


def find_next_step(now: Status, after: Sequence[str] = ()) -> NextStep:
    """The step that comes next.

    Parameters
    ----------
    now
        Where the task stands.
    after
        The words of the command that has just ended, such as ``("annotate", "--plan")``.
    """
    done = after[0] if after else ""
    step = _get_labels(now, after) or _get_answers(now, done) or _get_student(now, done)
    if now.argilla == "down" and step.words[0] in _ON_ARGILLA:
        return _without_argilla(step) if now.in_files else NextStep(("up",))
    return step


def _without_argilla(step: NextStep) -> NextStep:
    """The same step on what the task directory holds."""
    return NextStep(("rank", "--no-push")) if step.words == ("rank",) else step


def _get_labels(now: Status, after: Sequence[str]) -> NextStep | None:
    """Texts and the teachers' votes."""
    if not now.records:
        return NextStep(FIRST)
    some_are_there = now.without_vote < now.records
    by_hand = not now.teachers and bool(some_are_there or now.link or now.ranked)
    if not now.without_vote or by_hand or (some_are_there and after == ("annotate",)):
        return None
    return NextStep(("annotate",) if {"--plan", "--pilot"} & set(after) else ("annotate", "--plan"))


def _get_answers(now: Status, done: str) -> NextStep | None:
    """Suggestions to people, and their answers back."""
    if now.in_files and now.argilla == "down":
        return NextStep(("pull",)) if now.snapshot is None or now.behind.snapshot else None
    unranked = not (now.ranked or now.answers or _is_trained(now))
    outdated = unranked or (done == "push" and (now.behind.ranks or not now.ranked))
    if (now.behind.unsent or now.behind.misplaced) and done != "push":
        return NextStep(("push",))
    if outdated and now.pending and done != "rank":
        return NextStep(("rank",))
    if done in {"push", "rank", "suspects"} or not (now.answers or _is_trained(now)):
        return NextStep(("suspects",)) if done == "show" and now.ranked else NextStep(("pull",), review=True)
    if now.behind.unpulled or now.snapshot is None or now.behind.snapshot:
        return NextStep(("pull",))
    return None


def _is_trained(now: Status) -> bool:
    """Whether the newest student was made of the newest snapshot."""
    return bool(now.students) and not now.behind.student


def _get_student(now: Status, done: str) -> NextStep:
    """A student, its measure and its use."""
    if not _is_trained(now):
        return NextStep(("train",))
    newest = now.students[-1].id
    if now.behind.evaluation and now.has_gold and done != "evaluate":
        against = ("--student", newest, "--against", "champion") if now.champion not in {None, newest} else ()
        return NextStep(("evaluate", *against))
    if now.beats_champion or (now.champion is None and not now.behind.evaluation):
        return NextStep(("promote", newest))
    if now.behind.ranks:
        return NextStep(("rank",))
    return NextStep(("status",) if done == "predict" else ("predict", "texts.csv", "labelled.parquet"))
