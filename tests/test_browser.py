"""The annotation page as an annotator sees it, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from browser import screenshot, sign_in, sign_in_as
from playwright.sync_api import Page, expect

from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.server.lifecycle import Server
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.ledger import Ledger
from tutelage.project import Project
from tutelage.steps.review.loop import Loop

HOSTILE_TEXT = (
    "<b>bold</b> <img src=x onerror=\"window.hacked='text'\"> **stars** [link](javascript:alert(1)) {{ record }} & “q”"
)
HOSTILE_REASON = (
    "<script>window.hacked='reason'</script> # heading <a href='javascript:window.hacked=1'>click</a> `code`"
)


@contextmanager
def queue(workspace: Workspace, server: Server) -> Iterator[tuple[Loop, Dataset]]:
    """Pushed and ranked, the annotator let in."""
    with Ledger(workspace.db) as ledger, ArgillaClient(server.url, server.api_key) as argilla:
        loop = Loop(workspace, ledger, argilla)
        loop.push()
        dataset = loop.dataset()
        argilla.add_annotator(workspace.task, server.annotator)
        loop.rank()
        yield loop, dataset


def test_the_link_opens_the_worst_record_first_and_a_submitted_answer_comes_home(
    page: Page,
    server: Server,
    make_task: Callable[..., Workspace],
    write_csv: Callable[..., Path],
    tutelage: Callable[..., object],
) -> None:
    workspace = make_task()
    rows = [
        {"id": f"r{i}", "text": f"Net sales rose {i} percent.", **votes("positive", "Sales rose.", "positive", "Up.")}
        for i in range(20)
    ]
    rows[7] |= votes("negative", "Rising sales are bad.", "positive", "Sales rose, which is good.")
    tutelage(
        *("import", write_csv(rows), "--text", "text", "--id", "id"),
        *("--vote", "v1:w1", "--vote", "v2:w2", "--task", workspace.root),
    )
    with queue(workspace, server) as (loop, dataset):
        worst = next(rank.record_id for rank in loop.ledger.ranks().values() if rank.suspect_rank == 1)
        assert worst == "r7"
        failures: list[str] = []
        page.on("response", lambda answer: failures.append(answer.url) if answer.status >= 400 else None)
        sign_in(page, server)
        page.goto(dataset.queue_link)

        expect(page.get_by_text("Net sales rose 7 percent.")).to_be_visible()
        expect(page.get_by_text("negative: 1 of 2")).to_contain_text("Rising sales are bad.")
        expect(page.get_by_text("positive: 1 of 2")).to_contain_text("Sales rose, which is good.")
        expect(page.get_by_text("record r7", exact=False)).to_be_visible()
        expect(page.locator("label.label-active")).to_have_count(0)  # the votes tie: no label waits for Enter
        expect(page.get_by_text("Reason (the teacher's; correct it where it is wrong)")).to_be_visible()
        screenshot(page, "tie.png")

        page.keyboard.press("1")
        expect(page.locator("label.label-active")).to_have_attribute("title", "positive")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Net sales rose 7 percent.")).to_be_hidden()
        expect(page.locator("label.label-active")).to_have_attribute("title", "positive")  # the next one's suggestion
        screenshot(page, "annotation.png")
        page.keyboard.press("1")  # which its own digit takes away, as the question's description says
        expect(page.locator("label.label-active")).to_have_count(0)
        snapshot = load_snapshot(workspace.snapshots, loop.pull().snapshot)
        row = snapshot.frame().set_index("id").loc["r7"]
        assert (row["label"], row["source"], row["status"]) == ("positive", "human", "reviewed")
        assert [response["annotator"] for response in row["responses"]] == [server.annotator]
        assert failures == []


def test_texts_and_reasons_cannot_act(
    page: Page,
    server: Server,
    make_task: Callable[..., Workspace],
    write_csv: Callable[..., Path],
    tutelage: Callable[..., object],
) -> None:
    workspace = make_task(guidelines="Decide.")
    rows = [{"text": HOSTILE_TEXT, **votes("positive", HOSTILE_REASON, "<i>slightly</i> positive", "")}]
    tutelage(
        "import", write_csv(rows), "--text", "text", "--vote", "v1:w1", "--vote", "v2:w2", "--task", workspace.root
    )
    with queue(workspace, server) as (_, dataset):
        sign_in(page, server)
        page.goto(dataset.queue_link)
        expect(page.get_by_text(HOSTILE_TEXT)).to_be_visible()
        expect(page.get_by_text(HOSTILE_REASON).first).to_be_visible()
        expect(page.get_by_text("said: <i>slightly</i> positive")).to_be_visible()
        screenshot(page, "hostile.png")
        assert page.evaluate("window.hacked") is None
        assert page.locator(".fields b, .fields img, .fields script, .fields a, .fields i").count() == 0


def test_two_people_with_two_links_see_the_same_record_in_the_overlap_only(
    page: Page,
    server: Server,
    make_task: Callable[..., Workspace],
    write_csv: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", server.api_key)
    where = {"workspace": f"space-{uuid4().hex[:8]}", "min_submitted": 2}
    project = Project(make_task(argilla=where).root)
    rows = [{"id": f"r{n}", "text": f"Net sales rose {n} percent.", "v": "positive"} for n in range(6)]
    project.import_votes(write_csv(rows), id="id", votes=["v"])
    project.push()
    project.rank()
    people = [project.annotators.add(f"{name}-{uuid4().hex[:8]}") for name in ("anna.b@example.org", "Ben Bö")]
    dealt = project.annotators.deal(overlap=0.3)
    seen = []
    for person, hand in zip(people, dealt.annotators, strict=True):
        assert person.name == hand.name
        sign_in_as(page, server.url, person.name, person.password)
        seen.append(accept_all(page, hand.link, hand.waiting))
        page.context.clear_cookies()
        page.evaluate("localStorage.clear()")
    anna, ben = map(set, seen)
    assert (len(anna), len(ben), len(anna & ben), len(anna | ben)) == (4, 4, 2, 6)
    pulled = project.pull()
    assert pulled.by_annotator == {person.name: 4 for person in people}
    assert project.rank().ranked == 0, "two answers, or the one that was asked for, settle a record"


def accept_all(page: Page, link: str, most: int) -> list[str]:
    """Accept each suggestion that a link shows; the texts, in the order in which they came."""
    page.goto(link)
    texts, card = list[str](), page.locator(".content-area").first
    for _ in range(most):
        expect(card).to_be_visible()
        expect(card).not_to_have_text(texts[-1] if texts else "")
        expect(page.locator("label.label-active")).to_have_attribute("title", "positive")
        if not texts:
            screenshot(page, f"dealt-{link[-4:]}.png")
        texts.append(card.inner_text())
        page.keyboard.press("Enter")
    expect(page.locator(".content-area")).to_have_count(0)
    return texts


def test_wrapped_guidelines_are_paragraphs_and_the_filters_are_there(
    page: Page,
    server: Server,
    make_task: Callable[..., Workspace],
    write_csv: Callable[..., Path],
    tutelage: Callable[..., object],
) -> None:
    workspace = make_task(guidelines="# How\nRead the whole\nsentence.\n\n- a list\n- stays\n\nThis  \nbreaks.\n")
    rows = [{"text": "Net sales rose.", **votes("positive", "Up.", "negative", "Down.")}]
    tutelage(
        "import", write_csv(rows), "--text", "text", "--vote", "v1:w1", "--vote", "v2:w2", "--task", workspace.root
    )
    with queue(workspace, server) as (_, dataset):
        sign_in(page, server)
        page.goto(dataset.queue_link)
        page.get_by_text("Filters").click()
        page.get_by_text("Metadata", exact=True).click()
        for title in ("Suspect rank", "Label quality", "Agreement of the votes", "Tie", "Source of the suggestion"):
            expect(page.get_by_text(title, exact=True)).to_be_visible()
        screenshot(page, "filters.png")
        page.goto(dataset.queue_link)
        page.get_by_text("Guidelines").first.click()
        shown = page.locator(".markdown-render").first
        expect(shown.locator("p").first).to_have_text("Read the whole sentence.")
        expect(shown.locator("p").first.locator("br")).to_have_count(0)
        expect(shown.locator("li").first).to_have_text("a list")
        expect(shown.locator("p").nth(1).locator("br")).to_have_count(1)
        screenshot(page, "guidelines.png")


def votes(first: str, first_reason: str, second: str, second_reason: str) -> dict[str, str]:
    return {"v1": first, "w1": first_reason, "v2": second, "w2": second_reason}
