"""``retrain --every``: when a run is due, when it begins, and how the schedule ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from filed import Filed

from tutelage.core.task import FILE_NAME
from tutelage.project import Project
from tutelage.steps.schedule import Schedule, ask
from tutelage.views.history import append_history, read_history

ROOT = Path(__file__).resolve().parent.parent
LINE = {"outcome": "kept", "message": "", "server": "", "dataset": "", "activity": "", "filed": ""}
LINE |= dict.fromkeys(("snapshot", "challenger", "champion"))
QUIET = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


@pytest.fixture
def task(tmp_path: Path) -> Filed:
    return Filed(tmp_path / "task", 40)


def began(task: Filed, ago: float) -> None:
    """A run that began so many seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    append_history(task.root, {**LINE, "at": at.isoformat()})


def schedule(task: Filed, every: float, stop: threading.Event, **options: Any) -> Schedule:
    """One that is stopped after its first run."""
    return Schedule(
        task.workspace, every, **{"activity": lambda: QUIET, "on_run": lambda _: stop.set(), "stop": stop, **options}
    )


@pytest.mark.parametrize(("ago", "left"), [(600, 3000), (7200, -3600), (-5, 3605)])
def test_the_next_run_is_due_an_interval_after_the_last_line(task: Filed, ago: float, left: float) -> None:
    began(task, ago)
    assert schedule(task, 3600, threading.Event()).due() - time.time() == pytest.approx(left, abs=2)


def test_the_first_run_is_due_at_once(task: Filed) -> None:
    assert schedule(task, 3600, threading.Event()).due() == 0


def test_a_clock_that_was_put_back_by_years_does_not_put_runs_off_for_years(task: Filed) -> None:
    began(task, -1e8)
    with at_work(task, 3600) as thread:
        thread.join(5)
        assert not thread.is_alive()


@contextmanager
def at_work(task: Filed, every: float, **options: Any) -> Iterator[threading.Thread]:
    """A schedule whose only run is that it begins: what it would call, ends it."""
    stop = threading.Event()
    runs = schedule(task, every, stop, **options)
    runs._run = dict  # type: ignore[method-assign]
    thread = threading.Thread(target=runs.run)
    thread.start()
    yield thread
    stop.set()
    thread.join()


def test_a_run_that_is_due_waits_until_nobody_answers_and_not_for_ever(task: Filed) -> None:
    began(task, 8.0)
    count = iter(range(1000))
    with at_work(task, 8.0, activity=lambda: f"{datetime.now(UTC).isoformat()} {next(count)}") as busy:
        busy.join(0.2)
        assert busy.is_alive(), "somebody is at work"
        busy.join(10)
        assert not busy.is_alive(), "put off for a quarter of the interval at most"


def test_in_a_quiet_moment_a_run_begins_at_once(task: Filed) -> None:
    began(task, 20.0)
    with at_work(task, 20.0) as quiet:
        quiet.join(5)
        assert not quiet.is_alive()


def test_an_argilla_that_does_not_answer_does_not_put_a_run_off(task: Filed) -> None:
    began(task, 20.0)

    def gone() -> str:
        raise ConnectionError

    assert ask(gone) is None
    with at_work(task, 20.0, activity=gone) as unknown:
        unknown.join(5)
        assert not unknown.is_alive()


def test_a_run_that_is_killed_is_a_line_and_does_not_end_the_schedule(task: Filed) -> None:
    said = list[dict[str, Any]]()
    stop = threading.Event()
    with (task.root / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write("retrain: {notify: tee told.json}\n")

    def show(done: dict[str, Any]) -> None:
        said.append(done)
        stop.set()

    runs = schedule(task, 60, stop, on_run=show)
    wait = runs._wait
    runs._wait = lambda _command, out: wait([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], out)  # type: ignore[method-assign]
    runs.run()
    assert [line["outcome"] for line in said] == ["failed"]
    assert "signal 9" in said[0]["message"]
    assert read_history(task.root)[-1]["message"] == said[0]["message"]
    assert "signal 9" in (task.root / "told.json").read_text("utf-8")
    assert runs.due() > time.time()


def started(task: Filed, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tutelage", "retrain", "--task", str(task.root), "--json", *words]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def await_lines(task: Filed, count: int) -> None:
    """Until the history has so many lines."""
    limit = time.monotonic() + 60
    while len(read_history(task.root)) < count and time.monotonic() < limit:
        time.sleep(0.05)


def test_runs_follow_each_other_a_failed_one_too_until_it_is_told_to_end(task: Filed) -> None:
    process = started(task, "--every", "3s", "--time-limit", "90.5s")
    await_lines(task, 1)
    (task.root / FILE_NAME).write_text("no task", "utf-8")
    await_lines(task, 2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["outcome"] for line in lines] == ["nothing_new", "failed"], err
    assert [line["at"] for line in lines] == [line["at"] for line in read_history(task.root)]
    assert process.returncode == 0
    assert "which tries again" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_between_runs(task: Filed, number: signal.Signals) -> None:
    began(task, 0)
    process = started(task, "--every", "7d")
    assert process.stderr
    assert process.stderr.readline().startswith("a run every 7 days")
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")


def test_a_signal_ends_a_run_too_which_is_then_due_at_the_next_start(task: Filed) -> None:
    text = (task.root / FILE_NAME).read_text("utf-8")
    os.mkfifo(task.root / "new.csv")  # whoever reads it waits
    (task.root / FILE_NAME).write_text(text + "sources: [{file: new.csv}]\n", "utf-8")
    process = started(task, "--every", "24h")
    lock = task.root / "retrain.lock"
    limit = time.monotonic() + 30
    while not (lock.exists() and lock.read_text()) and time.monotonic() < limit:
        time.sleep(0.05)
    run = int(lock.read_text())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert not Path(f"/proc/{run}").exists()
    assert read_history(task.root) == []


def test_in_a_folder_without_a_task_nothing_begins_and_nothing_is_written(
    tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    done = tutelage("retrain", "--task", tmp_path, "--json", ok=False)
    said = json.loads(done.stdout)
    assert (done.returncode, said["outcome"], said["problems"]) == (1, "failed", [])
    assert "task.yaml: no such file" in said["message"]
    done = tutelage("retrain", "--task", tmp_path, "--every", "1h", ok=False)
    assert (done.returncode, "task.yaml: no such file" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_who_cannot_be_told_because_the_task_file_is_wrong_is_said(task: Filed) -> None:
    (task.root / FILE_NAME).write_text("retrain: {margin: 2 %}", "utf-8")
    done = Project(task.root).retrain()
    assert "retrain.margin: must be a number" in done.message
    assert done.problems == ["nobody was told: the command stands in task.yaml (notify), which cannot be read"]
    assert read_history(task.root)[-1]["outcome"] == "failed"


@pytest.mark.parametrize("time", ["soon", "0h", "5", "-1h", "3w"])
def test_a_time_that_is_none_is_said(task: Filed, tutelage: Callable[..., CompletedProcess[str]], time: str) -> None:
    done = tutelage("retrain", "--task", task.root, f"--every={time}", ok=False)
    assert (done.returncode, "such as 30m, 24h or 7d" in done.stderr) == (2, True)
