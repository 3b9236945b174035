"""``tutelage annotate`` as a person runs it: never twice, interrupted at any point, two at once, on a full disk."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from teacher_server import Behaviour, Server, running

from loaders.ledger import Answer, Ledger
from loaders.teacher.ledger import TeacherLedger
from tutelage.record import Record, Voter
from tutelage.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
LABELS = ("good", "bad")
Run = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[..., Workspace]


def vote(text: str, number: int, _data: dict[str, Any]) -> str:
    label = "good" if "fine" in text else "bad"
    return json.dumps({"reason": f"reason {number}", "label": label})


def teacher(url: str, **keys: Any) -> dict[str, Any]:
    return {"name": "t", "license": "none", "model": "m", "base_url": url, **keys}


def task_with(make: Make, count: int, *teachers: dict[str, Any]) -> Workspace:
    workspace = make(LABELS, teachers=list(teachers))
    texts = [Record(f"r{n}", f"{'fine' if n % 2 else 'awful'} {n}") for n in range(count)]
    with Ledger(workspace.db) as ledger:
        ledger.add(texts)
    return workspace


def edit(workspace: Workspace, **keys: Any) -> Workspace:
    """Change the first teacher of the task file."""
    path = workspace.root / "task.yaml"
    task = yaml.safe_load(path.read_text("utf-8"))
    task["teachers"][0].update(keys)
    path.write_text(yaml.safe_dump(task), "utf-8")
    return Workspace(workspace.root)


def voters(workspace: Workspace) -> dict[str, list[str]]:
    """The labels of each record's votes, by teacher and prompt's name, abstentions as '-'."""
    with Ledger(workspace.db) as ledger:
        return {
            record.id: [f"{v.voter.teacher}:{v.voter.prompt.split('@')[0]}:{v.label or '-'}" for v in record.votes]
            for record in ledger.records(workspace.task)
        }


def rows(workspace: Workspace, query: str) -> list[Any]:
    with sqlite3.connect(workspace.db) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def start(workspace: Workspace, *words: str, **keys: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tutelage", "annotate", "--task", str(workspace.root), *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keys)


def wait_for_votes(server: Server, count: int) -> None:
    until = time.monotonic() + 30
    while server.log.outcomes["ok"] < count and time.monotonic() < until:
        time.sleep(0.01)


def test_every_vote_is_asked_once_and_kept_with_what_is_known_of_its_call(make_task: Make, tutelage: Run) -> None:
    prices = [{"since": "2026-01-01", "input": 1, "output": 2}]
    with running(vote) as (url, server):
        workspace = task_with(make_task, 30, teacher(url, prices=prices, logprobs=True))
        first = json.loads(tutelage("annotate", "--task", workspace.root, "--json").stdout)
        again = json.loads(tutelage("annotate", "--task", workspace.root, "--json").stdout)
    assert (first["votes"], first["abstentions"], again["votes"]) == (90, 0, 0)
    assert server.log.answered() == dict.fromkeys([f"{'fine' if n % 2 else 'awful'} {n}" for n in range(30)], 3)
    assert voters(workspace)["r1"] == ["t:cot:good"] * 3
    assert voters(workspace)["r2"] == ["t:cot:bad"] * 3
    (call,) = rows(
        workspace, "SELECT raw, finish, tokens_in, tokens_out, cost, latency, probability FROM calls LIMIT 1"
    )
    raw, finish, tokens_in, tokens_out, cost, latency, probability = call
    assert (json.loads(raw)["reason"], finish) == ("reason 0", "stop")
    assert cost == pytest.approx((tokens_in + 2 * tokens_out) / 1e6)
    assert first["cost"] == pytest.approx(rows(workspace, "SELECT sum(cost) FROM calls")[0][0])
    assert 0 < latency < 5
    assert 0.8 < probability < 1
    (panel,) = rows(workspace, "SELECT prompt, model, digest, parameters, filled FROM panels")
    assert panel[0] == f"cot@{panel[2][:8]}"
    assert json.loads(panel[3]) == {"temperature": 0.7, "max_tokens": 512}
    assert "Labels:\n- good\n- bad" in panel[4]


def test_reasons_and_answers_stand_in_the_ledger(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, _):
        workspace = task_with(make_task, 1, teacher(url, votes=1))
        tutelage("annotate", "--task", workspace.root)
    with Ledger(workspace.db) as ledger:
        (record,) = ledger.records(workspace.task)
    assert (record.votes[0].label, record.votes[0].reason) == ("bad", "reason 0")


def test_several_teachers_and_prompts_have_votes_of_their_own(make_task: Make, tutelage: Run) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        return vote(text, number, data) if data["model"] == "m" else "Bad."

    with running(answer) as (url, _):
        prompts = [{"name": "cot", "votes": 2}, {"name": "plain", "votes": 1, "temperature": 0}]
        other = {**teacher(url, votes=1, prompts=["plain"]), "name": "u", "model": "m2"}
        workspace = task_with(make_task, 4, teacher(url, prompts=prompts), other)
        tutelage("annotate", "--task", workspace.root)
    assert Counter(voters(workspace)["r1"]) == {"t:cot:good": 2, "t:plain:good": 1, "u:plain:bad": 1}


def test_votes_of_a_prompt_that_changed_stay_and_no_longer_count(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 3, teacher(url, votes=1))
        with Ledger(workspace.db) as ledger:
            ledger.add([], [Answer("r1", Voter("import", "column"), "bad", "")])
        tutelage("annotate", "--task", workspace.root)
        assert voters(workspace)["r1"] == ["import:column:bad", "t:cot:good"]
        edit(workspace, temperature=0.2)
        tutelage("annotate", "--task", workspace.root)
        assert voters(workspace)["r1"] == ["import:column:bad", "t:cot:good"]
        assert server.log.outcomes["ok"] == 6
        assert rows(workspace, "SELECT count(*) FROM answers WHERE record = 'r1'") == [(3,)]
        edit(workspace, temperature=0.7)  # back: the first votes count again and nothing is asked
        tutelage("annotate", "--task", workspace.root)
        assert server.log.outcomes["ok"] == 6
    assert rows(workspace, "SELECT sum(present) FROM panels") == [(1,)]


def test_more_votes_are_asked_only_for_what_is_missing(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 5, teacher(url, votes=1))
        tutelage("annotate", "--task", workspace.root)
        tutelage("annotate", "--task", workspace.root, "--votes", 3)
    assert server.log.outcomes["ok"] == 15
    assert voters(workspace)["r1"] == ["t:cot:good"] * 3


def test_early_stops_are_taken_and_noted(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 10, teacher(url, early_stop=True))
        done = json.loads(tutelage("annotate", "--task", workspace.root, "--json").stdout)
        again = json.loads(tutelage("annotate", "--task", workspace.root, "--json").stdout)
    assert server.log.outcomes["ok"] == 20
    assert (done["early_stops"], done["saved"], again["early_stops"]) == (10, 10, 0)
    with TeacherLedger(workspace.db) as ledger:
        assert ledger.early_stop_count() == (10, 10)


def test_doubt_is_escalated_to_the_second_teacher(make_task: Make, tutelage: Run) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        unsure = data["model"] == "m" and text.endswith("3") and number == 2
        return "good or bad" if unsure else vote(text, number, data)

    with running(answer) as (url, server):
        big = {**teacher(url, votes=1, escalate=True), "name": "big", "model": "m2"}
        workspace = task_with(make_task, 6, teacher(url), big)
        tutelage("annotate", "--task", workspace.root)
    assert Counter(body["model"] for body in server.log.bodies) == {"m": 18, "m2": 1}
    assert Counter(voters(workspace)["r3"]) == {"t:cot:good": 2, "t:cot:-": 1, "big:cot:good": 1}


def test_refused_texts_are_rejected_with_the_reason_and_not_asked_again(make_task: Make, tutelage: Run) -> None:
    with running(vote, longest=1000) as (url, server):
        workspace = task_with(make_task, 3, teacher(url))
        with Ledger(workspace.db) as ledger:
            ledger.add([Record("long", "word good " * 200)])
        done = tutelage("annotate", "--task", workspace.root)
        asked = len(server.log.starts)
        tutelage("annotate", "--task", workspace.root)
        assert len(server.log.starts) == asked
    assert "texts refused (see rejects.jsonl)" in done.stdout
    assert set(voters(workspace)["long"]) == {"t:cot:-"}
    (reject,) = {json.dumps(row) for row in map(json.loads, workspace.rejects.read_text("utf-8").splitlines())}
    assert json.loads(reject)["record"] == "long"
    assert "maximum context length" in json.loads(reject)["reason"]


def test_an_endpoints_refusal_is_no_vote_whatever_words_it_uses(make_task: Make, tutelage: Run) -> None:
    with running(vote, content_filter=1.0) as (url, _):
        workspace = task_with(make_task, 2, teacher(url, votes=1))
        tutelage("annotate", "--task", workspace.root)
    assert voters(workspace)["r1"] == ["t:cot:-"]


# Interrupted


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
        kept = rows(workspace, "SELECT count(*) FROM calls")[0][0]
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
        kept = rows(workspace, "SELECT count(*) FROM calls")[0][0]
        kill_somewhere(workspace, server, draw)
        now = rows(workspace, "SELECT count(*) FROM calls")[0][0]
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
    assert server.log.outcomes["ok"] - 3 * count <= kills * at_once


def test_a_second_run_says_that_the_first_is_running(make_task: Make, tutelage: Run) -> None:
    with running(vote, latency=0.2) as (url, server):
        workspace = task_with(make_task, 40, teacher(url, limits={"concurrency": 4}))
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
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

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


# Money, plans, secrets, words


PRICES = [{"since": "2025-01-01", "input": 10, "output": 20}, {"since": "2026-01-01", "input": 1, "output": 2}]


def test_the_plan_asks_nothing_and_learns_from_calls(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 20, teacher(url, prices=PRICES))
        plan = json.loads(tutelage("annotate", "--task", workspace.root, "--plan", "--json").stdout)
        assert server.log.starts == []
        (panel,) = plan["panels"]
        assert (plan["calls"], panel["measured"], panel["price_since"]) == (60, False, "2026-01-01")
        assert panel["cost"] == pytest.approx((panel["tokens_in"] + 2 * panel["tokens_out"]) / 1e6)
        assert panel["cost_at_most"] == pytest.approx((panel["tokens_in"] + 2 * 60 * 512) / 1e6)
        done = json.loads(tutelage("annotate", "--task", workspace.root, "--json", "--votes", 1).stdout)
        rest = json.loads(tutelage("annotate", "--task", workspace.root, "--plan", "--json").stdout)
    assert (rest["calls"], rest["panels"][0]["measured"]) == (40, True)
    assert rest["panels"][0]["tokens_in"] == pytest.approx(2 * done["tokens_in"], rel=0.02)
    assert rest["panels"][0]["tokens_out"] == pytest.approx(2 * done["tokens_out"], rel=0.02)


def test_a_budget_ends_the_run_before_it_is_exceeded_and_the_next_goes_on(make_task: Make, tutelage: Run) -> None:
    with running(vote, latency=0.01) as (url, _):
        workspace = task_with(make_task, 50, teacher(url, prices=PRICES))
        part = json.loads(tutelage("annotate", "--task", workspace.root, "--json", "--budget", 0.02).stdout)
        assert part["budget_reached"]
        assert 0.01 < part["cost"] <= 0.02
        words = tutelage("annotate", "--task", workspace.root, "--budget", 5).stdout
    assert "150" not in words
    assert f"{150 - part['votes']} votes on" in words
    assert rows(workspace, "SELECT count(*) FROM calls") == [(150,)]


def test_a_budget_without_prices_is_refused(make_task: Make, tutelage: Run) -> None:
    workspace = task_with(make_task, 1, teacher("http://127.0.0.1:9/v1"))
    done = tutelage("annotate", "--task", workspace.root, "--budget", 1, ok=False)
    assert done.returncode == 1
    assert "--budget needs prices: give teacher 't'" in done.stderr


def test_what_was_spent_is_known_by_teacher_prompt_and_vote(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, _):
        workspace = task_with(make_task, 5, teacher(url, votes=2, prices=PRICES))
        done = json.loads(tutelage("annotate", "--task", workspace.root, "--json").stdout)
    with TeacherLedger(workspace.db) as ledger:
        spent = ledger.spent()
    assert [(s.teacher, s.vote, s.calls) for s in spent] == [("t", 1, 5), ("t", 2, 5)]
    assert sum(s.cost for s in spent) == pytest.approx(done["cost"])
    assert sum(s.tokens_in for s in spent) == done["tokens_in"]
    status = tutelage("status", "--task", workspace.root)
    assert f"vote 2: 5 records, {spent[1].tokens_in} tokens in, {spent[1].tokens_out} out, {spent[1].cost:.4f} USD" in (
        status.stdout
    )


@pytest.mark.parametrize("where", ["environment", ".env", "file"])
def test_keys_come_from_outside_the_task_and_are_seen_nowhere(where: str, make_task: Make, tutelage: Run) -> None:
    key = "sk-TopSecret77"
    with running(vote, key=key) as (url, _):
        source = {"api_key_file": "key.txt"} if where == "file" else {"api_key_env": "MY_KEY"}
        workspace = task_with(make_task, 2, teacher(url, **source))
        missing = tutelage("annotate", "--task", workspace.root, ok=False)
        assert missing.returncode == 1
        assert ("key.txt" if where == "file" else "set MY_KEY in the environment or in") in missing.stderr
        (workspace.root / "key.txt").write_text(f"{key}\n", "utf-8")
        if where == ".env":
            (workspace.root / ".env").write_text(f"MY_KEY={key}\n", "utf-8")
        env = {"MY_KEY": key} if where == "environment" else {}
        done = tutelage("annotate", "--task", workspace.root, env=env)
    assert "6 votes" in done.stdout
    assert key.encode() not in workspace.db.read_bytes()
    for path in workspace.root.glob("task.db*"):
        assert key.encode() not in path.read_bytes()
    assert key not in done.stdout + done.stderr + missing.stderr


def test_an_endpoint_error_shows_no_key_and_no_traceback(make_task: Make, tutelage: Run) -> None:
    with running(vote, key="another") as (url, server):
        workspace = task_with(make_task, 30, teacher(url, api_key_env="MY_KEY"))
        done = tutelage("annotate", "--task", workspace.root, env={"MY_KEY": "sk-Wrong99"}, ok=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "refuses the key" in done.stderr
    assert "Wrong99" not in done.stderr
    assert server.log.outcomes == {"401": 1}


def test_without_a_teacher_or_texts_the_next_step_is_said(make_task: Make, tutelage: Run) -> None:
    done = tutelage("annotate", "--task", make_task(LABELS).root, ok=False)
    assert "names no teacher to ask; give one a model" in done.stderr
    done = tutelage("annotate", "--task", make_task(LABELS, teachers=[teacher("http://h/v1")]).root, ok=False)
    assert "no texts yet; tutelage load or import brings them" in done.stderr


def test_votes_without_an_answer_are_left_for_the_next_run(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        server.behaviour = Behaviour(error_500=0.5, seed=5)
        workspace = task_with(make_task, 12, teacher(url, votes=1, limits={"attempts": 1}))
        done = json.loads(tutelage("annotate", "--task", workspace.root, "--json").stdout)
        assert done["unanswered"] == 12 - done["votes"] > 0
        assert done["troubles"] == {"5xx": done["unanswered"]}
        server.behaviour = Behaviour()
        words = tutelage("annotate", "--task", workspace.root).stdout
    assert f"{done['unanswered']} votes on {done['unanswered']} records" in words
    assert server.log.outcomes["ok"] == 12
