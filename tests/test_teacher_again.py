"""``annotate --again``: votes that failed are asked for anew, as further attempts; what is stored stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from teacher_server import Failure, running
from teaching import Make, Run, rows, task_with, teacher, vote, voters

from tutelage.core.workspace import Workspace
from tutelage.loaders.teacher.annotate import AnnotateResult
from tutelage.loaders.teacher.session import Session
from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

PRICES = [{"since": "2026-01-01", "input": 1000, "output": 1000}]


def cut(text: str) -> bytes:
    choice = {"finish_reason": "length", "message": {"content": f"This {text} is"}}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}).encode()


class Moody:
    """Text 0 is cut off, text 1 filtered, text 2 gets no label, all else is right; once mended all are."""

    mended = False

    def __call__(self, text: str, number: int, data: dict[str, Any]) -> str | bytes:
        kind = None if self.mended else text.split()[1]
        if kind == "1":
            raise Failure(400, "The response was filtered due to the content management policy")
        return {"0": cut(text), "2": "I cannot tell"}.get(kind or "", vote(text, number, data))


def annotate(workspace: Workspace, again: str | None = None, **keys: Any) -> AnnotateResult:
    return Session.of(Workspace(workspace.root)).run(again=again, **keys)


@pytest.mark.parametrize(
    ("kind", "records"), [("cut", ["r0"]), ("refused", ["r1"]), ("abstentions", ["r0", "r1", "r2"])]
)
def test_votes_of_a_kind_are_asked_for_anew_and_what_is_stored_stays(
    kind: str, records: list[str], make_task: Make, tutelage: Run
) -> None:
    with running(answer := Moody()) as (url, server):
        workspace = task_with(make_task, 5, teacher(url, votes=1, prices=PRICES))
        first = annotate(workspace)
        stored = [rows(workspace, f"SELECT * FROM {name}") for name in ("answers", "calls", "replies")]
        answer.mended = True
        asked = len(server.log.starts)
        done = json.loads(tutelage("annotate", "--again", kind, "--task", workspace.root, "--json").stdout)
        assert len(server.log.starts) - asked == len(records)
        assert annotate(workspace, kind).again == 0  # nothing of the kind is left
    assert (first.abstentions, done["again"], done["votes"], done["abstentions"]) == (3, *[len(records)] * 2, 0)
    named = {record: labels for record, labels in voters(workspace).items() if labels != ["t:cot:-"]}
    assert sorted(named) == sorted({*records, "r3", "r4"})
    assert named[records[0]] == ["t:cot:good" if records[0] == "r1" else "t:cot:bad"]
    for name, before in zip(("answers", "calls", "replies"), stored, strict=True):
        assert rows(workspace, f"SELECT * FROM {name}")[: len(before)] == before
    with TeacherLedger(workspace.db) as ledger:
        (spent,) = ledger.spent()
    assert (spent.texts, spent.calls) == (5, 5 + len(records))
    assert spent.cost == pytest.approx(first.cost + done["cost"])


def test_an_interrupted_run_goes_on_with_the_votes_that_it_left(make_task: Make) -> None:
    with running(lambda *_: "I cannot tell") as (url, server):
        workspace = task_with(make_task, 6, teacher(url, votes=1, prices=PRICES))
        annotate(workspace)
        panel = Session.of(workspace).panels[0]
        part = annotate(workspace, "abstentions", budget=1.9)  # after some calls the next could exceed it
        assert part.budget_reached
        assert 0 < part.again < 6
        with TeacherLedger(workspace.db) as ledger:  # a reply came before a kill
            asking, *others = ledger.open_askings(panel)
            body = json.dumps({"choices": [{"message": {"content": "bad"}}]}).encode()
            ledger.keep_reply(asking.record_id, asking.voter, body, "", 0.1)
        asked = len(server.log.starts)
        rest = annotate(workspace, "abstentions")
        assert len(server.log.starts) - asked == len(others)
    assert (rest.again, rest.read_later) == (len(others) + 1, 1)
    assert voters(workspace)[asking.record_id] == ["t:cot:bad"]


def test_an_answer_to_a_further_attempt_is_read_anew_like_any_other(make_task: Make) -> None:
    with running(answer := Moody()) as (url, _):
        workspace = task_with(make_task, 3, teacher(url, votes=1))
        annotate(workspace)
        answer.mended = True
        annotate(workspace, "abstentions")
        with TeacherLedger(workspace.db) as ledger:
            ledger.set_read_with(Session.of(workspace).panels[0], "an earlier one")
        assert annotate(workspace).changed == ()
    assert voters(workspace) == {"r0": ["t:cot:bad"], "r1": ["t:cot:good"], "r2": ["t:cot:bad"]}


def test_a_text_that_was_too_long_gets_its_other_votes_once_it_is_taken(make_task: Make) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        if not larger:
            raise Failure(400, "This model's maximum context length is 8192 tokens")
        return vote(text, number, data)

    larger: list[bool] = []
    with running(answer) as (url, _):
        workspace = task_with(make_task, 1, teacher(url, votes=3))
        annotate(workspace)
        larger.append(True)
        assert annotate(workspace).votes == 0
        annotate(workspace, "refused")
    assert voters(workspace)["r0"] == ["t:cot:bad"] * 3
