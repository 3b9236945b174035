"""Safety copies: whole or not there, taken while people answer, and never written over what is there."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from data_home import own_data_home
from shop import Person, Shop
from test_kill import started

from tutelage.core.errors import TaskError
from tutelage.core.workspace import Workspace
from tutelage.feedback.server.lifecycle import Server, down, up
from tutelage.loaders.ledger import Ledger
from tutelage.project import Project
from tutelage.steps.backup import backup, restore
from tutelage.steps.review.loop import Loop
from tutelage.steps.review.signing_in import sign_in

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def shop(make_task: Callable[..., Workspace], server: Server) -> Iterator[Shop]:
    people: list[Person] = []
    yield Shop(make_task(), server, people)
    for person in people:
        person.http.close()


def test_answers_given_before_a_backup_are_in_it(shop: Shop, tmp_path: Path) -> None:
    """While somebody goes on answering: what was acknowledged before is there, and the rest is whole."""
    shop.add(*["positive"] * 60)
    shop.push()
    before, acknowledged, stop = threading.Event(), list[str](), threading.Event()

    def answer() -> None:
        for name, record in shop.on_server().items():
            if not stop.is_set():
                shop.owner.answer(record["id"], "negative")
                acknowledged.append(name)
            if len(acknowledged) == 20:
                before.set()

    person = threading.Thread(target=answer)
    person.start()
    assert before.wait(60)
    there = set(acknowledged)
    backup(shop.workspace, tmp_path / "copy.tar.gz", shop.server.data_dir)
    stop.set()
    person.join()

    done = restore(tmp_path / "copy.tar.gz", tmp_path / "again", tmp_path / "argilla")
    assert (done.argilla, done.argilla_kept) == (True, False)
    try:
        up(tmp_path / "argilla", port=0)
        workspace = Workspace(tmp_path / "again")
        with Ledger(workspace.db) as ledger, sign_in(Project(workspace.root).settings, tmp_path / "argilla") as argilla:
            loop = Loop(workspace, ledger, argilla)
            pushed = loop.push()
            loop.pull()
            answers = {r.record_id for r in ledger.responses(pushed.dataset)}
    finally:
        down(tmp_path / "argilla")
    assert there <= answers <= set(acknowledged)
    assert (pushed.sent, pushed.created) == (0, False)  # what was pushed is there


def test_the_command_line(tmp_path: Path, write_csv: Callable[..., Path], tutelage: Run) -> None:
    env = own_data_home(tmp_path)
    file, task = tmp_path / "copies" / "news.tar.gz", tmp_path / "news"
    tutelage("init", task, "--labels", "good,bad")
    (task / ".env").write_text("# secret\n", "utf-8")
    (task / "linked.csv").symlink_to(write_csv([{"text": "Sales rose."}]))
    tutelage("load", task / "linked.csv", "--task", task)
    said = json.loads(tutelage("backup", file, "--task", task, "--json", env=env).stdout)
    assert (said["task"], said["argilla"], said["bytes"]) == ("news", False, file.stat().st_size)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "is there already" in tutelage("backup", file, "--task", task, env=env, ok=False).stderr
    tutelage("backup", file, "--task", task, "--force", env=env)

    assert "is not empty" in tutelage("restore", file, "--task", task, env=env, ok=False).stderr
    tutelage("restore", file, "--task", tmp_path / "again", env=env)
    assert (tmp_path / "again" / ".env").read_text() == "# secret\n"
    assert (tmp_path / "again" / "linked.csv").read_text() == (task / "linked.csv").read_text()
    first, second = (json.loads(tutelage("status", "--task", at, "--json").stdout) for at in (task, tmp_path / "again"))
    assert first | {"next": ""} == second | {"next": ""}, "but for the directory's name"
    assert first["records"] == 1


def test_a_copy_can_be_put_beside_the_directory_that_one_is_in(
    make_task: Callable[..., Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(make_task(), tmp_path / "copy.tar.gz", tmp_path / "argilla")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    restore(Path("../copy.tar.gz"), Path("../again"), tmp_path / "argilla")
    assert (tmp_path / "again" / "task.yaml").exists()


def test_an_argilla_with_data_is_left_as_it_is(make_task: Callable[..., Workspace], tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory, content in ((here, "mine"), (there, "yours")):
        directory.mkdir()
        (directory / "credentials.json").write_text(content)
    with Ledger(here / "argilla.db"), Ledger(there / "argilla.db"):
        pass  # any database
    backup(make_task(), tmp_path / "copy.tar.gz", here)
    done = restore(tmp_path / "copy.tar.gz", tmp_path / "again", there)
    assert (done.argilla, done.argilla_kept) == (False, True)
    assert (there / "credentials.json").read_text() == "yours"


@pytest.fixture
def copy(make_task: Callable[..., Workspace], tmp_path: Path) -> Path:
    workspace = make_task()
    with Ledger(workspace.db):
        pass
    backup(workspace, tmp_path / "copy.tar.gz", None)
    return tmp_path / "copy.tar.gz"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_copy_that_was_cut_short_is_refused_and_nothing_is_written(copy: Path, tmp_path: Path, share: float) -> None:
    content = copy.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TaskError, match="cut short"):
        restore(copy, tmp_path / "again", tmp_path / "argilla")
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("task-")} == {"copy.tar.gz"}


def test_a_damaged_copy_is_refused(copy: Path, tmp_path: Path) -> None:
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 0xFF
    copy.write_bytes(content)
    with pytest.raises(TaskError, match="damaged"):
        restore(copy, tmp_path / "again", tmp_path / "argilla")


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "task/../../escaped"])
def test_no_archive_writes_outside_the_directory(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(TaskError, match="is not a file of a backup"):
        restore(tmp_path / "bad.tar.gz", tmp_path / "again", tmp_path / "argilla")


@pytest.mark.parametrize("what", ["missing", "other"])
def test_what_is_no_backup_is_refused(tmp_path: Path, what: str) -> None:
    file = tmp_path / "x.tar.gz"
    if what == "other":
        with tarfile.open(file, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("letter"), io.BytesIO())
    with pytest.raises(TaskError, match="give a file that tutelage backup wrote"):
        restore(file, tmp_path / "again", tmp_path / "argilla")


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 30))])
def test_a_killed_backup_leaves_none_or_a_whole_one(
    make_task: Callable[..., Workspace], tmp_path: Path, seed: int
) -> None:
    workspace = make_task()
    with Ledger(workspace.db):
        pass
    chance = random.Random(seed)
    (workspace.root / "large").write_bytes(chance.randbytes(30_000_000))
    file = tmp_path / "copy.tar.gz"
    process = started("backup", file, "--task", workspace.root, env=own_data_home(tmp_path))
    while process.poll() is None and not list(tmp_path.glob(".copy*")):
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 1.5))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if file.exists():
        restore(file, tmp_path / "again", tmp_path / "argilla")
        assert (tmp_path / "again" / "large").read_bytes() == (workspace.root / "large").read_bytes()
    backup(workspace, file, None, force=True)
    restore(file, tmp_path / "after", tmp_path / "argilla")


def test_linked_folders_are_in_it_and_what_is_no_file_is_not(
    make_task: Callable[..., Workspace], tmp_path: Path
) -> None:
    """Else the copy would lack the students, or could not be restored at all."""
    root, disk, back = make_task().root, tmp_path / "disk", tmp_path / "back"
    disk.mkdir()
    (disk / "model").write_text("weights", "utf-8")
    (root / "students").symlink_to(disk)
    (root / "round").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "pipe")
    backup(Workspace(root), tmp_path / "copy.tar.gz", None)
    restore(tmp_path / "copy.tar.gz", back, tmp_path / "argilla")
    assert sorted(path.relative_to(back).as_posix() for path in back.rglob("*") if path.is_file()) == [
        "students/model",
        "task.yaml",
    ]


def test_backups_in_the_directory_are_not_in_the_next_one(make_task: Callable[..., Workspace], tmp_path: Path) -> None:
    root, back = make_task().root, tmp_path / "back"
    with Ledger(root / "task.db"):
        pass
    backup(Workspace(root), root / "copies" / "one.tar.gz", None)
    with tarfile.open(root / "mine.tar.gz", "w:gz") as archive:
        archive.add(root / "task.yaml", "task.yaml")
    (root / "broken.tar.gz").write_bytes(b"no archive")
    done = backup(Workspace(root), root / "copies" / "two.tar.gz", None)
    restore(root / "copies" / "two.tar.gz", back, tmp_path / "argilla")
    held = {path.relative_to(back).as_posix() for path in back.rglob("*") if path.is_file()}
    assert held == {"task.yaml", "task.db", "mine.tar.gz", "broken.tar.gz"}
    assert done.files == len(held)
