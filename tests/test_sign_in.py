"""Signing in to the embedded Argilla: guessing is slow, and closes nobody out but the guesser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import uuid4

import httpx
import pytest
from browser import sign_in_as
from playwright.sync_api import Page, expect
from shop import Shop

from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.server.lifecycle import Server

WRONG = "wrong-word-9fQ"
_numbers = count(1)

SignIn = Callable[[str, str], httpx.Response]


@pytest.fixture
def addresses(server: Server) -> Iterator[Callable[[], SignIn]]:
    """Makes addresses of people behind a proxy on this machine, as which they sign in."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:

        def somewhere() -> SignIn:
            number = next(_numbers)
            headers = {"X-Forwarded-For": f"203.0.113.{number}"}

            def sign_in(name: str, password: str) -> httpx.Response:
                return client.post("/api/v1/token", data={"username": name, "password": password}, headers=headers)

            return sign_in

        yield somewhere


@pytest.fixture
def people(shop: Shop) -> Callable[[], tuple[str, str]]:
    """Makes annotators: name and password."""

    def hire() -> tuple[str, str]:
        name, password = f"ann-{uuid4().hex[:8]}", uuid4().hex
        user = {"username": name, "first_name": name, "password": password, "role": "annotator"}
        shop.owner.call("POST", "/users", json=user)
        with shop.loop() as loop:
            assert isinstance(loop.argilla, ArgillaClient)
            loop.argilla.add_annotator(shop.workspace.task, name)
        return name, password

    return hire


def statuses(sign_in: SignIn, name: str, times: int) -> list[int]:
    return [sign_in(name, WRONG).status_code for _ in range(times)]


def test_after_five_wrong_passwords_one_waits(
    addresses: Callable[[], SignIn], people: Callable[[], tuple[str, str]]
) -> None:
    (anna, right), (bert, his), here = people(), people(), addresses()
    assert statuses(here, anna, 2) == [401] * 2
    assert here(anna, right).status_code == 201, "which settles the earlier ones"
    assert statuses(here, anna, 6) == [401] * 5 + [429]
    refused = here(anna, right)
    assert refused.status_code == 429, "else one could go on guessing"
    wait = refused.headers["Retry-After"]
    assert 1 <= int(wait) <= 10
    assert refused.json() == {"detail": f"Too many wrong sign-ins: try again in {wait} s."}
    assert here(bert, his).status_code == 201, "somebody else at the same address"
    assert addresses()(anna, right).status_code == 201, "she, from elsewhere"


def test_guesses_at_once_count_one_by_one(
    addresses: Callable[[], SignIn], people: Callable[[], tuple[str, str]]
) -> None:
    (anna, _), here = people(), addresses()
    with ThreadPoolExecutor(12) as pool:
        found = sorted(pool.map(lambda _: here(anna, WRONG).status_code, range(12)))
    assert found == [401] * 5 + [429] * 7


@pytest.mark.long
def test_many_names_from_one_address_are_slow_too_but_not_for_who_signed_in_there(
    addresses: Callable[[], SignIn], people: Callable[[], tuple[str, str]]
) -> None:
    (anna, right), here = people(), addresses()
    assert here(anna, right).status_code == 201
    found = [here(f"nobody-{number}", WRONG).status_code for number in range(23)]
    assert found[:20] == [401] * 20
    assert found[-1] == 429
    assert here(anna, right).status_code == 201


@pytest.mark.long
def test_one_name_from_many_addresses_is_slow_too_but_not_for_who_signed_in_there(
    addresses: Callable[[], SignIn], people: Callable[[], tuple[str, str]]
) -> None:
    (anna, right), hers = people(), addresses()
    assert hers(anna, right).status_code == 201
    found = [addresses()(anna, WRONG).status_code for _ in range(23)]
    assert found[:20] == [401] * 20
    assert found[-1] == 429
    assert hers(anna, right).status_code == 201


def test_a_wrong_key_is_refused_and_closes_nobody_out(server: Server) -> None:
    """Keys are random and long: guessing is hopeless, and all programs on this machine share an address."""
    with httpx.Client(base_url=f"{server.url}/api/v1", trust_env=False) as client:
        for _ in range(30):
            assert client.get("/me", headers={"X-Argilla-Api-Key": WRONG}).status_code == 401
        assert client.get("/me", headers={"X-Argilla-Api-Key": server.api_key}).status_code == 200


def test_the_page_says_what_to_do_and_the_right_password_works_after_the_wait(
    page: Page, server: Server, people: Callable[[], tuple[str, str]]
) -> None:
    anna, right = people()
    page.goto(server.url)
    page.locator("input:not([type=password])").first.fill(anna)
    page.locator("input[type=password]").fill(WRONG)
    for _ in range(6):
        with page.expect_response("**/api/v1/token") as answer:
            page.keyboard.press("Enter")
        answer.value.finished()
    expect(page.get_by_text("Too many wrong sign-ins: try again in")).to_be_visible()
    time.sleep(int(answer.value.headers["retry-after"]))
    refused: list[int] = []
    page.on("response", lambda found: refused.append(found.status) if found.status >= 400 else None)
    sign_in_as(page, server.url, anna, right)
    assert refused == []
