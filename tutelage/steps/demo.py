"""The whole loop on the shipped sample, with a real Argilla; a stand-in answers in the reviewer's place."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from tutelage.core.files import write_text
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.feedback.snapshot import Snapshot, load_snapshot
from tutelage.loaders.gold import read_gold
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.load import Columns, load, vote_columns
from tutelage.loaders.sources import Source
from tutelage.steps.loop import Loop

if TYPE_CHECKING:
    from tutelage.feedback.server.lifecycle import Server
    from tutelage.training.measures.metrics import Scores

Say = Callable[[str], None]

SAMPLE = files("tutelage.sample")
REVIEWED_SHARE, WRONG_ANSWERS = 0.1, 0.1
LIBRARIES = ("argilla", "sklearn.linear_model", "sklearn.model_selection", "cleanlab.multiannotator")
VOTES = tuple(f"vote_{i}:reason_{i}" for i in range(1, 5))


@dataclass(frozen=True)
class Measured:
    """Labels that are right, of those to be trained on; and a student trained on them, on the holdout."""

    labels_right: float
    student: Scores


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo did; ``before`` and ``after`` the review."""

    directory: str
    records: int
    holdout: int
    reviewed: int
    changed: int
    before: Measured
    after: Measured
    link: str


@contextmanager
def import_libraries() -> Iterator[None]:
    """Import what takes seconds beside something that waits: the server's installation and start."""
    thread = Thread(target=lambda: [import_module(name) for name in LIBRARIES])
    thread.start()
    try:
        yield
    finally:
        thread.join()


def make_workspace(directory: Path) -> Workspace:
    """A task directory with the sample's task, never one that is there; its dataset is a new one, too."""
    root, number = directory, 1
    while root.exists():
        number += 1
        root = directory.with_name(f"{directory.name}-{number}")
    root.mkdir(parents=True)
    task = (SAMPLE / "task.yaml").read_text("utf-8")
    started = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    write_text(root / "task.yaml", f"{task}\nargilla:\n  dataset: demo-{started}\n")
    return Workspace(root)


def run_demo(workspace: Workspace, server: Server, say: Say) -> DemoResult:
    """Import, push, rank, review, pull, train, measure."""
    owner = ArgillaClient(server.url, server.api_key, annotator=server.annotator)
    _import(workspace, say)
    with Ledger(workspace.db) as ledger, owner as argilla:
        loop = Loop(workspace, ledger, argilla)
        link = _push_and_rank(loop, say)
        teacher_only = load_snapshot(workspace.snapshots, loop.pull().snapshot)
        before = _measure(workspace, teacher_only, say)
        answers = _review(workspace, server, loop.dataset())
        changed = _changed(teacher_only, answers)
        say(f"review: {len(answers)} answers through Argilla's API, {changed} of them not what was suggested")
        pulled = loop.pull()
        say(f"pull: snapshot {pulled.snapshot} with {pulled.by_source['human']} labels from people")
        after = _measure(workspace, load_snapshot(workspace.snapshots, pulled.snapshot), say)
        return DemoResult(
            directory=str(workspace.root),
            records=pulled.records,
            holdout=before.student.rows,
            reviewed=len(answers),
            changed=changed,
            before=before,
            after=after,
            link=link,
        )


def _changed(teacher_only: Snapshot, answers: dict[str, str]) -> int:
    suggestions = teacher_only.frame().set_index("id")["suggestion"]
    return sum(suggestions[record_id] != label for record_id, label in answers.items())


def _import(workspace: Workspace, say: Say) -> None:
    source = Source(str(SAMPLE / "sample.csv"))
    columns = Columns(text="text", id="id", gold="gold", votes=vote_columns(VOTES, source, "sample-teacher"))
    result = load(workspace, source, columns)
    say(f"import: {result.new} sample sentences with {result.answers} votes, {result.abstentions} of them abstentions")


def _push_and_rank(loop: Loop, say: Say) -> str:
    pushed = loop.push()
    ranked = loop.rank()
    say(f"push: {pushed.sent} records are in Argilla, the holdout stays out")
    say(f"rank: {ranked.ranked} records, the worst first")
    return pushed.link


def _review(workspace: Workspace, server: Server, dataset: Dataset) -> dict[str, str]:
    """Answer the worst tenth as the annotator, with gold; one answer in ten is wrong, as people's are."""
    gold, chance = read_gold(workspace.gold), random.Random(0)
    answers = {}
    with ArgillaClient(server.url, server.annotator_api_key) as signed_in:
        annotator = ScriptedAnnotator(signed_in.remote, dataset)
        for record in annotator.queue(round(REVIEWED_SHARE * dataset.count())):
            right = gold[record["external_id"]]
            others = [label for label in workspace.task.label_names if label != right]
            answers[record["external_id"]] = chance.choice(others) if chance.random() < WRONG_ANSWERS else right
            annotator.submit(record, answers[record["external_id"]])
    return answers


def _measure(workspace: Workspace, snapshot: Snapshot, say: Say) -> Measured:
    from tutelage.training.evaluation.evaluate import evaluate
    from tutelage.training.evaluation.gold_set import load_holdout
    from tutelage.training.registry import find_student
    from tutelage.training.train import train

    trained = train(workspace, "linear", snapshot=snapshot.id)
    say(f"train: {trained.id} on {trained.rows} records")
    evaluation = evaluate(workspace, find_student(workspace.students, trained.id), load_holdout(workspace))
    gold = read_gold(workspace.gold)
    frame = snapshot.frame()
    right = frame["label"] == frame["id"].map(gold)
    return Measured(float(right.mean()), evaluation.scores[trained.id])
