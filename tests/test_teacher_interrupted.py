"""``tutelage annotate`` interrupted at any point, two at once, on a full disk: no answer lost, none paid for twice."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from typing import Any

import pytest
from teacher_server import Server, running
from teaching import Make, Run, rows, start, task_with, teacher, vote, wait_for_votes

from tutelage.core.workspace import Workspace


def test_ctrl_c_keeps_what_arrived_and_the_next_run_asks_the_rest(make_task: Make, tutelage: Run) -> None:
    with running(vote, latency=0.05) as (url, server):
        workspace = task_with(make_task, 60, teacher(url, limits={"concurrency": 4}))
        process = start(workspace)
        wait_for_votes(server, 20)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "interrupted" in said
        assert "Traceback" not in said
        kept = rows(workspace, "SELECT count(*) FROM replies")[0][0]
        answered = server.log.outcomes["ok"]
        assert 16 <= answered - 4 <= kept <= answered
        tutelage("annotate", "--task", workspace.root)
    assert rows(workspace, "SELECT count(*) FROM calls") == [(180,)]
    assert server.log.outcomes["ok"] - 180 <= 4


def kill_somewhere(workspace: Workspace, server: Server, draw: random.Random) -> None:
    """Start a run and kill it within its first votes."""
    process = start(workspace)
    wait_for_votes(server, server.log.outcomes["ok"] + draw.randrange(1, 12))
    time.sleep(draw.uniform(0, 0.02))
    process.kill()
    process.communicate()
    time.sleep(0.1)  # the endpoint answers what was in flight, and counts it


def killed_runs(workspace: Workspace, server: Server, *, kills: int, at_once: int) -> None:
    """After every kill: what is in the ledger was answered, and only calls in flight are missing from it."""
    draw, missing = random.Random(kills), 0
    for _ in range(kills):
        kept = rows(workspace, "SELECT count(*) FROM replies")[0][0]
        kill_somewhere(workspace, server, draw)
        now = rows(workspace, "SELECT count(*) FROM replies")[0][0]
        assert now >= kept
        assert rows(workspace, "PRAGMA integrity_check") == [("ok",)]
        assert server.log.outcomes["ok"] - now - missing <= at_once
        missing = server.log.outcomes["ok"] - now


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.long)])
def test_kill_9_loses_no_answer_and_asks_none_twice_but_those_in_flight(
    kills: int, make_task: Make, tutelage: Run
) -> None:
    at_once, count = 4, max(40, 6 * kills)
    with running(vote, latency=0.02) as (url, server):
        workspace = task_with(make_task, count, teacher(url, limits={"concurrency": at_once}))
        killed_runs(workspace, server, kills=kills, at_once=at_once)
        tutelage("annotate", "--task", workspace.root)
    assert rows(workspace, "SELECT count(*), count(DISTINCT record) FROM answers") == [(3 * count, count)]
    assert rows(workspace, "SELECT count(*) FROM calls") == [(3 * count,)]
    assert rows(workspace, "SELECT count(*), max(attempt) FROM replies") == [(3 * count, 1)]
    assert server.log.outcomes["ok"] - 3 * count <= kills * at_once


def test_a_second_run_says_that_the_first_is_running(make_task: Make, tutelage: Run) -> None:
    with running(vote, latency=0.2) as (url, server):
        workspace = task_with(make_task, 400, teacher(url, limits={"concurrency": 4}))
        first = start(workspace)
        wait_for_votes(server, 2)
        second = tutelage("annotate", "--task", workspace.root, ok=False)
        plan = tutelage("annotate", "--task", workspace.root, "--plan")
        first.kill()
        first.communicate()
    assert second.returncode == 1
    assert f"another annotate is running here (process {first.pid})" in second.stderr
    assert "calls" in plan.stdout


def test_a_full_disk_ends_the_run_with_one_message_and_the_next_run_goes_on(make_task: Make, tutelage: Run) -> None:
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    def wordy(text: str, number: int, data: dict[str, Any]) -> str:
        answer = json.loads(vote(text, number, data))
        return json.dumps({**answer, "reason": os.urandom(1000).hex()})

    with running(wordy) as (url, server):
        workspace = task_with(make_task, 200, teacher(url, limits={"concurrency": 4}))
        process = start(workspace, preexec_fn=limit_files)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "Traceback" not in said
        assert "what was committed before is kept, run it again" in said
        kept = rows(workspace, "SELECT count(*) FROM calls")[0][0]
        assert 10 < kept < 600
        tutelage("annotate", "--task", workspace.root)
    assert rows(workspace, "SELECT count(*) FROM calls") == [(600,)]
    assert server.log.outcomes["ok"] - 600 <= 8  # what was in flight, and what took its place before the end
