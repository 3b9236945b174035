"""The whole loop on the shipped sample, with a real Argilla; a stand-in answers in the reviewer's place."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from tutelage.core.files import write_text
from tutelage.core.records import Progress, ProgressCallback, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.feedback.snapshot import Snapshot, load_snapshot
from tutelage.loaders.gold import read_gold
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.load import Columns, load, vote_columns
from tutelage.loaders.sources import Source
from tutelage.steps.review.loop import Loop

if TYPE_CHECKING:
    from tutelage.feedback.server.lifecycle import Server
    from tutelage.training.evaluation.evaluate import Evaluation
    from tutelage.training.measures.comparison import Comparison
    from tutelage.training.measures.metrics import Scores

Say = Callable[[str], None]

SAMPLE = files("tutelage.sample")
NAME = "demo"
REVIEWED_SHARE, WRONG_ANSWERS, SEED = 0.1, 0.1, 0
LIBRARIES = ("argilla", "sklearn.linear_model", "sklearn.model_selection", "cleanlab.multiannotator")
VOTES = tuple(f"vote_{i}:reason_{i}" for i in range(1, 5))


@dataclass(frozen=True)
class Measured:
    """Labels that are right, of those to be trained on; and a student trained on them, on the holdout."""

    labels_right: float
    student: Scores


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo did; ``before`` and ``after`` the review, the two students compared, and where the report lies."""

    directory: str
    records: int
    holdout: int
    reviewed: int
    changed: int
    before: Measured
    after: Measured
    comparison: Comparison
    link: str
    report: str


@contextmanager
def import_libraries() -> Iterator[None]:
    """Import what takes seconds beside something that waits: the server's installation and start."""
    thread = Thread(target=lambda: [import_module(name) for name in LIBRARIES])
    thread.start()
    try:
        yield
    finally:
        thread.join()


def make_workspace(directory: Path, datasets: Collection[str] = ()) -> Workspace:
    """A new task directory with the sample's task; it and its dataset have a number where those names are taken.

    Nothing that a person may have answered is touched: not an earlier demo's directory, nor one of ``datasets``,
    which are on Argilla already.
    """
    task = (SAMPLE / "task.yaml").read_text("utf-8")
    for number in itertools.count(1):
        ending = f"-{number}" if number > 1 else ""
        root = directory.with_name(directory.name + ending)
        if root.exists() or NAME + ending in datasets:
            continue
        root.mkdir(parents=True)
        write_text(root / "task.yaml", f"{task}\nargilla:\n  dataset: {NAME}{ending}\n", public=True)
        break
    return Workspace(root)


def dataset_names(server: Server) -> set[str]:
    """The names of all datasets on this Argilla."""
    with ArgillaClient(server.url, server.api_key) as owner:
        return {dataset["name"] for dataset in owner.remote.request("GET", "me/datasets")["items"]}


def run_demo(workspace: Workspace, server: Server, say: Say, progress: ProgressCallback = unreported) -> DemoResult:
    """Import, push, rank, review, pull, train, measure."""
    owner = ArgillaClient(server.url, server.api_key, annotator=server.annotator)
    progress(Progress("importing the sample"))
    _import(workspace, say)
    with Ledger(workspace.db) as ledger, owner as argilla:
        loop = Loop(workspace, ledger, argilla, progress)
        link = _push_and_rank(loop, say)
        teacher_only = load_snapshot(workspace.snapshots, loop.pull().snapshot)
        before = _train(workspace, teacher_only, say, progress)
        answers = _review(workspace, server, loop.dataset(), progress)
        changed = _changed(teacher_only, answers)
        say(f"review: {len(answers)} answers through Argilla's API, {changed} of them not what was suggested")
        pulled = loop.pull()
        say(f"pull: snapshot {pulled.snapshot} with {pulled.by_source['human']} labels from people")
        reviewed = load_snapshot(workspace.snapshots, pulled.snapshot)
        after = _train(workspace, reviewed, say, progress)
    progress(Progress("measuring both students on the holdout"))
    measured = _evaluate(workspace, after, before)
    return DemoResult(
        directory=str(workspace.root),
        records=pulled.records,
        holdout=measured.rows,
        reviewed=len(answers),
        changed=changed,
        before=Measured(_right(workspace, teacher_only), measured.scores[before]),
        after=Measured(_right(workspace, reviewed), measured.scores[after]),
        comparison=measured.comparisons[before],
        link=link,
        report=_report(workspace, progress),
    )


def _report(workspace: Workspace, progress: ProgressCallback) -> str:
    """Where the page for a team lead lies."""
    from tutelage.report.page import write_page

    return write_page(workspace, progress=progress).path


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
    say(f"push: {pushed.sent} records are in Argilla, the holdout stays out")
    ranked = loop.rank()
    say(f"rank: {ranked.ranked} records, the worst first")
    return pushed.link


def _review(workspace: Workspace, server: Server, dataset: Dataset, progress: ProgressCallback) -> dict[str, str]:
    """Answer the worst tenth as the annotator, with gold; one answer in ten is wrong, as people's are."""
    gold, chance = read_gold(workspace.gold), random.Random(SEED)
    answers = {}
    with ArgillaClient(server.url, server.annotator_api_key) as signed_in:
        annotator = ScriptedAnnotator(signed_in.remote, dataset)
        queue = annotator.queue(round(REVIEWED_SHARE * dataset.count()))
        for record in queue:
            right = gold[record["external_id"]]
            others = [label for label in workspace.task.label_names if label != right]
            answers[record["external_id"]] = chance.choice(others) if chance.random() < WRONG_ANSWERS else right
            annotator.submit(record, answers[record["external_id"]])
            progress(Progress("reviewing in a person's place", len(answers), len(queue), "records"))
    return answers


def _train(workspace: Workspace, snapshot: Snapshot, say: Say, progress: ProgressCallback) -> str:
    """The id of a student of this snapshot."""
    from tutelage.training.train import train

    progress(Progress("training a student"))
    trained = train(workspace, "linear", snapshot=snapshot.id, progress=progress)
    say(f"train: {trained.id} on {trained.rows} records")
    return trained.id


def _evaluate(workspace: Workspace, student: str, against: str) -> Evaluation:
    """Both students on the holdout."""
    from tutelage.training.evaluation.evaluate import evaluate
    from tutelage.training.evaluation.gold_set import load_holdout
    from tutelage.training.registry import find_student

    one, other = (find_student(workspace.students, name) for name in (student, against))
    return evaluate(workspace, one, load_holdout(workspace), against=other)


def _right(workspace: Workspace, snapshot: Snapshot) -> float:
    """The share of a snapshot's labels that are gold's."""
    gold, frame = read_gold(workspace.gold), snapshot.frame()
    return float((frame["label"] == frame["id"].map(gold)).mean())
