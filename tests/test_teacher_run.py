"""``tutelage annotate`` as a person runs it: every vote asked once, kept, and counted where it counts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from teacher_server import Failure, running
from teaching import Make, Run, edit, rows, task_with, teacher, vote, voters

from tutelage.core.records import Record, Voter
from tutelage.loaders.ledger import Answer, Ledger
from tutelage.loaders.teacher.session import Session
from tutelage.loaders.teacher.teacher_ledger import TeacherLedger


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
            ledger.add([], [Answer(record_id="r1", voter=Voter("import", "column"), label_text="bad", reason="")])
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


def test_a_tie_goes_to_the_vote_with_the_lower_number_whichever_answer_came_first(make_task: Make) -> None:
    failures = 0

    def answer(text: str, _number: int, data: dict[str, Any]) -> str:
        nonlocal failures
        if text == "fine 1" and data["seed"] == 1 and failures < 3:
            failures += 1
            raise Failure(500, "Internal error")
        return "good" if data["seed"] == 1 else "bad"

    with running(answer) as (url, _):
        workspace = task_with(make_task, 2, teacher(url, votes=2, seed=1))
        Session.of(workspace).run()
    assert rows(workspace, "SELECT vote FROM answers WHERE record = 'r1' ORDER BY seq") == [(2,), (1,)]
    assert voters(workspace)["r1"] == ["t:cot:good", "t:cot:bad"]
    with TeacherLedger(workspace.db) as ledger:
        assert [vote.label for vote in ledger.page(workspace.task, after=1, size=1)[0].votes] == ["good", "bad"]


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
    assert json.loads(reject)["id"] == "long"
    assert "maximum context length" in json.loads(reject)["reason"]


def test_an_endpoints_refusal_is_no_vote_whatever_words_it_uses(make_task: Make, tutelage: Run) -> None:
    with running(vote, content_filter=1.0) as (url, _):
        workspace = task_with(make_task, 2, teacher(url, votes=1))
        tutelage("annotate", "--task", workspace.root)
    assert voters(workspace)["r1"] == ["t:cot:-"]
