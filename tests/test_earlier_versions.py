"""What earlier versions left on disk is opened by this one: nothing changes, and the work goes on.

``make_fixture.py`` made the archives, each with one version, and says what ``expected.json`` holds.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import ROOT

from tutelage.commands.cli import cli
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.curate import curate
from tutelage.feedback.server.lifecycle import Server, down, up
from tutelage.feedback.snapshot import Snapshot, load_snapshot, snapshot_id
from tutelage.loaders.consensus import suggest
from tutelage.loaders.ledger import Ledger

ARCHIVES = sorted((ROOT / "tests" / "fixtures").glob("*.tar.gz"))


@dataclass(frozen=True)
class Left:
    """A copy of a task directory that an earlier version left, and what it is known to hold."""

    root: Path
    expected: Mapping[str, Any]
    argilla: Server | None = None

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @property
    def report(self) -> Path:
        """The one that the champion's evaluation wrote."""
        return self.root / Path(self.expected["report"]).relative_to("task")

    def ask(self, *words: object) -> dict[str, Any]:
        """The result of a command of this version."""
        command = [*map(str, words), "--task", str(self.root), "--json"]
        env = {"ARGILLA_API_URL": self.argilla.url, "ARGILLA_API_KEY": self.argilla.api_key} if self.argilla else {}
        done = CliRunner(env=env).invoke(cli, command, catch_exceptions=False, standalone_mode=False)
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def snapshots(self) -> list[Snapshot]:
        return [load_snapshot(self.workspace.snapshots, one["snapshot"]) for one in self.expected["snapshots"]]

    def write(self, name: str, rows: str) -> Path:
        path = self.root / name
        path.write_text(rows, "utf-8")
        return path


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    with tarfile.open(request.param) as file:
        file.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def its_argilla(archive: Path) -> Iterator[Server]:
    """The archive's Argilla, run by this version."""
    yield up(archive / "argilla", port=0)
    down(archive / "argilla")


@pytest.fixture
def left(archive: Path, tmp_path: Path) -> Left:
    shutil.copytree(archive / "task", tmp_path / "task")
    expected = json.loads((archive / "expected.json").read_text("utf-8"))
    return Left(tmp_path / "task", expected)


@pytest.fixture
def online(left: Left, its_argilla: Server) -> Left:
    return replace(left, argilla=its_argilla)


# The task and what is known of its records


def test_the_task_its_records_votes_suggestions_and_ranks_are_the_same(left: Left) -> None:
    task = left.workspace.task
    assert task.id == left.expected["task_id"]
    with Ledger(left.workspace.db) as ledger:
        records, ranks = {record.id: record for record in ledger.records(task)}, ledger.ranks()
    assert {name: len(record.votes) for name, record in records.items()} == left.expected["votes"]
    worst_first = sorted(ranks, key=lambda name: ranks[name].suspect_rank)
    suggested = [(name, found.label if (found := suggest(records[name])) else None) for name in worst_first]
    assert suggested == [*left.expected["ranked"].items()]


def test_the_snapshots_load_and_would_have_the_same_ids_today(left: Left) -> None:
    for snapshot, told in zip(left.snapshots(), left.expected["snapshots"], strict=True):
        manifest = snapshot.manifest
        assert (manifest["records"], manifest["by_source"]) == (told["records"], told["by_source"])
        assert (manifest["by_status"], manifest["tied"]) == (told["status"], told["tied"])
    task = left.workspace.task
    with Ledger(left.workspace.db) as ledger:
        records = [one for one in ledger.records(task) if one.id not in left.expected["held_out"]]
        assert ledger.current_dataset("queue") == left.expected["dataset"]
        responses, ranks = counting_answers(ledger), ledger.ranks()
    now = [snapshot_id(task, curate(records, seen, ranks)) for seen in ({}, responses)]
    assert now == [told["snapshot"] for told in left.expected["snapshots"]]


def test_status_says_the_same(left: Left) -> None:
    now, then = left.ask("status"), dict(left.expected["status"])
    then["by_status"]["pending"] -= len(left.expected["held_out"])  # 0.1.0 counted them as pending
    students = zip(now.pop("students"), then.pop("students"), strict=True)
    for said, was in [(now, then), *students]:
        shared = said.keys() & was.keys()
        assert {key: said[key] for key in shared} == {key: was[key] for key in shared}
        assert len(shared) > 4


def test_what_is_rejected_comes_after_what_was_rejected(left: Left) -> None:
    before = left.workspace.rejects.read_bytes()
    more = left.write("more.csv", "id,text,vote_1\nnew,The bell rings at noon.,neither\nempty,,praise\n")
    words = ("import", more, "--text", "text", "--id", "id", "--vote", "vote_1", "--teacher", "tutor")
    found = left.ask(*words)
    assert (found["new"], found["known"], found["rejected"]) == (1, 0, 1)
    left.ask(*words)
    after = left.workspace.rejects.read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 1


# Its students


def test_every_student_says_the_same_of_the_same_texts(left: Left) -> None:
    rows = [{"id": str(number), "text": text} for number, text in enumerate(left.expected["texts"])]
    texts = left.write("texts.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for student, then in left.expected["students"].items():
        out = left.root / f"{student}.jsonl"
        left.ask("predict", texts, out, "--columns", "id", "--engine", "torch", "--student", student)
        assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == [_nearly(row) for row in then]
    chosen = left.ask("predict", texts, left.root / "predicted.csv", "--force")["student"]
    assert chosen == left.expected["champion"]
    assert list(pd.read_csv(left.root / "predicted.csv")["label"]) == left.expected["predicted"]


def _nearly(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: pytest.approx(value, abs=1e-4) if key.startswith("prob_") else value for key, value in row.items()}


def test_the_champion_stays_and_can_be_rolled_back(left: Left) -> None:
    assert left.ask("status")["champion"] == left.expected["champion"]
    _, before, *_ = left.expected["students"]
    assert left.ask("rollback")["champion"] == before
    assert left.ask("promote", left.expected["champion"])["champion"] == left.expected["champion"]


def test_the_holdout_is_still_locked_and_gives_the_same_figures(left: Left) -> None:
    lock = (left.root / "holdout.lock.json").read_bytes()
    champion, then = left.expected["champion"], json.loads(left.report.read_text("utf-8"))
    now = left.ask("evaluate", "--student", champion)
    assert Path(now["report"]) == left.report
    assert now["rows"] == len(left.expected["held_out"])
    assert now["scores"][champion]["confusion"] == then["scores"][champion]["confusion"]
    assert (left.root / "holdout.lock.json").read_bytes() == lock


def test_an_old_report_stays_on_the_model_card(left: Left) -> None:
    champion, then = left.expected["champion"], left.report.read_bytes()
    gold = "text,gold\nNobody picks up the telephone!,complaint\nHer songs delight everybody here.,praise\n"
    left.ask("evaluate", left.write("other.csv", gold), "--text", "text", "--gold", "gold", "--student", champion)
    assert left.report.read_bytes() == then
    card = (left.workspace.students / champion / "README.md").read_text("utf-8")
    assert f"| the holdout | {len(left.expected['held_out'])} |" in card
    assert "other.csv | 2 |" in card


# Its Argilla


def test_a_push_finds_the_dataset_and_sends_only_what_is_shown_otherwise_now(online: Left) -> None:
    """The first versions showed the first-voted label where the votes tie, and wrote down nothing of what they showed.

    Nothing is suggested there now. What they did not send to filter by is added; all other cards stay as they are.
    """
    with Ledger(online.workspace.db) as ledger:
        showed_ties = not ledger.shown(online.expected["dataset"])
        suggestions = {record.id: suggest(record) for record in ledger.records(online.workspace.task)}
    tied = [name for name in online.expected["ranked"] if (s := suggestions[name]) and s.tie and s.agent != "given"]
    assert tied
    pushed = online.ask("push")
    assert (pushed["dataset"], pushed["created"]) == (online.expected["dataset"], False)
    counts = [pushed[name] for name in ("sent", "metadata_only", "unchanged", "rejected")]
    bare = [name for name in online.expected["ranked"] if suggestions[name] is None]
    sent = len(tied) if showed_ties else 0
    assert counts == [sent, len(online.expected["ranked"]) - sent - len(bare), len(bare), 0]
    with Ledger(online.workspace.db) as ledger:
        shown = ledger.shown(online.expected["dataset"])
    assert {name for name, each in shown.items() if each[-1].label is None} >= set(tied)
    assert shown.keys() == online.expected["ranked"].keys()
    again = online.ask("push")
    assert (again["sent"], again["metadata_only"]) == (0, 0)
    behind = online.ask("status")["behind"]
    assert (behind["unsent"], behind["misplaced"]) == (0, 0), "what a push leaves as it is waits for none"


def test_a_pull_brings_the_late_answers_and_keeps_all_others(online: Left) -> None:
    *_, before = online.snapshots()
    pulled = online.ask("pull")
    assert pulled["new"]
    after = load_snapshot(online.workspace.snapshots).frame().set_index("id")
    frame = before.frame().set_index("id")
    assert list(after.index) == list(frame.index)
    changed = after.index[after["status"] != frame["status"]]
    assert sorted(changed) == sorted(online.expected["late"])
    assert set(after["status"][changed]) == {"reviewed"}
    for name, responses in online.expected["responses"].items():
        told = [(said["user_id"], said["status"], _label(said)) for said in responses]
        assert [(said["user_id"], said["status"], said["label"]) for said in after.loc[name, "responses"]] == told
    assert [one.id for one in online.snapshots()] == [told["snapshot"] for told in online.expected["snapshots"]]


def _label(response: Mapping[str, Any]) -> str | None:
    values = response["values"] or {}
    return dict(values.get("label", {})).get("value")
