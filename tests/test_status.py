"""Where a task stands: numbers that add up, what people changed, what is out of date."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from shop import Shop
from training_data import fill, make_workspace, records, sentences, small_task

from tutelage.core.workspace import Workspace
from tutelage.loaders.ledger import QUEUE, Ledger
from tutelage.project import Project
from tutelage.views.standing import LabelChange, Status
from tutelage.views.status import PATIENCE

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def with_argilla(argilla_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in argilla_env.items():
        monkeypatch.setenv(name, value)


def status_of(shop: Shop) -> Status:
    return Project(shop.workspace.root).status()


def adds_up(found: Status) -> None:
    assert found.settled + found.pending + found.held_out == found.records
    assert sum(found.by_status.values()) == found.records - found.held_out


# Counts


def test_held_out_records_are_not_pending(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    found = Project(workspace.root).status()
    with Ledger(workspace.db) as ledger:
        held = sum(workspace.task.holds_out(record.id) for record in ledger.records(workspace.task))
    assert 0 < held < 240
    assert found.by_status == {"pending": 240 - held}
    assert (found.records, found.settled, found.pending, found.held_out) == (240, 0, 240 - held, held)
    assert found.has_gold
    adds_up(found)


@pytest.mark.usefixtures("with_argilla")
def test_settled_records_have_as_many_answers_as_the_task_asks_for(shops: Callable[..., Shop]) -> None:
    shop = shops(argilla={"min_submitted": 2})
    shop.add("positive", "negative", "neutral", "neutral")
    shop.push()
    one, two = shop.annotator(), shop.hire()
    for record in ("r0", "r1"):
        shop.answer(one, record, "positive")
    shop.answer(two, "r0", "positive")
    shop.answer(one, "r2", None, status="discarded")
    shop.pull()
    found = status_of(shop)
    assert (found.settled, found.pending, found.held_out) == (2, 2, 0)
    assert found.by_status == {"reviewed": 2, "discarded": 1, "pending": 1}
    assert found.answers == 4
    adds_up(found)


# What people changed


@pytest.mark.usefixtures("with_argilla")
def test_changes_are_against_what_was_shown_when_people_answered(shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add("positive", "positive", "neutral", ["negative", "neutral"], "negative", "neutral")
    shop.push()
    person = shop.annotator()
    for record, label in [("r0", "negative"), ("r1", "negative"), ("r2", "neutral"), ("r3", "neutral")]:
        shop.answer(person, record, label)
    shop.answer(person, "r4", None, status="discarded")
    shop.answer(person, "r5", "positive", status="draft")
    shop.pull()
    for number in range(2, 5):
        shop.vote("r0", "negative", number=number)
    shop.push()  # r0 suggests negative now; its annotator saw positive
    found = status_of(shop)
    assert found.changes == (LabelChange("positive", "negative", 2),)
    assert found.kept == 1, "a tie suggests nothing, a draft and a discarded record change no label"


# What is out of date


@pytest.mark.usefixtures("with_argilla")
def test_what_is_out_of_date_and_the_next_step(shop: Shop) -> None:
    project = Project(shop.workspace.root)
    found = project.status()
    assert (found.argilla, found.link, found.behind.unsent, found.behind.unpulled) == ("up", None, 3, None)
    at = f" --task {shop.workspace.root}"
    assert found.next == f"tutelage push{at}"
    project.push()
    found = project.status()
    assert (found.behind.unsent, found.behind.unpulled) == (0, 0)
    assert found.link == shop.dataset.queue_link
    project.rank(push=False)
    assert project.status().behind.misplaced == 3
    project.rank()
    assert project.status().behind.misplaced == 0
    shop.vote("r0", "positive")
    assert project.status().behind.unsent == 1, "one vote more, the same suggestion"
    project.push()
    person = shop.annotator()
    shop.answer(person, "r0", "negative")
    shop.answer(person, "r1", "neutral", status="draft")
    found = project.status()
    assert (found.behind.unpulled, found.behind.ranks, found.settled) == (1, 0, 0)
    project.pull()
    found = project.status()
    assert (found.behind.unpulled, found.behind.ranks, found.behind.snapshot, found.settled) == (0, 1, 0, 1)
    assert found.next == f"tutelage train{at}"
    shop.answer(person, "r2", None, status="discarded")
    project.rank()  # reads answers, too
    found = project.status()
    assert found.behind.misplaced == 0
    assert (found.behind.ranks, found.behind.snapshot, found.next) == (0, 1, f"tutelage pull{at}")
    adds_up(found)


def test_a_student_that_is_not_evaluated_or_of_an_older_snapshot(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    project = Project(workspace.root)
    assert not project.status().behind.evaluation
    first = project.train("linear").id
    behind = project.status().behind
    assert (behind.evaluation, behind.student) == (True, False)
    project.evaluate()
    assert not project.status().behind.evaluation
    (report,) = project.workspace.reports.glob(f"evaluate-{project.status().students[-1].id}-*.json")
    whole = report.read_text("utf-8")
    for damaged in ("", "[]", whole[:40]):
        report.write_text(damaged, "utf-8")
        assert project.status().behind.evaluation, "as if it had not been evaluated"
    report.write_text(whole, "utf-8")
    latest = workspace.snapshots / "latest"
    (workspace.snapshots / "abc").mkdir()
    manifest = json.loads((workspace.snapshots / latest.read_text().strip() / "manifest.json").read_text())
    (workspace.snapshots / "abc" / "manifest.json").write_text(json.dumps(manifest | {"id": "abc"}))
    data = (workspace.snapshots / latest.read_text().strip() / "records.parquet").read_bytes()
    (workspace.snapshots / "abc" / "records.parquet").write_bytes(data)
    latest.write_text("abc\n")
    found = project.status()
    assert (found.snapshot, found.behind.student, found.students[-1].id) == ("abc", True, first)


def test_a_better_student_is_to_be_promoted_unless_it_was_rolled_back(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    project = Project(workspace.root)
    old = project.train("linear", human_weight=3.0).id
    project.promote(old)
    time.sleep(1.1)  # students are told apart by the second
    new = project.train("linear", human_weight=4.0).id
    report = project.evaluate(student=new, against=old).report
    assert not project.status().beats_champion
    said = json.loads(report.read_text("utf-8"))
    said["comparisons"][old]["verdict"] = "better"
    report.write_text(json.dumps(said), "utf-8")
    found = project.status()
    assert (found.champion, found.beats_champion) == (old, True)
    project.promote(new)
    project.rollback()
    assert not project.status().beats_champion


# Argilla


@contextmanager
def dripping() -> Iterator[str]:
    """A server that begins to answer and never ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not ended.wait(0.2):
                connection.sendall(b" ")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        with suppress(OSError):  # so that it ends where nobody came
            socket.create_connection(listener.getsockname(), timeout=1).close()
        thread.join(timeout=10)
        listener.close()


def pushed_long_ago(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path / "task")
    made = records(sentences(5))
    fill(workspace, made, {})
    with Ledger(workspace.db) as ledger:
        ledger.use_dataset("0f", QUEUE)
        ledger.set_pushed("0f", {record.id: ("", "{}") for record in made})
    return workspace


def test_a_server_that_hangs_or_refuses_does_not_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(pushed_long_ago(tmp_path).root)
    monkeypatch.setenv("ARGILLA_API_KEY", "key")
    assert PATIENCE < 5
    with dripping() as url:
        monkeypatch.setenv("ARGILLA_API_URL", url)
        found = Project(project.workspace.root).status()
        assert (found.argilla, found.records, found.behind.unpulled) == ("silent", 5, None)
    for address in ("http://127.0.0.1:9", "nowhere", "ftp://x"):
        monkeypatch.setenv("ARGILLA_API_URL", address)
        assert Project(project.workspace.root).status().argilla == "silent"


def test_without_argilla_it_says_so(tmp_path: Path, tutelage: Run) -> None:
    workspace = pushed_long_ago(tmp_path)
    run = tutelage("status", "--task", workspace.root, env={"XDG_DATA_HOME": str(tmp_path)})
    assert "Argilla is not running" in run.stdout
    assert run.stdout.endswith("next: tutelage up\n")
    assert run.stderr == ""


# The command


@pytest.mark.usefixtures("with_argilla")
def test_the_command_says_it_in_words_and_json(shop: Shop, tutelage: Run, argilla_env: dict[str, str]) -> None:
    shop.push()
    shop.answer(shop.annotator(), "r0", "negative")
    shop.pull()
    shop.vote("r1", "neutral")
    at = ["--task", shop.workspace.root]
    said = tutelage("status", *at, env=argilla_env).stdout
    for line in (
        "  1 settled, 2 pending, 0 held out",
        "people changed 1 of the 1 suggestions that they saw",
        "  positive → negative: 1",
        f"review: {shop.dataset.queue_link}",
        "  1 record new or changed since the last push",
        f"next: tutelage push --task {shop.workspace.root}",
    ):
        assert line in said.splitlines()
    found = json.loads(tutelage("status", *at, "--json", env=argilla_env).stdout)
    assert found == json.loads(json.dumps(asdict(status_of(shop))))
    assert found["changes"] == [{"suggested": "positive", "label": "negative", "records": 1}]
