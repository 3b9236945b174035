"""``rank --follow``: the queue is put in order while people answer, on the real server and in a real browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import sign_in
from playwright.sync_api import Page, expect
from shop import Shop

from tutelage.loaders.ledger import Ledger
from tutelage.project import Project
from tutelage.steps.results import Followed
from tutelage.steps.review import follow_answers

SECONDS = 60.0


class Follower:
    """A project that is followed in a thread."""

    def __init__(self, shop: Shop) -> None:
        self.project, self.stop, self.said = Project(shop.workspace.root), threading.Event(), list[str]()
        self.done: list[Followed] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.await_words("records ranked")

    def _run(self) -> None:
        self.done.append(self.project.follow_ranking(stop=self.stop, on_turn=self.said.append))

    def await_words(self, words: str, times: int = 1) -> None:
        limit = time.monotonic() + SECONDS
        while sum(words in said for said in self.said) < times:
            assert self._thread.is_alive()
            assert time.monotonic() < limit, self.said
            time.sleep(0.05)

    def end(self) -> Followed:
        self.stop.set()
        self._thread.join(SECONDS)
        return self.done[0]


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch, argilla_env: dict[str, str]) -> Iterator[Callable[[Shop], Follower]]:
    """Follows a task that was pushed, with short pauses."""
    for name, value in argilla_env.items():
        monkeypatch.setenv(name, value)
    for name, seconds in (("LOOK", 0.1), ("PAUSE", 0.2), ("AGAIN", 0.2)):
        monkeypatch.setattr(follow_answers, name, seconds)
    begun = list[Follower]()

    def begin(shop: Shop) -> Follower:
        begun.append(Follower(shop))
        return begun[-1]

    yield begin
    for one in begun:
        one.stop.set()


def order(shop: Shop) -> list[str]:
    """The ranked records, the most suspect first."""
    with Ledger(shop.workspace.db) as ledger:
        ranks = ledger.ranks()
    return sorted(ranks, key=lambda record: ranks[record].suspect_rank)


def test_beyond_the_cards_that_the_page_has_the_next_one_is_the_most_suspect(
    page: Page, shops: Callable[..., Shop], follow: Callable[[Shop], Follower]
) -> None:
    shop = shops()
    shop.add(*[["positive", "positive", "positive"]] * 60)
    shop.push()
    shop.annotator()
    followed = follow(shop)
    given = list[str]()
    page.on("response", lambda answer: given.extend(cards_in(answer)))
    sign_in(page, shop.server)
    page.goto(shop.dataset.queue_link)
    last = order(shop)[-5:]
    seen = accept(page, 9)
    for record in last:
        for number, label in enumerate(["negative", "neutral"]):
            shop.vote(record, label, number=number)
    seen += accept(page, 1, seen[-1])
    followed.await_words("new answers")
    on_page = [name for name in dict.fromkeys(given) if name not in seen]
    expected = [name for name in order(shop) if name not in on_page]
    assert set(expected[:5]) == set(last)
    seen += accept(page, len(on_page) + 5, seen[-1])
    assert seen[10:] == on_page + expected[:5]
    followed.end()


def cards_in(answer: Any) -> list[str]:
    """The records that the page was given by an answer."""
    if "/records/search" not in answer.url:
        return []
    return [item["record"]["external_id"] for item in answer.json()["items"]]


def accept(page: Page, count: int, before: str = "") -> list[str]:
    """Accept the suggestions of so many cards; the records, in their order."""
    seen, card = list[str](), page.get_by_text("record r", exact=False).first
    for _ in range(count):
        expect(card).to_be_visible()
        if seen or before:
            expect(card).not_to_contain_text(f"record {seen[-1] if seen else before}\n")
        seen.append(card.inner_text().rsplit("record ", 1)[-1].strip())
        page.keyboard.press("Enter")
        expect(card).not_to_contain_text(f"record {seen[-1]}")
    return seen
