"""What came over the wire is kept whole before it is read; it is read later, and anew, without asking again."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from teacher_server import running
from teaching import Make, Run, edit, rows, task_with, teacher, vote, voters

from tutelage.core.workspace import Workspace
from tutelage.loaders.teacher.annotate import AnnotateResult
from tutelage.loaders.teacher.session import Session
from tutelage.loaders.teacher.teacher_ledger import StoredAnswer, TeacherLedger


def completion(content: Any, **keys: Any) -> bytes:
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": content}, **keys.pop("choice", {})}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}, **keys}).encode()


def annotate(workspace: Workspace) -> AnnotateResult:
    return Session.of(Workspace(workspace.root)).run()


def test_every_attempt_is_kept_byte_for_byte_with_its_number(make_task: Make) -> None:
    def answer(_text: str, number: int, _data: dict[str, Any]) -> bytes:
        return b'\xff{"choices": \xc3' if number == 0 else completion("good")

    with running(answer) as (url, _):
        workspace = task_with(make_task, 2, teacher(url, votes=1))
        annotate(workspace)
    kept = rows(workspace, "SELECT record, vote, attempt, body FROM replies ORDER BY record, attempt")
    broken = b'\xff{"choices": \xc3'
    whole = [(*vote, zlib.decompress(body)) for *vote, body in kept]
    assert whole == [(r, 1, n, body) for r in ("r0", "r1") for n, body in ((1, broken), (2, completion("good")))]
    assert rows(workspace, "SELECT attempts FROM calls") == [(2,), (2,)]


def test_a_long_reply_takes_little_room_and_is_read_as_it_came(make_task: Make) -> None:
    tokens = [{"token": f" t{number}", "logprob": -0.1 * number, "top_logprobs": []} for number in range(200)]
    body = completion("good", choice={"logprobs": {"content": tokens}})
    workspace = task_with(make_task, 2, teacher("http://127.0.0.1:1/v1", votes=1))
    (panel,) = Session.of(workspace).panels
    with TeacherLedger(workspace.db) as ledger:
        ledger.keep_reply("r0", panel.voter(1), body, "json_schema", 1.0)
        ledger._db.execute(
            "INSERT INTO replies (record, teacher, prompt, vote, attempt, body, structured, latency)"
            " VALUES ('r1', ?, ?, 1, 1, ?, '', 1.0)",
            [*panel.key, body],  # as the first ledgers with replies held it
        )
        assert [kept.body for kept in ledger.unread(panel)] == [body, body]
    assert rows(workspace, "SELECT length(body) FROM replies WHERE record = 'r0'")[0][0] < len(body) / 4


def test_a_reply_that_came_before_a_kill_is_read_by_the_next_run_and_not_asked_for_again(make_task: Make) -> None:
    prices = [{"since": "2026-01-01", "input": 1000, "output": 1000}]
    with running(vote) as (url, server):
        workspace = task_with(make_task, 3, teacher(url, votes=1, prices=prices))
        panels = Session.of(workspace).panels
        with TeacherLedger(workspace.db) as ledger:
            ledger.set_panels(panels)
            ledger.keep_reply("r1", panels[0].voter(1), b"<html>upstream hiccup</html>", "", 0.5)
            ledger.keep_reply("r1", panels[0].voter(1), completion("Label: good"), "json_schema", 0.5)
            ledger.keep_reply("r2", panels[0].voter(1), b"not even a body", "", 0.5)
        done = annotate(workspace)
        again = annotate(workspace)
    assert (done.votes, done.read_later, again.votes, again.read_later) == (3, 1, 0, 0)
    assert server.log.answered() == {"awful 0": 1, "awful 2": 1}
    assert voters(workspace) == {"r0": ["t:cot:bad"], "r1": ["t:cot:good"], "r2": ["t:cot:bad"]}
    query = "SELECT c.cost, c.latency, c.attempts, c.structured FROM calls c JOIN answers a ON a.seq = c.answer"
    assert rows(workspace, f"{query} WHERE a.record = 'r1'") == [(pytest.approx(0.011), 0.5, 2, "json_schema")]


def stored(workspace: Workspace, *readings: tuple[str, str]) -> None:
    """A ledger as an earlier version left it: what it read, and in which answer."""
    (panel,) = Session.of(workspace).panels
    with TeacherLedger(workspace.db) as ledger:
        ledger.set_panels([panel])
        ledger.add_answers(
            [
                StoredAnswer(
                    record_id=f"r{n}",
                    voter=panel.voter(1),
                    label_text=label_text,
                    reason="",
                    raw=raw,
                    rung="prose",
                    finish="stop",
                    structured="",
                    tokens_in=1,
                    tokens_out=1,
                    cost=0.1,
                    latency=0.1,
                    attempts=1,
                    probability=None,
                )
                for n, (label_text, raw) in enumerate(readings)
            ]
        )


def test_answers_that_an_earlier_parser_misread_are_read_anew_for_nothing(make_task: Make, tutelage: Run) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 4, teacher(url, votes=1))
        stored(workspace, ("good", "It is far from good"), ("good", "Label: good"), ("", "<think>x</think>bad"))
        before = rows(workspace, "SELECT * FROM answers ORDER BY seq")
        words = tutelage("annotate", "--task", workspace.root).stdout
        done = annotate(workspace)
        assert server.log.answered() == {"fine 3": 1}
    assert voters(workspace) == {"r0": ["t:cot:-"], "r1": ["t:cot:good"], "r2": ["t:cot:bad"], "r3": ["t:cot:good"]}
    assert "2 stored votes are read otherwise than before, without asking:" in words
    assert "  r0: vote 1 of t cot@" in words
    assert ": good -> no label" in words
    assert done.changed == ()
    assert rows(workspace, "SELECT * FROM answers WHERE seq <= 3 ORDER BY seq") == before


def test_a_new_alias_is_found_in_stored_answers(make_task: Make) -> None:
    def answer(text: str, _number: int, _data: dict[str, Any]) -> str:
        return "The author likes it.\n\n**splendid**" if "fine" in text else "bad"

    with running(answer) as (url, server):
        workspace = task_with(make_task, 2, teacher(url, votes=1))
        assert annotate(workspace).abstentions == 1
        path = workspace.root / "task.yaml"
        path.write_text(path.read_text("utf-8").replace("- name: good", "- name: good\n  aliases: [splendid]"), "utf-8")
        (changed,) = annotate(workspace).changed
        assert len(server.log.starts) == 2
    assert (changed.record, changed.vote, changed.before, changed.after) == ("r1", 1, None, "good")
    assert voters(Workspace(workspace.root))["r1"] == ["t:cot:good"]


def test_early_stops_that_rested_on_misread_votes_are_asked_to_the_end(make_task: Make) -> None:
    with running(vote) as (url, server):
        workspace = task_with(make_task, 2, teacher(url, votes=1))
        stored(workspace, ("good", "Not good."), ("good", "good"))
        edit(workspace, votes=3, early_stop=True)
        annotate(workspace)
    assert sorted(voters(workspace)["r0"]) == ["t:cot:-", "t:cot:bad", "t:cot:bad"]
    assert server.log.answered() == {"awful 0": 2, "fine 1": 1}


DIGITS = b"9" * 6000
ODD = {
    "half a character": completion('{"reason": "\ud83d", "label": "good"}'),
    "no number in logprobs": completion("good", choice={"logprobs": {"content": [{"token": "good", "logprob": None}]}}),
    "infinite logprobs": completion(
        "good", choice={"logprobs": {"content": [{"token": "good", "logprob": float("-inf")}]}}
    ),
    "large logprobs": completion("good", choice={"logprobs": {"content": [{"token": "good", "logprob": 1e6}]}}),
    "logprobs of another form": completion("good", choice={"logprobs": [0.1]}),
    "tokens of 10**30": completion("good", usage={"prompt_tokens": 10**30, "completion_tokens": 10**30}),
    "tokens of 6000 digits": completion("good").replace(b'"prompt_tokens": 9', b'"prompt_tokens": ' + DIGITS),
    "negative tokens": completion("good", usage={"prompt_tokens": -1, "completion_tokens": 1.5}),
    "usage as a list": completion("good", usage=[1, 2]),
    "parts": completion([{"type": "text", "text": "go"}, {"type": "text", "text": "od"}, {"type": "image"}, None]),
    "a finish that is no text": completion("good", choice={"finish_reason": {"type": "stop"}}),
    "a zero byte": completion('{"reason": "a\0b", "label": "good"}'),
}
EMPTY = {
    "no message": completion("", choice={"message": None}),
    "no content": completion(None),
    "content as a number": completion(7),
    "a choice that is no object": json.dumps({"choices": [7]}).encode(),
}


def test_odd_replies_end_no_run_and_are_paid_for_once(make_task: Make) -> None:
    bodies = [*ODD.values(), *EMPTY.values()]

    def answer(text: str, _number: int, _data: dict[str, Any]) -> bytes:
        return bodies[int(text.split()[1])]

    with running(answer) as (url, server):
        workspace = task_with(make_task, len(bodies), teacher(url, votes=1, logprobs=True))
        done = annotate(workspace)
        annotate(workspace)
        assert len(server.log.starts) == len(bodies)
    assert (done.votes, done.abstentions) == (len(bodies), len(EMPTY))
    assert all(voters(workspace)[f"r{n}"] == ["t:cot:good"] for n in range(len(ODD)))
    assert rows(workspace, "SELECT count(*) FROM replies") == [(len(bodies),)]


def test_thinking_that_only_the_total_counts_is_counted(make_task: Make) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 415}
    with running(lambda *_: completion("good", usage=usage)) as (url, _):
        workspace = task_with(make_task, 1, teacher(url, votes=1))
        done = annotate(workspace)
    assert (done.tokens_in, done.tokens_out) == (10, 405)
