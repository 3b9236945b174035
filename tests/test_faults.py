"""Push and pull through a real proxy that loses requests, answers and patience."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from flaky import Fault, Proxy, once, since
from shop import Shop

from tutelage.core.errors import ServerError
from tutelage.core.records import Rank, Voter
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.remote import Remote
from tutelage.feedback.server.lifecycle import Server
from tutelage.loaders.ledger import Answer, Ledger

KINDS: list[Fault] = ["before", 500, "after", 503, 429]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.url) as running:
        yield running


def prepared(shops: Callable[..., Shop]) -> Shop:
    shop = shops()
    shop.add(["positive", "negative"], "neutral", [None])
    return shop


def first_push(shop: Shop, url: str = "") -> Any:
    return shop.push(url)


def second_push(shop: Shop, url: str = "") -> Any:
    """A changed suggestion, a suggestion that ends, a new record and ranks."""
    if "r3" not in _ids(shop):
        shop.push()
        shop.answer(shop.annotator(), "r1", "negative", reason="mine")
        for number in range(3):
            shop.vote("r1", "positive", number=number)
        shop.add("positive", start=3)
        with Ledger(shop.workspace.db) as ledger:
            ledger.set_ranks([Rank("r0", 0.1, 1), Rank("r3", 0.2, 2)])
    return shop.push(url)


def _ids(shop: Shop) -> list[str]:
    with Ledger(shop.workspace.db) as ledger:
        return [record.id for record in ledger.records(shop.workspace.task)]


STEPS = [first_push, second_push]


def undisturbed(step: Callable[..., Any], shops: Callable[..., Shop], proxy: Proxy) -> tuple[dict[str, Any], int]:
    """The state that the step ends in, and how many requests it takes."""
    shop, proxy.faults, before = prepared(shops), lambda *_: None, len(proxy.seen)
    step(shop, proxy.url)
    requests = len(proxy.seen) - before
    assert shop.counts()[:2] == (0, 0)
    return shop.state(), requests


def one_fault(step: Callable[..., Any], shop: Shop, proxy: Proxy, number: int, kind: Fault) -> None:
    """The n-th request fails once: a retry gets it through and nobody notices."""
    proxy.seen.clear()
    proxy.faults = once(number, kind)
    step(shop, proxy.url)
    assert len(proxy.seen) > number


def away_then_again(step: Callable[..., Any], shop: Shop, proxy: Proxy, number: int, kind: Fault) -> None:
    """All from the n-th request on fail: a message; the same command again gets it done."""
    proxy.seen.clear()
    proxy.faults = since(number, kind)
    with pytest.raises(ServerError, match="run the same command again"):
        step(shop, proxy.url)
    proxy.faults = lambda *_: None
    step(shop, proxy.url)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("disturb", [one_fault, away_then_again])
def test_a_push_ends_in_the_same_state_wherever_the_server_fails(
    shops: Callable[..., Shop], proxy: Proxy, step: Callable[..., Any], disturb: Callable[..., None]
) -> None:
    expected, requests = undisturbed(step, shops, proxy)
    offset = STEPS.index(step) * 2 + (disturb is one_fault)
    for number in range(offset, requests, 4):
        shop = prepared(shops)
        disturb(step, shop, proxy, number, KINDS[number % len(KINDS)])
        assert shop.state() == expected, f"request {number} failed with {KINDS[number % len(KINDS)]}"
        assert shop.counts()[:2] == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("disturb", [one_fault, away_then_again])
def test_a_push_ends_in_the_same_state_at_each_request_and_kind_of_failure(
    shops: Callable[..., Shop], proxy: Proxy, step: Callable[..., Any], disturb: Callable[..., None], kind: Fault
) -> None:
    expected, requests = undisturbed(step, shops, proxy)
    for number in range(requests):
        shop = prepared(shops)
        disturb(step, shop, proxy, number, kind)
        assert shop.state() == expected, f"request {number} failed with {kind}"
        assert shop.counts()[:2] == (0, 0)


def test_a_sign_in_that_fails_leaves_no_connection_open(shops: Callable[..., Shop], proxy: Proxy) -> None:
    shop, asked = prepared(shops), list[int]()

    def second_sign_in_fails(number: int, _method: str, path: str) -> Fault:
        asked.extend([number] * path.endswith("/me"))
        return 500 if path.endswith("/me") and len(asked) == 2 else None

    proxy.faults = second_sign_in_fails
    shop.push(proxy.url)
    assert len(asked) == 3
    gc.collect()  # a connection that nobody closed would warn now, and a warning is an error


def test_a_pull_cut_off_anywhere_ends_with_the_same_answers(shops: Callable[..., Shop], proxy: Proxy) -> None:
    shop = prepared(shops)
    shop.push()
    shop.answer(shop.annotator(), "r0", "neutral")
    manifest = shop.pull(proxy.url)[1]
    requests = len(proxy.seen)
    for number in range(requests):
        disturb = (one_fault, away_then_again)[number % 2]
        disturb(lambda s, url: s.pull(url), shop, proxy, number, KINDS[number % len(KINDS)])
        rows, again, summary = shop.pull()
        assert (again, summary["withdrawn"], rows["r0"]["label"]) == (manifest, 0, "neutral")


def test_a_large_push_that_is_cut_off_goes_on_where_it_stopped(shops: Callable[..., Shop], proxy: Proxy) -> None:
    shop = shops()
    shop.add(*["positive"] * 520)
    shop.push()
    with Ledger(shop.workspace.db) as ledger:
        voters = [Voter("llm", "more", 1), Voter("llm", "more", 2)]
        ledger.add(
            [],
            [
                Answer(record_id=f"r{n}", voter=voter, label_text="negative", reason="")
                for n in range(520)
                for voter in voters
            ],
        )
    puts: list[str] = []

    def second_batch_fails(_number: int, method: str, path: str) -> Fault:
        if method == "PUT":
            puts.append(path)
        return "before" if len(puts) > 1 and method == "PUT" else None

    proxy.faults = second_batch_fails
    with pytest.raises(ServerError, match="does not answer"):
        shop.push(proxy.url)
    assert shop.counts() == (20, 0, 500, 0)
    assert {suggestions[0][1] for _, _, suggestions, _ in shop.state().values()} == {"negative"}


def test_the_retries_wait_longer_each_time_and_then_say_what_to_do(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tutelage.feedback.argilla.remote.time.sleep", slept.append)
    proxy.faults, said = since(0, 503), list[str]()
    with pytest.raises(ServerError) as caught:
        ArgillaClient(proxy.url, "key", say=said.append)
    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert said == [f"Argilla at {proxy.url} does not answer (it answered 503); waiting up to 29 s for it."]
    assert len(proxy.seen) == 7
    assert str(caught.value) == (
        f"Argilla at {proxy.url} does not answer (it answered 503). Everything sent so far is kept; "
        "when the server is up, run the same command again."
    )


def test_an_answer_that_is_long_in_coming_is_said(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.feedback.argilla.remote.LATE", 0.05)
    proxy.faults = lambda *_: time.sleep(0.5)  # type: ignore[func-returns-value]
    said = list[str]()
    with pytest.raises(ServerError, match="refused the API key"):
        ArgillaClient(proxy.url, "wrong", say=said.append)
    assert said == [f"Argilla at {proxy.url} is slow to answer; still waiting for it."]


def test_a_refusal_is_not_tried_again(proxy: Proxy) -> None:
    proxy.faults = since(0, 401)
    with pytest.raises(ServerError, match=r"refused the API key \(401\); check ARGILLA_API_KEY"):
        ArgillaClient(proxy.url, "wrong")
    assert len(proxy.seen) == 1


def test_a_wrong_key_is_said(server: Server) -> None:
    with pytest.raises(ServerError, match="refused the API key"):
        ArgillaClient(server.url, "wrong", waits=())


def test_nobody_listening_is_said() -> None:
    with pytest.raises(ServerError, match="does not answer"):
        ArgillaClient("http://127.0.0.1:9", "key", waits=(0.01,))


@pytest.mark.parametrize(
    "url", ["localhost:6900", "nonsense", "", "ftp://host", "http://", "http://[::1", "http://h:x", "http://a..b"]
)
def test_an_address_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(ServerError, match="ARGILLA_API_URL is"):
        ArgillaClient(url, "key")


@pytest.mark.parametrize("status", [200, 301, 204])
def test_what_is_no_argilla_is_said(proxy: Proxy, status: int) -> None:
    proxy.faults = since(0, status)
    with pytest.raises(ServerError, match=r"is that the address of an Argilla server \(ARGILLA_API_URL\)"):
        ArgillaClient(proxy.url, "key", waits=())


@pytest.mark.parametrize("body", [b"{}", b"null", b'"ok"', b"[" * 100_000, b'{"items": null}', b'{"items": [1]}'])
def test_a_gateway_that_answers_in_argillas_place_is_said_at_each_request(
    shops: Callable[..., Shop], proxy: Proxy, body: bytes
) -> None:
    _, requests = undisturbed(first_push, shops, proxy)
    shop = prepared(shops)
    proxy.seen.clear()
    proxy.faults = lambda n, method, _path: body if (n, method) == (0, "GET") else None
    with pytest.raises(ServerError, match=r"GET .*/api/v1/me was answered 200 with .*; is that the address of"):
        shop.push(proxy.url)
    for number in range(1 + len(body) % 3, requests, 3):
        proxy.seen.clear()
        proxy.faults = lambda n, *_, number=number: body if n == number else None
        with suppress(ServerError):  # what was answered so may not matter
            shop.push(proxy.url)
    proxy.faults = lambda *_: None
    first_push(shop)
    assert len(shop.on_server()) == 3
    assert shop.counts()[:2] == (0, 0)


def test_records_that_a_gateway_swallows_are_not_taken_for_sent(shops: Callable[..., Shop], proxy: Proxy) -> None:
    shop = prepared(shops)
    proxy.faults = lambda _n, method, path: b'{"items": []}' if method == "PUT" and path.endswith("bulk") else None
    with pytest.raises(ServerError, match="was answered with 0 records for 3 that were sent; they do not count"):
        shop.push(proxy.url)
    assert shop.counts() == (3, 0, 0, 0)


@pytest.mark.parametrize(("key", "said"), [("schlüssel", "'ü' at character 5"), ("a\nb", r"'\n'"), ("a b", "' '")])
def test_a_key_that_is_none_is_said_at_once(key: str, said: str) -> None:
    with pytest.raises(ServerError) as caught:
        ArgillaClient("http://127.0.0.1:9", key)
    assert said in str(caught.value)
    assert "copy the key again" in str(caught.value)


def test_an_address_may_end_with_a_slash_and_lie_below_a_path(server: Server) -> None:
    with ArgillaClient(server.url + "/", server.api_key) as argilla:
        assert argilla.user["username"] == server.owner
        assert not argilla.remote.url.endswith("/")
    asked: list[str] = []
    transport = httpx.MockTransport(lambda request: asked.append(request.url.path) or httpx.Response(200, json={}))  # type: ignore[func-returns-value]
    Remote(httpx.Client(base_url="http://host/argilla/", transport=transport)).request("GET", "me")
    assert asked == ["/argilla/api/v1/me"]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    shops: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert prepared(shops).counts() == (3, 0, 0, 0)
