"""``tutelage annotate``: plans, budgets, secrets, and what is said when nothing can be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from teacher_server import Behaviour, running
from teaching import LABELS, Make, Run, rows, task_with, teacher, vote

from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

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
        assert (part["budget_reached"], part["complete"]) == (True, False)
        assert 0.01 < part["cost"] <= 0.02
        words = tutelage("annotate", "--task", workspace.root, "--budget", 5).stdout
    assert "150" not in words
    assert f"{150 - part['votes']} votes on" in words
    assert rows(workspace, "SELECT count(*) FROM calls") == [(150,)]


def test_a_budget_without_prices_is_refused(make_task: Make, tutelage: Run) -> None:
    workspace = task_with(make_task, 1, teacher("http://127.0.0.1:9/v1"))
    done = tutelage("annotate", "--task", workspace.root, "--budget", 1, ok=False)
    assert done.returncode == 1
    assert "--budget needs prices: set those of teacher 't'" in done.stderr


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
    assert "rejected the API key" in done.stderr
    assert "Wrong99" not in done.stderr
    assert server.log.outcomes == {"401": 1}


def test_without_a_teacher_or_texts_the_next_step_is_said(make_task: Make, tutelage: Run) -> None:
    done = tutelage("annotate", "--task", make_task(LABELS).root, ok=False)
    assert "has no teacher with a model; add one" in done.stderr
    done = tutelage("annotate", "--task", make_task(LABELS, teachers=[teacher("http://h/v1")]).root, ok=False)
    assert "no texts yet; add some with: tutelage load" in done.stderr


def test_votes_without_an_answer_are_left_for_the_next_run(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        server.behaviour = Behaviour(error_500=0.5, seed=5)
        workspace = task_with(make_task, 12, teacher(url, votes=1, limits={"attempts": 1}))
        ended = tutelage("annotate", "--task", workspace.root, "--json", ok=False)
        done = json.loads(ended.stdout)
        assert (ended.returncode, done["complete"], done["why"]) == (1, False, {"5xx": done["unanswered"]})
        assert f"{done['unanswered']} votes are missing ({done['unanswered']} after 5xx)" in ended.stderr
        assert done["unanswered"] == 12 - done["votes"] > 0
        assert done["troubles"] == {"5xx": done["unanswered"]}
        server.behaviour = Behaviour()
        words = tutelage("annotate", "--task", workspace.root).stdout
    assert f"{done['unanswered']} votes on {done['unanswered']} records" in words
    assert server.log.outcomes["ok"] == 12


@pytest.mark.parametrize("greedy", [True, False])
def test_paying_several_times_for_one_answer_is_said(greedy: bool, make_task: Make, tutelage: Run) -> None:  # noqa: FBT001
    def answer(text: str, number: int, _data: dict[str, Any]) -> str:
        return json.dumps({"reason": f"This is about {text}.", "label": "good", "n": 0 if greedy else number})

    with running(answer) as (url, _):
        workspace = task_with(make_task, 12, teacher(url))
        words = tutelage("annotate", "--task", workspace.root).stdout
    assert ("the votes on 12 of 12 records are word for word the same" in words) is greedy
