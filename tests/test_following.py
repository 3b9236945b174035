"""``rank --follow``: the queue is put in order while people answer, on the real server and in a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from subprocess import PIPE, Popen
from typing import Any
from uuid import uuid4

import pytest
from browser import sign_in
from click.testing import CliRunner
from conftest import ROOT
from flaky import Proxy
from playwright.sync_api import Page, expect
from shop import Person, Shop

from tutelage.commands.cli import cli
from tutelage.core.errors import TutelageError
from tutelage.core.records import Rank, Record, Response
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla import remote
from tutelage.feedback.argilla.queue_moves import AT_ONCE
from tutelage.feedback.curate import curate
from tutelage.feedback.places import cards_held, moved_up
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
    """Two of three votes for positive: right where the third is for neutral, wrong where it is for negative."""
    shop = shops()
    shop.add(*[["positive", "positive", other] for other in ("negative", "neutral") for _ in range(30)])
    is_wrong = {f"r{number}": number < 30 for number in range(60)}
    shop.push()
    shop.annotator()
    followed = follow(shop)
    before, given = order(shop), list[str]()
    page.on("response", lambda answer: given.extend(cards_in(answer)))
    sign_in(page, shop.server)
    page.goto(shop.dataset.queue_link)
    seen = review(page, 10, is_wrong)
    assert seen == before[:10]
    assert 0 < sum(map(is_wrong.__getitem__, seen)) < 10, "they teach what is wrong"
    followed.await_words("10 new answers")
    followed.end()
    on_page = [name for name in dict.fromkeys(given) if name not in seen]
    assert on_page == before[10:20]
    expected = [name for name in order(shop) if name not in on_page]
    assert all(map(is_wrong.__getitem__, expected[:5])), "beyond the page's cards those that are wrong come first"
    assert expected[:5] != before[20:25]
    assert review(page, 15, is_wrong, seen[-1]) == on_page + expected[:5]


def cards_in(answer: Any) -> list[str]:
    """The records that the page was given by an answer."""
    if "/records/search" not in answer.url:
        return []
    return [item["record"]["external_id"] for item in answer.json()["items"]]


def review(page: Page, count: int, is_wrong: Mapping[str, bool], before: str = "") -> list[str]:
    """Answer so many cards: negative where the suggestion is wrong, else the suggestion; the records in their order."""
    seen, card = list[str](), page.get_by_text("record r", exact=False).first
    for _ in range(count):
        expect(card).to_be_visible()
        expect(card).not_to_contain_text(re.compile(rf"record {before or 'none'}\s*$"))
        before = card.inner_text().rsplit("record ", 1)[-1].strip()
        expect(page.locator("label.label-active")).to_have_attribute("title", "positive")
        if is_wrong[before]:
            page.get_by_text("negative", exact=True).first.click()
            expect(page.locator("label.label-active")).to_have_attribute("title", "negative")
        page.keyboard.press("Enter")
        seen.append(before)
    return seen


# Without a browser


def most_suspect(person: Person, shop: Shop) -> list[str]:
    """The records that wait for a person, in the order in which the page asks for them."""
    sort = [{"scope": {"entity": "metadata", "metadata_property": "suspect_rank"}, "order": "asc"}]
    pending = {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]}
    query = {"filters": {"type": "and", "and": [pending]}, "sort": sort}
    path = f"/me/datasets/{shop.dataset.id}/records/search"
    items = person.call("POST", path, json=query, params={"limit": 1000})["items"]
    return [item["record"]["external_id"] for item in items]


def answer(shop: Shop, person: Person, records: Sequence[str], label: str = "positive") -> None:
    ids = {name: item["id"] for name, item in shop.on_server().items()}
    for name in records:
        person.answer(ids[name], label)


@contextmanager
def between(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to the server, on which requests are seen and may fail."""
    with Proxy(shop.server.url) as proxy:
        monkeypatch.setenv("ARGILLA_API_URL", proxy.url)
        yield proxy


def test_ten_answers_bring_the_next_records_in_order_and_little_is_read_or_sent(
    shops: Callable[..., Shop], follow: Callable[[Shop], Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shops()
    shop.add(*[["positive", "positive", "positive"]] * 150)
    shop.push()
    person = shop.annotator()
    with between(shop, monkeypatch) as proxy:
        followed = follow(shop)
        before, asked = order(shop), len(proxy.seen)
        for record in before[-5:]:
            shop.vote(record, "negative")
        answer(shop, person, before[:9])
        time.sleep(1)
        assert len(followed.said) == 1, "nine answers are no reason to do anything"
        answer(shop, person, before[9:10])
        followed.await_words("10 new answers")
        seen = proxy.seen[asked:]
        done = followed.end()
    assert (done.answers, done.turns, done.rankings) == (10, 1, 1)
    assert order(shop)[:5] != before[10:15]
    assert set(order(shop)[:5]) == set(before[-5:])
    assert most_suspect(person, shop)[:50] == order(shop)[:50]
    assert done.moved <= 10 + 2 * follow_answers.NEAR, "the ten, and at most two for each place"
    assert not [path for method, path in seen if method == "GET" and "/records" in path], "not all records"
    assert sum(method in {"PUT", "POST"} for method, _ in seen) <= 2 + done.moved / AT_ONCE + 1
    settled = [item["metadata"] for name, item in shop.on_server().items() if name in before[:10]]
    assert not [metadata for metadata in settled if "suspect_rank" in metadata]


def test_status_counts_what_it_has_done(shops: Callable[..., Shop], follow: Callable[[Shop], Follower]) -> None:
    shop = shops()
    shop.add(*[["positive", "positive"]] * 30, *[["positive", "negative"]] * 5)
    shop.push()
    person = shop.annotator()
    followed = follow(shop)
    answer(shop, person, order(shop)[:12])
    followed.await_words("new answers")
    while followed.project.status().behind.unpulled:  # the last two make no turn
        followed.end()
        followed.project.rank()
    behind = followed.project.status().behind
    assert (behind.unpulled, behind.misplaced, behind.ranks) == (0, 0, 0)


def test_an_argilla_that_does_not_answer_is_waited_for(
    shops: Callable[..., Shop], follow: Callable[[Shop], Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shops()
    shop.add(*[["positive", "positive"]] * 30)
    shop.push()
    person = shop.annotator()
    with between(shop, monkeypatch) as proxy:
        followed = follow(shop)
        proxy.faults = lambda *_: 503
        followed.await_words("waiting for Argilla")
        answer(shop, person, order(shop)[:10])
        proxy.faults = lambda *_: None
        followed.await_words("answers again")
        followed.await_words("10 new answers")
        assert sum("waiting" in said for said in followed.said) == 1
        assert followed.end().answers == 10


def test_a_task_is_followed_by_one_process(shops: Callable[..., Shop], follow: Callable[[Shop], Follower]) -> None:
    shop = shops()
    shop.add(*[["positive", "positive"]] * 3)
    shop.push()
    follow(shop)
    with pytest.raises(TutelageError, match=rf"process {os.getpid()} follows .* already"):
        Project(shop.workspace.root).follow_ranking(stop=threading.Event())


def test_a_pull_that_takes_long_loses_no_answer_that_was_read_meanwhile(
    shops: Callable[..., Shop], follow: Callable[[Shop], Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the first page before the answers to it are given, and would take them for withdrawn."""
    shop = shops()
    shop.add(*[["positive", "positive"]] * 30)
    shop.push()
    person = shop.annotator()
    followed = follow(shop)
    first_page, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(remote, "PAGE", 20)

    def hold(_number: int, _method: str, path: str) -> None:
        if "/records?" in path and "offset=20" in path:
            first_page.set()
            go_on.wait(SECONDS)

    with between(shop, monkeypatch) as proxy:
        proxy.faults = hold
        pull = threading.Thread(target=Project(shop.workspace.root).pull)
        pull.start()
        assert first_page.wait(SECONDS)
        answer(shop, person, [f"r{number}" for number in range(10)])
        time.sleep(1)
        go_on.set()
        pull.join(SECONDS)
    followed.await_words("10 new answers")
    with Ledger(shop.workspace.db) as ledger:
        states = [one.state for one in ledger.responses(shop.dataset.id)]
    assert states == ["present"] * 10


def test_what_comes_into_a_dealt_queue_is_somebodys(
    shops: Callable[..., Shop], follow: Callable[[Shop], Follower]
) -> None:
    shop = shops(queue=20, argilla={"workspace": f"space-{uuid4().hex[:8]}"})
    shop.add(*[["positive", "positive"]] * 40)
    shop.push()
    people = [shop.hire(), shop.hire()]
    followed = follow(shop)
    followed.project.annotators.deal()
    for record in order(shop)[-5:]:
        shop.vote(record, "negative")
    last = set(order(shop)[-5:])
    answer(shop, people[0], order(shop)[:10])
    followed.await_words("10 new answers")
    queued = {name: item["metadata"] for name, item in shop.on_server().items() if "suspect_rank" in item["metadata"]}
    assert last <= queued.keys()
    assert len(queued) == 10, "ten of twenty were answered, and ten have a place"
    assert all(metadata.get("reviewer") for metadata in queued.values())


def test_a_signal_ends_it_with_a_summary(shops: Callable[..., Shop], argilla_env: dict[str, str]) -> None:
    shop = shops()
    shop.add(*[["positive", "positive"]] * 3)
    shop.push()
    command = [sys.executable, "-m", "tutelage", "rank", "--follow", "--json", "--task", str(shop.workspace.root)]
    process = Popen(command, cwd=ROOT, env={**os.environ, **argilla_env}, stdout=PIPE, stderr=PIPE, text=True)
    assert process.stderr
    said = [process.stderr.readline(), process.stderr.readline()]
    process.send_signal(signal.SIGTERM)
    out, rest = process.communicate(timeout=SECONDS)
    assert said == ["following people's answers; SIGTERM or Ctrl+C ends this\n", "3 records ranked\n"]
    assert (process.returncode, rest) == (0, "")
    done = json.loads(out)
    assert done.pop("seconds") > 0
    assert done == {"answers": 0, "turns": 0, "moved": 0, "rankings": 1}


@pytest.mark.parametrize("option", [["--no-push"], ["--out", "ranked.csv"]])
def test_it_takes_argilla(make_task: Callable[..., Workspace], option: list[str]) -> None:
    run = CliRunner().invoke(cli, ["rank", "--follow", *option, "--task", str(make_task().root)])
    assert run.exit_code == 2
    assert f"leave out {option[0]}" in run.output


# The page's memory on the server


def test_a_page_gets_after_its_cards_the_first_of_all_others(shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add(*[["positive"]] * 30)
    shop.push()
    person = shop.annotator()
    place(shop, [f"r{number}" for number in range(30)])
    first = cards(shop, person, 0)
    answer(shop, person, first[:4])
    place(shop, [f"r{number}" for number in reversed(range(30))])
    assert cards(shop, person, 6) == [f"r{number}" for number in range(29, 19, -1)], "six cards are on the page"
    assert cards(shop, person, 16) == [f"r{number}" for number in range(19, 9, -1)]
    assert cards(shop, person, 21) == ["r8", "r7", "r6", "r5", "r4"], "a page that it was not: counted as ever"
    assert cards(shop, shop.hire(), 6) == [f"r{number}" for number in range(23, 13, -1)]
    assert cards(shop, person, 0) == [f"r{number}" for number in range(29, 19, -1)], "a page that is opened anew"


def place(shop: Shop, names: Sequence[str]) -> None:
    """Give the records these places."""
    metadata = ({"suspect_rank": rank, "label_quality": 0.5} for rank in range(len(names)))
    items = [{"external_id": name, "metadata": each} for name, each in zip(names, metadata, strict=True)]
    shop.owner.call("PUT", f"/datasets/{shop.dataset.id}/records/bulk", json={"items": items})


def cards(shop: Shop, person: Person, offset: int) -> list[str]:
    """What the page asks for."""
    sort = [{"scope": {"entity": "metadata", "metadata_property": "suspect_rank"}, "order": "asc"}]
    pending = {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]}
    query = {"filters": {"type": "and", "and": [pending]}, "sort": sort}
    path, params = f"/me/datasets/{shop.dataset.id}/records/search", {"limit": 10, "offset": offset}
    return [item["record"]["external_id"] for item in person.call("POST", path, json=query, params=params)["items"]]


# Places, as pure functions


def ranks(*names: str) -> list[Rank]:
    return [Rank(name, 0.5, number) for number, name in enumerate(names, 1)]


def by_name(found: Sequence[Rank]) -> dict[str, Rank]:
    return {rank.record_id: rank for rank in found}


def test_the_next_ones_take_the_first_places_and_whoever_had_them_those_that_became_free() -> None:
    before = by_name(ranks(*"abcdefgh"))
    after = moved_up(before, ranks(*"hcbgdaef"), near=2)
    assert {rank.record_id: rank.suspect_rank for rank in after} == {
        "h": 1,
        "c": 2,
        "b": 3,
        "a": 8,
        "d": 4,
        "e": 5,
        "f": 6,
        "g": 7,
    }


def test_settled_records_leave_their_places_free_and_the_order_near_the_end_is_whole() -> None:
    before = by_name(ranks(*"abcdefgh"))
    after = moved_up(before, ranks("h", "c", "g"), near=50)
    assert {rank.record_id: rank.suspect_rank for rank in after} == {"h": 3, "c": 7, "g": 8}


def test_cards_that_somebody_has_keep_their_places() -> None:
    before = by_name(ranks(*"abcdefgh"))
    after = moved_up(before, ranks(*"hgfedcba"), held={"a", "b"}, near=3)
    found = {rank.record_id: rank.suspect_rank for rank in after}
    assert (found["a"], found["b"], found["h"], found["g"], found["f"]) == (1, 2, 3, 4, 5)
    assert sorted(found.values()) == list(range(1, 9))


def test_a_record_without_a_place_so_far_gets_none() -> None:
    assert moved_up(by_name(ranks("a", "b")), ranks("new", "b", "a"), near=9) == [Rank("b", 0.5, 1), Rank("a", 0.5, 2)]


def test_a_page_has_sixteen_cards_of_each_person_at_most() -> None:
    names = [f"r{number}" for number in range(40)]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    given = [
        Response(
            record_id=name,
            user_id="u",
            annotator="anna",
            status="submitted",
            label="a",
            reason="",
            updated_at=at,
        )
        for name in names[:4]
    ]
    curated = curate([Record(name, name) for name in names], {one.record_id: [one] for one in given}, {})
    task = Task.model_validate({"name": "t", "labels": [{"name": "a"}, {"name": "b"}], "argilla": {"min_submitted": 2}})
    assert cards_held(curated, by_name(ranks(*names)), task, {}) == set(names[:20])
    dealt = {name: ["anna" if number < 20 else "ben"] for number, name in enumerate(names)}
    assert cards_held(curated, by_name(ranks(*names)), task, dealt) == {*names[4:20], *names[20:36]}
