"""Before the money goes: the plan shows a prompt, and a pilot shows some answers as they were read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from teacher_server import running
from teaching import Make, Run, task_with, teacher, vote

PRICES = [{"since": "2026-01-01", "input": 1, "output": 2}]


@pytest.mark.parametrize("flag", ["--plan", "--dry-run"])
def test_a_dry_run_shows_each_prompt_as_it_would_be_sent(flag: str, make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 2, teacher(url, prompts=["cot", "plain"], votes=1))
        words = tutelage("annotate", flag, "--task", workspace.root).stdout
        plan = json.loads(tutelage("annotate", flag, "--task", workspace.root, "--json").stdout)
        assert server.log.starts == []
        tutelage("annotate", "--task", workspace.root)
        sent = {body["messages"][0]["content"] for body in server.log.bodies}
    assert words.count("<text>\n  awful 0\n  </text>") == 2
    assert {panel["example"] for panel in plan["panels"]} < sent


def test_a_pilot_asks_few_texts_and_shows_what_was_read(make_task: Make, tutelage: Run) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        return "Who can\x1b[31m tell" if text.startswith("awful") and number == 1 else vote(text, number, data)

    with running(answer) as (url, server):
        workspace = task_with(make_task, 40, teacher(url, votes=2, prices=PRICES))
        tried = json.loads(tutelage("annotate", "--pilot", 6, "--task", workspace.root, "--json").stdout)
        texts = {answer["text"] for answer in tried["answers"]}
        assert set(server.log.answered()) == texts
        assert (tried["texts"], len(tried["answers"]), len(server.log.starts)) == (6, 12, 12)
        again = tutelage("annotate", "--pilot", 6, "--task", workspace.root)
        assert len(server.log.starts) == 12  # the same texts
        done = json.loads(tutelage("annotate", "--task", workspace.root, "--json").stdout)
    awful = sum(text.startswith("awful") for text in texts)
    assert 0 < awful < 6
    assert (tried["abstentions"], tried["labels"]) == (awful, {"bad": awful, "good": 6 - awful})
    assert (tried["run"]["votes"], done["votes"], tried["rest"][0]["calls"]) == (12, 68, 68)
    assert tried["run"]["cost"] > 0
    assert "no label in: Who can␛[31m tell" in again.stdout
    assert ": good (reason 0)" in again.stdout
    assert f"6 texts, 12 answers, {awful} abstentions; labels: " in again.stdout
    assert "the rest: t cot@" in again.stdout
    assert "next: tutelage annotate" in again.stderr


def test_a_pilot_that_grows_keeps_its_texts(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 30, teacher(url, votes=1))
        for count in (3, 8):
            tutelage("annotate", "--pilot", count, "--task", workspace.root)
    assert len(server.log.starts) == 8


def test_plan_pilot_and_again_do_not_go_together(make_task: Make, tutelage: Run) -> None:
    workspace = task_with(make_task, 1, teacher("http://127.0.0.1:9/v1"))
    done = tutelage("annotate", "--plan", "--pilot", 2, "--task", workspace.root, ok=False)
    assert done.returncode == 2
    assert "--plan and --pilot cannot go together" in done.stderr
