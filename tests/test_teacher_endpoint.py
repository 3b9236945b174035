"""The openai client against a real HTTP server that misbehaves in every way the issue of it is known for."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from questions import KEY, LABELS, PRICE, Asked, ask, request, teacher, vote
from teacher_server import running

from tutelage.core.errors import TeacherError
from tutelage.loaders.models.budget import Budget
from tutelage.loaders.models.dialect import Dialect
from tutelage.loaders.models.endpoint import Endpoint
from tutelage.loaders.models.model import Refused, Request
from tutelage.loaders.models.rate_limit import RateLimiter
from tutelage.loaders.models.retrying import RetryingModel, Unanswered
from tutelage.loaders.models.waiting import retry_after


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"too_many": 0.2}, "429"),
        ({"too_many": 0.2, "retry_after": "date"}, "429"),
        ({"error_500": 0.2}, "5xx"),
        ({"hang": 0.1}, "timeout"),
        ({"half": 0.1}, "timeout"),
        ({"drip": 0.1}, "timeout"),
        ({"drop": 0.2}, "dropped"),
        ({"garbage": 0.2}, "garbage"),
        ({"empty_choices": 0.2}, "empty choices"),
    ],
)
def test_every_fault_is_counted_and_every_text_is_answered_once(fault: dict[str, Any], kind: str) -> None:
    with running(vote, **fault) as (url, server):
        asked = ask(40, teacher(url, limits={"timeout": 0.4}))
    assert len(asked.results) == 40
    assert set(asked.errors) == {kind}
    assert asked.errors[kind] == sum(server.log.outcomes.values()) - 40 > 0
    assert set(server.log.answered().values()) == {1}
    assert sum(result.attempts for result in asked.results) == 40 + asked.errors[kind]


def test_retry_after_is_waited_for() -> None:
    with running(vote, too_many=0.3, retry_after="0.7") as (url, server):
        began = time.monotonic()
        asked = ask(6, teacher(url))
        assert asked.errors["429"] > 0
        assert time.monotonic() - began >= 0.7
    by_text = {text: [o for t, _, o in server.log.calls if t == text] for text, _, _ in server.log.calls}
    assert all(outcomes[-1] == "ok" for outcomes in by_text.values())


def test_retry_after_in_seconds_milliseconds_and_as_a_date_by_the_endpoints_clock() -> None:
    now = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert retry_after({"retry-after": "2"}) == 2
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": later, "date": format_datetime(now, usegmt=True)}) == 90
    assert retry_after({"retry-after": format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_retries_end_and_the_text_is_left_for_the_next_run() -> None:
    with running(vote, error_500=1.0) as (url, _):
        asked = ask(1, teacher(url, limits={"attempts": 2}))
    assert isinstance(asked.error, Unanswered)
    assert asked.errors == {"5xx": 2}


def test_an_endpoint_that_answers_nobody_for_long_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.loaders.models.retrying._MAX_OUTAGE", 0.3)
    with running(vote, too_many=1.0) as (url, server):
        asked = ask(3, teacher(url, limits={"timeout": 0.1, "attempts": 2}))
    assert isinstance(asked.error, TeacherError)
    assert "no answer from" in str(asked.error)
    assert "(last: 429)" in str(asked.error)
    assert len(server.log.starts) > 3


@pytest.mark.parametrize(
    ("behaviour", "key", "said"),
    [
        ({"key": "another"}, KEY, r"rejected the API key; check api_key_env or api_key_file \(401"),
        ({"model": "another"}, KEY, r"has no model 'm'; correct model or base_url \(404"),
        ({"quota_after": 1}, KEY, "has no credits left"),
        ({"too_many": 1.0, "retry_after": "86400"}, KEY, "accepts no calls for 86400 s"),
        ({"refuses": "temperature"}, KEY, "rejected the request; check model, parameters"),
    ],
)
def test_what_no_retry_can_fix_ends_at_once_with_one_message(behaviour: dict[str, Any], key: str, said: str) -> None:
    with running(vote, **behaviour) as (url, _):
        asked = ask(30, teacher(url), key=key)
    assert isinstance(asked.error, TeacherError)
    assert len(str(asked.error).splitlines()) == 1
    with pytest.raises(TeacherError, match=said):
        raise asked.error


def test_a_wrong_key_costs_one_call_in_a_run() -> None:
    with running(vote, key="another") as (url, server):

        async def one() -> None:
            who = teacher(url)
            endpoint = Endpoint(who, KEY, dialect=Dialect())
            asker = RetryingModel(
                teacher=who, model=endpoint, rate_limiter=RateLimiter(who.limits), budget=Budget(), price=PRICE
            )
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(30):
                        group.create_task(asker.ask(request(number)))
            finally:
                await endpoint.close()

        with pytest.raises(ExceptionGroup) as caught:
            asyncio.run(one())
    assert caught.group_contains(TeacherError, match="rejected the API key")
    assert server.log.outcomes == {"401": 1}


def test_nobody_at_the_address_is_said_after_a_few_attempts() -> None:
    asked = ask(1, teacher("http://127.0.0.1:9/v1"))
    assert "cannot connect to http://127.0.0.1:9/v1; start the endpoint or correct base_url" in str(asked.error)


def test_a_text_too_long_for_the_model_is_refused_and_the_others_are_answered() -> None:
    with running(vote, longest=60) as (url, _):
        who = teacher(url)
        long = Request(
            prompt="Answer in JSON.\n<text>\n" + "x" * 100 + "\n</text>", parameters={"max_tokens": 9}, labels=LABELS
        )
        asked = Asked(who, [long, *map(request, range(5))], KEY, Budget(), Dialect())
    assert len(asked.results) == 5
    assert isinstance(asked.error, Refused)
    assert asked.error.kind == "context_overflow"
    assert "maximum context length" in str(asked.error)
    assert all(
        result.reply.structured == "json_schema" for result in asked.results
    )  # the refusal taught no simpler form


def test_content_filters_refuse_a_text_with_an_error_or_with_an_empty_answer() -> None:
    with running(vote, filter_400=1.0) as (url, _):
        assert getattr(ask(1, teacher(url)).error, "kind", "") == "content_filter"
    with running(vote, content_filter=1.0) as (url, _):
        reply = ask(1, teacher(url)).results[0].reply
    assert (reply.text, reply.finish) == ("", "content_filter")


# Forms of answers


@pytest.mark.parametrize(
    ("takes", "form", "refused"),
    [("json_schema", "json_schema", 0), ("json_object", "json_object", 1), ("none", "", 2)],
)
def test_the_form_an_endpoint_takes_is_found_out_once(takes: str, form: str, refused: int) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        return "Label: good" if takes == "none" else vote(text, number, data)

    with running(answer, structured=takes) as (url, server):
        first = ask(20, teacher(url))
        assert server.log.outcomes["form"] == refused  # once for each form, not for each call
        again = ask(5, teacher(url), dialect=first.learned[-1])
        assert server.log.outcomes["form"] == refused
    assert (first.learned[-1].form, first.learned[-1].settled) == (form, bool(form))
    assert [result.reply.structured for result in again.results] == [form] * 5
    assert again.learned == []


def test_the_schema_has_the_reason_before_the_label_and_the_labels_as_enum() -> None:
    with running(vote) as (url, server):
        ask(1, teacher(url))
    schema = server.log.bodies[0]["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["reason", "label"]
    assert schema["properties"]["label"]["enum"] == ["good", "bad"]
    assert schema["additionalProperties"] is False


def test_an_endpoint_that_wants_another_name_for_the_length_gets_it() -> None:
    complaint = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    humbler = Dialect().without(complaint, request(0))
    assert humbler
    assert "max_completion_tokens" in humbler.body(request(0), model="m", logprobs=False)
    assert "max_tokens" not in humbler.body(request(0), model="m", logprobs=False)


def test_without_logprobs_where_the_endpoint_refuses_them() -> None:
    with running(vote, refuses="logprobs") as (url, server):
        asked = ask(3, teacher(url, logprobs=True))
    assert len(asked.results) == 3
    assert server.log.outcomes["refused"] == 1
    assert asked.results[0].reply.logprobs == ()
    with running(vote) as (url, _):
        assert len(ask(1, teacher(url, logprobs=True)).results[0].reply.logprobs) > 3


def test_votes_with_a_seed_are_votes_of_their_own() -> None:
    bodies = [
        Dialect().body(Request(prompt="p", parameters={"seed": 7}, labels=(), number=n), model="m", logprobs=False)
        for n in (1, 2, 3)
    ]
    assert [body["seed"] for body in bodies] == [7, 8, 9]


def test_a_key_never_shows_in_an_error() -> None:
    def echo(*_: Any) -> str:
        return ""

    with running(echo, refuses="temperature") as (url, server):
        server.behaviour = type(server.behaviour)(refuses=f"temperature {KEY}")
        server._outcome = lambda *_: "refused"  # type: ignore[method-assign]
        asked = ask(1, teacher(url))
    assert "temperature [key]" in str(asked.error)
    assert KEY not in repr(asked.error)
