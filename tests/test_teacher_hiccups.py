"""A provider's hiccup is not a text's fault, and a rate limit is no empty account."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from questions import KEY, Asked, ask, request
from questions import teacher as teacher_of
from teacher_server import Failure, running
from teaching import Make, Run, rows, task_with, teacher, vote, voters

from tutelage.core.errors import TeacherError
from tutelage.core.workspace import Workspace
from tutelage.loaders.models.budget import Budget
from tutelage.loaders.models.dialect import Dialect
from tutelage.loaders.models.model import Refused
from tutelage.loaders.models.retrying import Unanswered
from tutelage.loaders.models.waiting import account_is_empty, rest_of, seconds_of, wait_asked_for
from tutelage.loaders.teacher.session import Session

CREDIT = "Your credit balance is too low to access the API"


@pytest.mark.parametrize(("status", "message"), [(400, CREDIT), (403, "Access denied by proxy"), (422, "key expired")])
def test_an_endpoint_that_stops_answering_ends_the_run_and_no_text_is_blamed(
    status: int, message: str, make_task: Make
) -> None:
    answered = 0

    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        nonlocal answered
        if answered == 10:
            raise Failure(status, message)
        answered += 1
        return vote(text, number, data)

    with running(answer) as (url, server):
        workspace = task_with(make_task, 60, teacher(url, votes=1, limits={"concurrency": 4}))
        with pytest.raises(TeacherError, match=message):
            Session.of(workspace).run()
        assert len(server.log.starts) < 30
        assert rows(workspace, "SELECT count(*), sum(finish = 'stop') FROM calls") == [(10, 10)]
        answered = -100  # the account is filled up
        done = Session.of(workspace).run()
    assert (done.votes, done.abstentions, done.complete) == (50, 0, True)


def test_one_text_that_is_rejected_without_a_reason_is_left_and_the_others_are_answered(
    make_task: Make, tutelage: Run
) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        if text == "awful 0":
            raise Failure(400, "Bad request")
        return vote(text, number, data)

    with running(answer) as (url, server):
        workspace = task_with(make_task, 8, teacher(url, votes=1))
        done = tutelage("annotate", "--task", workspace.root, "--json", ok=False)
        asked = [body["messages"][0]["content"] for body in server.log.bodies]
    result = json.loads(done.stdout)
    assert (done.returncode, result["complete"], result["unanswered"], result["votes"]) == (1, False, 1, 7)
    assert "1 votes are missing (1 after teacher 't':" in done.stderr
    assert "Bad request" in done.stderr
    assert sum("test of the connection" in prompt for prompt in asked) == 1
    assert sorted(voters(workspace)) == [f"r{n}" for n in range(8)]
    assert voters(workspace)["r0"] == []


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "This model's maximum context length is 8192 tokens", "context_overflow"),
        (400, "The response was filtered due to the content management policy", "content_filter"),
        (413, "Payload Too Large", "context_overflow"),
        (429, "Request too large for gpt-x on tokens per min (TPM): Limit 30000, Requested 40000", "too_large"),
    ],
)
def test_a_refusal_that_names_the_text_is_that_texts_at_once(status: int, message: str, kind: str) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        if text == "text 0":
            raise Failure(status, message, "retry-after: 40\r\n")
        return vote(text, number, data)

    began = time.monotonic()
    with running(answer) as (url, server):
        asked = ask(4, teacher_of(url))
        assert len(server.log.starts) == 4
    assert isinstance(asked.error, Refused)
    assert (asked.error.kind, len(asked.results)) == (kind, 3)
    assert time.monotonic() - began < 20


def test_a_first_record_that_is_refused_blocks_no_other(make_task: Make) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        if text == "awful 0":
            raise Failure(422, "Unprocessable")
        return vote(text, number, data)

    with running(answer) as (url, _):
        workspace = task_with(make_task, 4, teacher(url, votes=1))
        done = Session.of(Workspace(workspace.root)).run()
    assert (done.votes, done.unanswered, done.abstentions) == (3, 1, 0)


def test_a_refusal_in_broken_characters_is_kept(make_task: Make) -> None:
    def answer(*_: Any) -> str:
        raise Failure(400, "The response was filtered due to the content management policy \ud83d")

    with running(answer) as (url, _):
        workspace = task_with(make_task, 1, teacher(url, votes=1))
        done = Session.of(workspace).run()
    assert (done.votes, done.rejected, voters(workspace)["r0"]) == (1, 1, ["t:cot:-"])


GROQ = (
    "Rate limit reached for model in organization on tokens per minute (TPM): Limit 6000. Please try again in 0.25s."
    " Need more tokens? Upgrade to Dev Tier today at https://example.com/settings/billing"
)
GEMINI = 'You exceeded your current quota, please check your plan and billing details. {"retryDelay": "0.3s"}'


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        (GROQ, ""),
        (GEMINI, ""),
        ("You exceeded your current quota, check your billing details", "retry-after: 0.2\r\n"),
        ("Rate limit reached. Add a payment method at billing", "x-ratelimit-remaining-requests: 0\r\n"),
    ],
)
def test_a_limit_a_minute_that_speaks_of_billing_is_waited_for(message: str, headers: str) -> None:
    refusals = 0

    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        nonlocal refusals
        refusals += 1
        if refusals <= 3:
            raise Failure(429, message, headers)
        return vote(text, number, data)

    with running(answer) as (url, _):
        asked = ask(5, teacher_of(url))
    assert len(asked.results) == 5
    assert asked.errors == {"429": 3}


def test_an_empty_account_is_told_from_a_limit() -> None:
    assert account_is_empty({}, "You exceeded your current quota (insufficient_quota)")
    assert not account_is_empty({"x-ratelimit-limit-requests": "30"}, "You exceeded your current quota")
    assert wait_asked_for({}, "Please try again in 1m2.5s.") == 62.5
    assert wait_asked_for({}, "Please try again later") is None
    assert [seconds_of(text) for text in ("6m0s", "250ms", "1.5", "soon", "")] == [360, 0.25, 1.5, 0, 0]
    assert rest_of({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2s"}) == 2
    assert rest_of({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "2s"}) == 0


def test_a_retry_after_of_nothing_backs_off() -> None:
    began = time.monotonic()

    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        if time.monotonic() - began < 1.5:
            raise Failure(429, "Rate limit reached", "retry-after: 0\r\n")
        return vote(text, number, data)

    with running(answer) as (url, server):
        asked = ask(1, teacher_of(url))
        assert len(server.log.starts) < 30
    assert len(asked.results) == 1


def test_a_limit_that_is_used_up_is_rested_before_it_is_exceeded() -> None:
    headers = "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 700ms\r\n"
    with running(vote, headers=headers) as (url, server):
        asked = Asked(teacher_of(url, limits={"concurrency": 1}), [request(0), request(1)], KEY, Budget(), Dialect())
        first, second = server.log.starts
    assert len(asked.results) == 2
    assert second - first >= 0.7


def test_a_text_without_an_answer_says_why() -> None:
    with running(vote, error_500=1.0) as (url, _):
        asked = ask(1, teacher_of(url, limits={"attempts": 2}))
    assert isinstance(asked.error, Unanswered)
    assert asked.error.why == "5xx"
