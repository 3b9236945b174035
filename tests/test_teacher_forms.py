"""Structured output is judged in each run, on several answers; chance does not take it away for good."""

from __future__ import annotations

from typing import Any

import pytest
from questions import KEY, NEW, Asked, ask, request, teacher, vote
from teacher_server import Server, running

from tutelage.loaders.models.budget import Budget
from tutelage.loaders.models.dialect import Dialect


def forms(server: Server) -> list[str]:
    """The forms asked for, in the order of the requests."""
    return [body.get("response_format", {}).get("type", "") for body in server.log.bodies]


@pytest.mark.parametrize("unlucky", ["Sure! The label is good.", '{"label": "good"}', ""])
def test_one_unlucky_first_answer_does_not_end_structured_output(unlucky: str) -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        return unlucky if text == "text 0" else vote(text, number, data)

    with running(answer) as (url, server):
        first = ask(20, teacher(url))
        ask(2, teacher(url), dialect=first.learned[-1])
    assert forms(server) == ["json_schema"] * 22


def test_a_form_that_is_ignored_is_left_out_after_several_answers_and_asked_for_again_in_the_next_run() -> None:
    with running(lambda *_: "Label: good", structured="ignored") as (url, server):
        first = ask(40, teacher(url, limits={"concurrency": 2}))
        asked = forms(server)
        ask(1, teacher(url), dialect=first.learned[-1] if first.learned else NEW)
    assert asked[:5] == ["json_schema"] * 5
    assert asked[8:] == [""] * 32
    assert forms(server)[-1] == "json_schema"


def test_a_form_that_most_answers_follow_is_kept() -> None:
    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        return "I would say: good" if int(text.split()[1]) % 3 == 0 else vote(text, number, data)

    with running(answer) as (url, server):
        ask(30, teacher(url, limits={"concurrency": 1}))
    assert set(forms(server)) == {"json_schema"}


def test_an_endpoint_that_fails_on_the_form_is_asked_without_it() -> None:
    with running(vote, structured="none", form_error="500") as (url, server):
        asked = ask(40, teacher(url, limits={"concurrency": 4}))
        assert len(asked.results) == 40
        assert 2 <= server.log.outcomes["500"] <= 12
        assert forms(server)[-20:] == [""] * 20
        server.behaviour = type(server.behaviour)()
        ask(1, teacher(url), dialect=asked.learned[-1] if asked.learned else NEW)
    assert forms(server)[-1] == "json_schema"  # chance or not, it is no refusal


def test_a_server_error_that_names_the_form_is_a_refusal_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Server._outcome.__globals__["_ERRORS"], "form", (500, "json_schema: no grammar backend", "x"))
    with running(vote, structured="none") as (url, server):
        asked = ask(20, teacher(url))
    assert (len(asked.results), asked.errors) == (20, {})
    assert (server.log.outcomes["form"], asked.learned[-1].form) == (2, "")


def test_errors_by_chance_in_the_first_calls_do_not_end_structured_output() -> None:
    with running(vote) as (url, server):
        hiccups = iter(["500", "500"])
        chance, server._outcome = server._outcome, lambda *a: next(hiccups, "") or chance(*a)  # type: ignore[method-assign]
        ask(30, teacher(url))
    assert forms(server)[:1] == ["json_schema"]
    assert forms(server)[-25:] == ["json_schema"] * 25


def test_a_rejected_text_teaches_no_simpler_form() -> None:
    with running(vote) as (url, server):
        refuse = server._outcome
        server._outcome = lambda h, d, t: "refused" if t == "text 0" else refuse(h, d, t)  # type: ignore[method-assign]
        asked = Asked(teacher(url), [request(n) for n in range(12)], KEY, Budget())
    assert len(asked.results) == 11
    assert {result.reply.structured for result in asked.results} == {"json_schema"}


def test_what_an_older_version_stored_after_one_answer_is_asked_for_again() -> None:
    old = {"form": "", "settled": True, "logprobs": False, "length": "max_completion_tokens", "seed": True}
    assert Dialect.from_json(old) == Dialect(logprobs=False, length="max_completion_tokens")
    known = Dialect(form="json_object", settled=True)
    assert Dialect.from_json(known.to_json()) == known
