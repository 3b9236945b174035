"""The periodic job: nights through a real Argilla; no answer is lost and no worse student promoted."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from filed import Filed
from test_kill import started
from training_data import VOTERS, WORDS, fill, make_workspace, sentences

from tutelage.commands.cli import cli
from tutelage.core.errors import LedgerError, ServerError
from tutelage.core.locks import locked
from tutelage.core.records import Record, Vote
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.feedback.server.lifecycle import Server
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.ledger import Ledger
from tutelage.project import Project
from tutelage.steps.results import Retrained
from tutelage.steps.retrain import LOCK
from tutelage.steps.review.loop import Loop
from tutelage.steps.schedule import epoch_seconds
from tutelage.training.registry import Entry, champion_history, list_students
from tutelage.views.history import HISTORY, append_history, read_history

Run = Callable[..., CompletedProcess[str]]
MISREAD = ("climbed", "doubled", "dropped", "halved")
"""Words that the teacher takes for no news."""


class Nights:
    """A task on a real Argilla, whose teacher errs on some words, and somebody who answers."""

    def __init__(self, root: Path, server: Server, count: int = 300, **keys: object) -> None:
        rows = sentences(count, seed=3)
        self.gold = {f"r{number}": label for number, (_, label) in enumerate(rows)}
        name = f"nights-{uuid4().hex[:8]}"
        self.workspace = make_workspace(root / name, name=name, holdout={"share": 0.5}, **keys)
        fill(self.workspace, [_record(f"r{n}", *row) for n, row in enumerate(rows)], self.gold)
        self.server, self.project = server, Project(self.workspace.root)
        self.project.push()
        self.project.rank()

    def freeze_and_train(self) -> str:
        """A student of long ago, with a snapshot of its own."""
        self.answer(1)
        self.project.pull()
        return self.project.train().id

    def students(self) -> list[Entry]:
        """Each with the snapshot that it names, which is read."""
        entries = list_students(self.workspace.students)
        for entry in entries:
            load_snapshot(self.workspace.snapshots, entry.manifest.snapshot)
        return entries

    def records(self) -> list[Record]:
        """As the ledger has them."""
        with Ledger(self.workspace.db) as ledger:
            return list(ledger.records(self.workspace.task))

    def held_out(self, records: Sequence[Record]) -> int:
        """How many of these are."""
        return sum(self.workspace.task.holds_out(record.id) for record in records)

    def on_argilla(self) -> dict[str, dict[str, Any]]:
        """The records as the server has them, by id."""
        with ArgillaClient(self.server.url, self.server.api_key) as signed_in:
            dataset = signed_in.dataset(self.workspace.task)
            assert dataset
            listed = dataset.remote.pages(f"datasets/{dataset.id}/records", include="suggestions")
            return {record["external_id"]: record for record in listed}

    def answer(self, count: int, *, wrongly: bool = False) -> None:
        """The first of the queue: right, or all alike."""
        with ArgillaClient(self.server.url, self.server.api_key) as signed_in:
            dataset = signed_in.dataset(self.workspace.task)
            assert dataset
            annotator = ScriptedAnnotator(signed_in.remote, dataset)
            for record in annotator.queue(count):
                annotator.submit(record, "flat" if wrongly else self.gold[record["external_id"]])


def _record(name: str, text: str, label: str) -> Record:
    misread = set(MISREAD) & set(text.split())
    said = ["flat", "flat", label] if misread else [label] * 3
    votes = zip(VOTERS, said, strict=True)
    return Record(name, text, None, tuple(Vote(voter=v, raw=s, label=s, reason="because") for v, s in votes))


@pytest.fixture
def nights(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Nights]:
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", server.api_key)
    return lambda **keys: Nights(tmp_path, server, **keys)


def test_four_nights(nights: Callable[..., Nights]) -> None:
    """A first champion; nothing new; answers that make a better one; poisoned answers, whose student stays out."""
    task = nights(count=700)
    task.answer(20)
    plan = task.project.plan_retrain()
    assert (plan.activity, plan.new_answers, plan.trains, plan.champion) == (True, 20, True, None)
    first = task.project.retrain()
    assert (first.outcome, first.champion) == ("promoted", first.challenger)

    plan = task.project.plan_retrain()
    assert (plan.activity, plan.new_answers, plan.trains, plan.champion) == (False, 0, False, first.champion)
    quiet = task.project.retrain()
    assert (quiet.outcome, quiet.new_answers, quiet.champion) == ("nothing_new", 0, first.champion)
    assert (quiet.snapshot, quiet.activity) == (first.snapshot, first.activity)
    assert time.time() - epoch_seconds(quiet.activity.split(" ")[0]) < 300, "as the schedule reads it"

    task.answer(120)
    better = task.project.retrain()
    assert (better.outcome, better.new_answers) == ("promoted", 120), better.message
    assert better.gate
    assert better.gate.macro_f1_difference > 0.1

    task.answer(150, wrongly=True)
    poisoned = task.project.retrain()
    assert (poisoned.outcome, poisoned.new_answers) == ("kept", 150), poisoned.message
    assert poisoned.champion == better.challenger != poisoned.challenger
    assert (task.project.responses()["status"] == "submitted").sum() == 290

    lines = read_history(task.workspace.root)
    assert [line["outcome"] for line in lines] == ["promoted", "nothing_new", "promoted", "kept"]
    assert [line["decisions"] for line in lines] == [0, 0, 1, 2]
    last_run = task.project.status().last_run
    assert last_run
    assert (last_run.outcome, last_run.message, last_run.began_at) == ("kept", poisoned.message, poisoned.at)
    assert task.project.retrain().outcome == "nothing_new"  # what was judged is not judged again


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 100))])
def test_killed_at_any_point_the_next_run_makes_it_good(nights: Callable[..., Nights], seed: int) -> None:
    """First a champion, then better answers and new texts: whatever is killed on the way, the better student wins.

    What is old goes meanwhile, and what is left is whole.
    """
    retrain = {"keep": 1, "new_texts": "student"}
    task, chance = nights(count=700, sources=[{"file": "new.csv"}], retrain=retrain), random.Random(seed)
    task.answer(20)
    champion = task.project.retrain().champion
    old = [task.freeze_and_train() for _ in range(2)]
    task.answer(118)
    new = "\n".join(text for text, _ in sentences(60, seed=8))
    (task.workspace.root / "new.csv").write_text(f"text\n{new}\n", "utf-8")
    for _ in range(3):
        process = started("retrain", "--task", task.workspace.root)
        time.sleep(chance.uniform(0.5, 6.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = task.project.retrain()
    moves = champion_history(task.workspace.students)
    assert [move["before"] for move in moves] == [None, champion], last.message
    assert moves[-1]["champion"] == last.champion == task.project.status().champion
    assert "macro-F1 +" in moves[-1]["why"]
    assert (task.project.responses()["status"] == "submitted").sum() == 140
    done = task.project.retrain()
    assert (done.outcome, done.problems) == ("nothing_new", [])
    now = task.project.status()
    assert (now.records, now.behind.unsent) == (760, 0)
    assert {entry.id for entry in task.students()} == {champion, last.champion}
    assert not set(old) & {entry.id for entry in task.students()}
    assert not list(task.workspace.root.glob("*/.deleting-*"))
    bare = [record for record in task.records() if not record.votes]
    assert {record.proposal.student for record in bare if record.proposal} == {last.champion}
    assert sum(record.proposal is not None for record in bare) == now.without_vote - task.held_out(bare)


def test_a_second_call_says_who_is_at_work(tmp_path: Path, tutelage: Run) -> None:
    task = Filed(tmp_path / "task")
    with locked(task.workspace.root / LOCK, on_wait=lambda _holder: None):
        done = tutelage("retrain", "--task", task.workspace.root, "--json")
    said = json.loads(done.stdout)
    assert said["outcome"] == "busy"
    assert said["message"].startswith("process ")


def test_without_a_holdout_it_trains_and_compares_nothing(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task")
    task.workspace.gold.unlink()
    task.answer(20)
    done = task.project.retrain()
    assert (done.outcome, done.champion, done.gate) == ("no_holdout", None, None)
    assert done.challenger in set(task.project.students()["id"])
    assert task.project.retrain().outcome == "nothing_new"


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """While it is open nothing listens where Argilla was, and a restart is not waited for as long as else."""

    @contextmanager
    def opened() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setenv("ARGILLA_API_URL", "http://127.0.0.1:1")
            patch.setattr("tutelage.steps.review.signing_in.ArgillaClient", partial(ArgillaClient, waits=(0.01, 0.01)))
            yield

    return opened


def test_an_argilla_that_is_gone_is_a_failure_with_a_line_and_a_notice(
    nights: Callable[..., Nights],
    gone: Callable[[], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    notify = tmp_path / "notify.py"
    notify.write_text(f"import sys\nopen({str(tmp_path / 'told.json')!r}, 'w').write(sys.stdin.read())\n", "utf-8")
    task = nights(retrain={"notify": f"{sys.executable} {notify}"})
    with gone(), pytest.raises(SystemExit) as ended:
        cli.main(["retrain", "--task", str(task.workspace.root), "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    assert (ended.value.code, said["outcome"]) == (1, "failed")
    assert "does not answer" in said["message"]
    assert json.loads((tmp_path / "told.json").read_text())["outcome"] == "failed"
    assert read_history(task.workspace.root)[-1]["outcome"] == "failed"


def test_new_files_come_in_and_a_bad_one_does_not_end_the_night(nights: Callable[..., Nights]) -> None:
    sources = [{"file": "missing.csv"}, {"file": "incoming/*.csv", "text": "body"}]
    task = nights(sources=sources, retrain={"new_texts": "student"})
    folder = task.workspace.root / "incoming"
    folder.mkdir()
    (folder / "a.csv").write_text("body\nThe board met in Rauma.\nA branch closed in Kemi.\n", "utf-8")
    (folder / "b.csv").write_text("other\nx\n", "utf-8")
    task.answer(20)
    done = task.project.retrain()
    assert (done.outcome, done.new_texts) == ("promoted", 2)
    assert len(done.problems) == 2
    assert "missing.csv" in done.problems[0]
    assert "b.csv" in done.problems[1]
    again = task.project.retrain()
    assert (again.new_texts, again.proposed) == (0, 0)
    records = task.project.records().set_index("text")
    new = [name for name in ("The board met in Rauma.", "A branch closed in Kemi.") if not records["held_out"][name]]
    assert done.proposed == len(new)
    there = task.on_argilla()
    for name in new:
        (label,) = (said for said in there[records["id"][name]]["suggestions"] if said["value"] in WORDS)
        assert (label["agent"], label["value"]) == (f"student:{done.champion}", records["suggestion"][name])


def test_a_teacher_that_is_gone_does_not_end_the_night(nights: Callable[..., Nights]) -> None:
    gone = {"name": "gone", "license": "x", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    task = nights(teachers=[gone], retrain={"new_texts": "teacher", "budget": 1})
    task.answer(20)
    done = task.project.retrain()
    assert (done.outcome, len(done.problems)) == ("promoted", 1), done.message


def test_another_dataset_than_last_time_is_refused_unless_told(nights: Callable[..., Nights]) -> None:
    task = nights()
    task.answer(20)
    assert task.project.retrain().outcome == "promoted"
    history = task.workspace.root / HISTORY
    history.write_text(history.read_text("utf-8").replace(task.server.url, "http://elsewhere"), "utf-8")
    refused = task.project.retrain()
    assert (refused.outcome, "--another-argilla" in refused.message) == ("failed", True)
    assert task.project.retrain(another_argilla=True).outcome == "nothing_new"
    assert task.project.retrain().outcome == "nothing_new"


def test_a_line_that_a_crash_cut_short_hurts_nobody(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task")
    history = task.workspace.root / HISTORY
    history.write_text('{"outcome": "kep', "utf-8")
    assert task.project.retrain().outcome == "nothing_new"
    assert [line["outcome"] for line in read_history(task.workspace.root)] == ["nothing_new"]


@pytest.mark.parametrize("end", ["\u2028", "\x85"])
def test_a_message_with_a_line_end_of_unicode_is_one_line(tmp_path: Path, end: str) -> None:
    append_history(tmp_path, {**asdict(Retrained()), "message": f"so{end}it said"})
    assert [line["message"] for line in read_history(tmp_path)] == [f"so{end}it said"]


@pytest.mark.parametrize("line", ["{}", "[]", '{"snapshot": "x"}', '[["challenger", 1]]'])
def test_a_line_that_is_none_of_the_jobs_hurts_nobody(tmp_path: Path, line: str) -> None:
    task = Filed(tmp_path / "task")
    (task.workspace.root / HISTORY).write_text(f"{line}\n", "utf-8")
    assert task.project.retrain().outcome == "nothing_new"
    assert [line["outcome"] for line in read_history(task.workspace.root)] == ["nothing_new"]


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_where_no_line_can_be_written_nothing_is_done_and_that_is_said(
    tmp_path: Path, tutelage: Run, kind: str
) -> None:
    task = Filed(tmp_path / "task")
    task.answer(20)
    history = task.workspace.root / HISTORY
    history.symlink_to(task.workspace.root / "other") if kind == "link" else history.mkdir()
    done = tutelage("retrain", "--task", task.workspace.root, "--json", ok=False)
    said = json.loads(done.stdout)
    assert (done.returncode, said["outcome"], len(task.project.students())) == (1, "failed", 0)
    assert HISTORY in said["message"]
    assert "the line could not be written" in done.stderr


def test_answers_that_came_in_a_file_only_are_seen(nights: Callable[..., Nights]) -> None:
    task = nights()
    task.answer(20)
    assert task.project.retrain().outcome == "promoted"
    ids = list(task.project.suspects(60, pending=True)["id"])
    answers = pd.DataFrame({"id": ids, "label": [task.gold[name] for name in ids]})
    assert task.project.import_review(answers, annotator="by-file").new == 60
    done = task.project.retrain()
    assert (done.new_answers, done.outcome) in {(60, "promoted"), (60, "kept")}, done.message
    assert task.project.retrain().outcome == "nothing_new"


def test_a_snapshot_that_was_removed_is_pulled_anew(nights: Callable[..., Nights]) -> None:
    task = nights()
    task.answer(20)
    task.project.retrain()
    shutil.rmtree(task.workspace.snapshots)
    done = task.project.retrain()
    assert done.outcome != "failed", done.message
    assert task.project.status().snapshot == done.snapshot


def test_texts_that_a_failed_night_loaded_are_sent_by_the_next(
    nights: Callable[..., Nights], gone: Callable[[], AbstractContextManager[None]]
) -> None:
    task = nights(sources=[{"file": "new.csv", "text": "text"}])
    (task.workspace.root / "new.csv").write_text("text\nThe board met in Rauma.\nA branch closed in Kemi.\n", "utf-8")
    with gone():
        failed = Project(task.workspace.root).retrain()
    assert (failed.outcome, failed.new_texts) == ("failed", 2)
    assert task.project.retrain().outcome == "nothing_new"
    assert task.project.status().behind.unsent == 0


def test_what_was_decided_stays_decided_where_argilla_fails_after_it(
    nights: Callable[..., Nights], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = nights()
    task.answer(20)

    def fail(_loop: Loop) -> None:
        raise ServerError("Argilla has gone")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "push", fail)
        done = task.project.retrain()
    assert (done.outcome, done.champion, done.problems) == ("promoted", done.challenger, ["Argilla has gone"])


def test_what_the_command_of_notify_prints_is_no_part_of_the_result(tmp_path: Path, tutelage: Run) -> None:
    task = Filed(tmp_path / "task", retrain={"notify": "echo told"})
    task.answer(20)
    done = tutelage("retrain", "--task", task.workspace.root, "--json")
    assert json.loads(done.stdout)["outcome"] == "promoted"
    assert "told" in done.stderr


def test_a_night_that_brings_no_texts_does_not_stand_before_the_last_load(nights: Callable[..., Nights]) -> None:
    """Else ``load --undo`` would speak of what no person ever loaded."""
    task = nights(sources=[{"file": "new.csv", "id": "id"}])
    root = task.workspace.root
    (root / "new.csv").write_text("id,text\nx1,sales rose\nx2,\n", "utf-8")
    (root / "own.csv").write_text("id,text\ny1,sales fell\n", "utf-8")
    task.project.load(root / "new.csv", id="id")
    task.project.load(root / "own.csv", id="id")
    assert task.project.retrain().new_texts == 0
    with pytest.raises(LedgerError, match=r"the load of \S*own\.csv .* cannot be undone: 1 of its records"):
        task.project.undo_load()
    (root / "new.csv").write_text("id,text\nx1,sales rose\nx3,sales stood still\n", "utf-8")
    assert task.project.retrain().new_texts == 1
    with Ledger(task.workspace.db) as ledger:
        assert {"x1", "x3"} <= {record.id for record in ledger.records(task.workspace.task)}
