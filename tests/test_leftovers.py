"""What killed runs leave, and which of it is removed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_data import small_task

from tutelage.core.files import write_text
from tutelage.core.locks import locked
from tutelage.core.workspace import Workspace
from tutelage.training.leftovers import sweep
from tutelage.training.retention import clear
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

ROOT = Path(__file__).parents[1]
HOUR, DAY = 3600, 86_400
WRITER = """
import sys
from pathlib import Path
from tutelage.core.files import new_folder, replacing

with replacing(Path(sys.argv[1])) as file, new_folder(Path(sys.argv[2]), "manifest.json") as folder:
    file.write_text("half")
    (folder / "data").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""
TRAINING = """
import sys
from pathlib import Path
from tutelage.core.workspace import Workspace
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

def wait(state):
    if state.step.startswith("saving"):
        print("training", flush=True)
        sys.stdin.read()

train(Workspace(Path(sys.argv[1])), parse_student("linear", human_weight=float(sys.argv[2])), progress=wait)
"""


def started(program: str, *words: object) -> subprocess.Popen[str]:
    """A process that has come to the place where it waits."""
    command = [sys.executable, "-c", program, *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline()
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def age(seconds: float, *paths: Path) -> None:
    for path in paths:
        for part in (path, *path.glob("*")):
            os.utime(part, (time.time() - seconds,) * 2)


def test_half_a_file_goes_when_its_writer_is_killed_and_an_hour_has_passed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    process = started(WRITER, workspace.students / "history.json", workspace.students / "linear-1")
    try:
        (left,) = workspace.students.glob(".history.json.*")
        (folder,) = workspace.students.glob(".writing-*")
        age(2 * HOUR, left, folder)
        sweep(workspace)
        assert left.exists(), "its writer is there"
        assert folder.exists()
    finally:
        kill(process)
    age(HOUR / 2, left, folder)
    sweep(workspace)
    assert left.exists(), "too young"
    assert folder.exists()
    age(2 * HOUR, left, folder)
    kept = workspace.students / ".history.json.bak"
    kept.write_text("mine", "utf-8")
    age(2 * HOUR, kept)
    clear(workspace, [])
    assert list(workspace.students.iterdir()) == [kept]


def test_a_killed_training_can_be_gone_on_with_for_a_week(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    process = started(TRAINING, tmp_path, 3.0)
    (work,) = workspace.students.glob(".work-*")
    (lock,) = workspace.students.glob(".lock-*")
    name = work.name.removeprefix(".work-")
    age(8 * DAY, work)
    sweep(workspace)
    assert work.exists(), "it is being trained"
    assert lock.exists()
    kill(process)
    sweep(workspace, resumed=[name])
    assert work.exists(), "this call goes on from it"
    age(6 * DAY, work)
    train(workspace, parse_student("linear"))
    assert (work.exists(), lock.exists()) == (True, False)
    age(8 * DAY, work)
    sweep(workspace)
    assert [path.name for path in workspace.students.glob(".*")] == []


def test_checkpoints_of_a_student_that_is_complete_go_at_once(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    trained = train(workspace, parse_student("linear"))
    work = workspace.students / f".work-{trained.id}"
    write_text(work / "took-0.json", "{}")
    sweep(workspace)
    assert not work.exists()
    assert Path(trained.path).exists()


def test_a_lock_that_was_removed_while_one_waited_is_taken_anew(tmp_path: Path) -> None:
    lock, waited = tmp_path / "lock", list[str]()

    def remove(holder: str) -> None:
        waited.append(holder)
        lock.unlink()
        holding.close()

    holding = Holder(lock)
    with locked(lock, on_wait=remove):
        assert lock.exists(), "the next one would hold it too"
        with pytest.raises(InterruptedError), locked(lock, on_wait=refuse):
            pass
    assert waited == ["unknown"]


class Holder:
    """Holds the lock of a file until it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        self._file.close()


def refuse(_holder: str) -> None:
    raise InterruptedError
