"""Whose the records in the queue are: the dealing itself, and what it is on the real server."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
import yaml
from shop import Person, Shop

from tutelage.core.errors import TutelageError
from tutelage.core.records import Deal, Rank
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.payload import reviewer_term
from tutelage.loaders.ledger import Ledger
from tutelage.project import Project
from tutelage.steps.review.dealing import Answers, deal_out

QUEUE = [f"r{number}" for number in range(20)]
THREE = ("anna", "ben", "carl")


def out(
    queue: Sequence[str] = QUEUE,
    dealt: Mapping[str, Sequence[str]] | None = None,
    people: Sequence[str] = THREE,
    overlap: float = 0,
    **options: Any,
) -> dict[str, tuple[str, ...]]:
    answers = Answers(begun=options.pop("begun", {}), given=options.pop("given", {}))
    return deal_out(queue, dealt or {}, Deal(tuple(people), overlap), answers, **options)


def hands(dealt: Mapping[str, Sequence[str]]) -> Counter[str]:
    return Counter(name for names in dealt.values() for name in names)


def test_everybody_gets_as_many_and_the_worst_are_spread() -> None:
    dealt = out()
    assert hands(dealt) == {"anna": 7, "ben": 7, "carl": 6}
    assert [dealt[name] for name in QUEUE[:4]] == [("anna",), ("ben",), ("carl",), ("anna",)]


@pytest.mark.parametrize("level", [False, True])
def test_dealing_again_changes_nothing(level: bool) -> None:  # noqa: FBT001
    dealt = out(overlap=0.3, copies=2)
    assert out(dealt=dealt, overlap=0.3, copies=2, level=level) == dealt
    mixed = random.Random(1).sample(QUEUE, k=len(QUEUE))
    assert out(mixed, dealt, overlap=0.3, copies=2) == {name: dealt[name] for name in mixed}


def test_a_record_stays_with_its_reviewer_whatever_its_rank_and_new_ones_go_to_who_has_least() -> None:
    before = out(people=("anna", "ben"))
    queue = [*QUEUE[5:], *(f"new{number}" for number in range(5))]
    given = {name: before[name] for name in QUEUE if before[name] == ("ben",)}
    after = out(queue, before, people=("anna", "ben"), given=given)
    assert {name: after[name] for name in QUEUE[5:]} == {name: before[name] for name in QUEUE[5:]}
    assert [after[f"new{number}"] for number in range(5)] == [("ben",)] * 5, "who has answered all has least to do"


def test_the_records_of_who_has_gone_go_to_the_others() -> None:
    before = out()
    after = out(dealt=before, people=("anna", "ben"))
    assert hands(after) == {"anna": 10, "ben": 10}
    assert all(after[name] == before[name] for name in QUEUE if before[name] != ("carl",))


def test_an_answer_of_who_has_gone_counts_in_an_overlap() -> None:
    before = {"r0": ("anna", "carl"), "r1": ("anna", "carl")}
    after = out(["r0", "r1"], before, ("anna", "ben"), overlap=1.0, copies=2, given={"r0": ("carl",)})
    assert after == {"r0": ("anna", "carl"), "r1": ("anna", "ben")}


def test_a_record_is_whose_answer_is_begun() -> None:
    assert out(["r0", "r1"], begun={"r0": ("carl",), "r1": ("somebody else",)})["r0"] == ("carl",)


@pytest.mark.parametrize("overlap", [0.0, 0.05, 0.1, 0.34, 0.5, 1.0])
def test_the_share_goes_to_two_different_people_and_is_spread_over_the_queue(overlap: float) -> None:
    dealt = out(overlap=overlap, copies=2)
    shared = [name for name in QUEUE if len(dealt[name]) == 2]
    assert len(shared) == -(-overlap * 100 * len(QUEUE) // 100)
    assert all(len(set(dealt[name])) == len(dealt[name]) for name in QUEUE)
    assert max(hands(dealt).values()) - min(hands(dealt).values()) <= 1
    assert not shared or shared[0] == "r0"
    assert overlap != 0.5 or shared == QUEUE[::2]


def test_a_larger_share_adds_to_the_smaller_one() -> None:
    small = out(overlap=0.1, copies=2)
    large = out(dealt=small, overlap=0.5, copies=2)
    assert sum(len(names) == 2 for names in large.values()) == 10
    assert all(set(small[name]) <= set(large[name]) for name in QUEUE)


def test_a_new_person_gets_a_share_from_the_end_of_the_others_queues() -> None:
    before = out(people=("anna", "ben"))
    assert hands(out(dealt=before))["carl"] == 0
    begun = {name: before[name] for name in QUEUE[-4:]}
    after = out(dealt=before, level=True, begun=begun)
    assert hands(after) == {"anna": 7, "ben": 7, "carl": 6}
    assert all(after[name] == before[name] for name in QUEUE[:10])
    assert all(after[name] == before[name] for name in QUEUE[-4:]), "begun answers stay"


# On the server


@pytest.fixture
def team(shops: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> tuple[Shop, Project, dict[str, Person]]:
    """Twelve ranked records, and two people of the task's own workspace."""
    shop = shops(argilla={"workspace": f"space-{uuid4().hex[:8]}"})
    shop.add(*["positive", "negative"] * 6)
    monkeypatch.setenv("ARGILLA_API_URL", shop.server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", shop.server.api_key)
    project = Project(shop.workspace.root)
    project.push()
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank(f"r{number}", number / 100, number + 1) for number in range(12)])
    project.push()
    return shop, project, {name: join(shop, project, name) for name in ("anna.b", "ben")}


def join(shop: Shop, project: Project, stem: str) -> Person:
    name = f"{stem}-{uuid4().hex[:8]}"
    project.annotators.add(name)
    key = {user["username"]: user["api_key"] for user in shop.owner.call("GET", "/users")["items"]}[name]
    return shop._person(key, name)


def change(shop: Shop, project: Project, **keys: Any) -> Project:
    path = shop.workspace.root / "task.yaml"
    task = yaml.safe_load(path.read_text("utf-8"))
    path.write_text(yaml.safe_dump(task | {"argilla": {**task["argilla"], **keys}}), "utf-8")
    shop.workspace = Workspace(shop.workspace.root)
    return Project(project.workspace.root)


def pending(shop: Shop, person: Person) -> list[str]:
    """What the page asks for where a person opens their link."""
    metadata = {"entity": "metadata", "metadata_property": "reviewer"}
    terms = [
        ({"entity": "response", "property": "status"}, ["pending"]),
        ({"entity": "record", "property": "status"}, ["pending"]),
        (metadata, [reviewer_term(person.name)]),
    ]
    filters = [{"type": "terms", "scope": scope, "values": values} for scope, values in terms]
    sort = [{"scope": {"entity": "metadata", "metadata_property": "suspect_rank"}, "order": "asc"}]
    path = f"/me/datasets/{shop.dataset.id}/records/search"
    found = person.call("POST", path, json={"filters": {"and": filters}, "sort": sort})
    return [item["record"]["external_id"] for item in found["items"]]


Team = tuple[Shop, Project, dict[str, Person]]


def test_two_people_share_the_queue_and_nobody_works_twice(team: Team) -> None:
    shop, project, people = team
    anna, ben = people.values()
    dealt = project.annotators.deal()
    assert (dealt.queue, dealt.shared, dealt.sent) == (12, 0, 12)
    assert [(one.name, one.dealt, one.waiting) for one in dealt.annotators] == [(anna.name, 6, 6), (ben.name, 6, 6)]
    assert pending(shop, anna) == [f"r{number}" for number in range(0, 12, 2)]
    assert pending(shop, ben) == [f"r{number}" for number in range(1, 12, 2)]
    assert [one.link for one in dealt.annotators] == [shop.dataset.queue_link_of(one.name) for one in (anna, ben)]
    assert f"&metadata=reviewer.{reviewer_term(anna.name)}" in dealt.annotators[0].link
    again = project.annotators.deal()
    assert (again.sent, again.annotators) == (0, dealt.annotators)


def test_a_rank_keeps_the_reviewers_and_deals_what_enters_the_queue(team: Team) -> None:
    shop, project, people = team
    anna, ben = people.values()
    project.annotators.deal()
    before = pending(shop, anna), pending(shop, ben)
    shop.answer(anna, "r0", "negative")
    shop.add(*["neutral"] * 3, start=12)
    project.push()
    project.rank()
    after = pending(shop, anna), pending(shop, ben)
    assert set(after[0]) - {"r12", "r13", "r14"} == set(before[0]) - {"r0"}
    assert set(after[1]) - {"r12", "r13", "r14"} == set(before[1])
    assert (len(after[0]), len(after[1])) == (7, 7), "anna has answered one: she gets one more"
    assert set(after[0]) & set(after[1]) == set()


def test_who_is_removed_hands_theirs_over_at_the_next_rank(team: Team) -> None:
    shop, project, people = team
    anna, ben = people.values()
    project.annotators.deal()
    shop.answer(anna, "r0", "negative")
    project.pull()
    removed = project.annotators.remove(anna.name)
    assert (removed.answers, removed.waiting) == (1, 5)
    assert len(pending(shop, ben)) == 6
    project.rank()
    assert sorted(pending(shop, ben)) == sorted(f"r{number}" for number in range(1, 12))
    (left,) = [one for one in project.annotators.list() if one.name == ben.name]
    assert left.waiting == 11


def test_a_newcomer_is_told_and_gets_a_share_at_the_next_deal(team: Team) -> None:
    shop, project, people = team
    project.annotators.deal()
    told = project.annotators.add(f"carl-{uuid4().hex[:8]}")
    assert (told.has_share, told.link) == (False, shop.dataset.queue_link)
    dealt = project.annotators.deal()
    assert [one.waiting for one in dealt.annotators] == [4, 4, 4]
    assert [pending(shop, person)[0] for person in people.values()] == ["r0", "r1"]


def test_an_overlap_is_answered_by_two_and_the_rest_by_one(team: Team) -> None:
    shop, project, people = team
    anna, ben = people.values()
    with pytest.raises(TutelageError, match=r"set argilla\.min_submitted to 2"):
        project.annotators.deal(overlap=0.25)
    project = change(shop, project, min_submitted=2)
    dealt = project.annotators.deal(overlap=0.25)
    assert (dealt.queue, dealt.shared) == (12, 3)
    both = set(pending(shop, anna)) & set(pending(shop, ben))
    assert both == {"r0", "r4", "r8"}
    assert set(pending(shop, anna)) | set(pending(shop, ben)) == {f"r{number}" for number in range(12)}
    alone = next(name for name in pending(shop, anna) if name not in both)
    for name in ("r0", alone):
        shop.answer(anna, name, "negative")
    assert "r0" in pending(shop, ben), "it waits for his answer, too"
    assert "r0" not in pending(shop, anna)
    project.rank()
    assert "r0" in pending(shop, ben)
    with Ledger(shop.workspace.db) as ledger:
        assert alone not in ledger.ranks(), "one person's record is settled by one answer"
        assert "r0" in ledger.ranks()
    now = project.status()
    assert (now.settled, now.pending, now.behind.ranks) == (1, 11, 0)
    shop.answer(ben, "r0", "neutral")
    project.rank()
    with Ledger(shop.workspace.db) as ledger:
        assert "r0" not in ledger.ranks()
        hers = next(name for name, names in ledger.dealt().items() if names == (anna.name,) and name != alone)
    shop.answer(anna, hers, "negative")
    project.pull()
    assert hers not in set(project.suspects(pending=True)["id"])
    project.export(sheet := shop.workspace.root / "sheet.json", format="label-studio")
    assert f'"{hers}"' not in sheet.read_text("utf-8")
    assert (project.status().settled, project.status().behind.ranks) == (3, 1)


def test_where_two_answers_complete_a_record_all_are_dealt_to_two(team: Team) -> None:
    shop, project, people = team
    project = change(shop, project, min_submitted=2)
    dealt = project.annotators.deal()
    assert dealt.shared == 12
    assert all(len(pending(shop, person)) == 12 for person in people.values())
    (name, _) = people.values()
    with pytest.raises(TutelageError, match=r"min_submitted is 2, but 1 of .* takes part"):
        project.annotators.deal(name.name)
    assert project.annotators.deal(name.name, overlap=0).shared == 0


def test_what_cannot_be_dealt_is_said(shop: Shop, team: Team) -> None:
    _, project, _ = team
    with pytest.raises(TutelageError, match=r"'nobody' is not in the workspace 'space-.*annotators add nobody"):
        project.annotators.deal("nobody")
    with pytest.raises(TutelageError, match="make it with: tutelage push"):
        Project(shop.workspace.root).annotators.deal()
    shop.push()
    shop.annotator()
    with pytest.raises(TutelageError, match="rank the records first with: tutelage rank"):
        Project(shop.workspace.root).annotators.deal()


def test_the_filter_panel_counts_lists_of_reviewers(team: Team) -> None:
    shop, project, people = team
    anna, ben = people.values()
    change(shop, project, min_submitted=2).annotators.deal(overlap=0.5)
    metrics = shop.owner.call("GET", f"/metadata-properties/{shop.properties()['reviewer']}/metrics")
    counts = {each["term"]: each["count"] for each in metrics["values"]}
    assert counts == {reviewer_term(one.name): len(pending(shop, one)) for one in (anna, ben)}
    assert sum(counts.values()) == 18


def test_the_command_prints_each_ones_link(
    team: Team, tutelage: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shop, _, people = team
    where = ("--task", shop.workspace.root)
    assert "dealt" not in tutelage("push", *where).stdout
    said = tutelage("annotators", "deal", *where).stdout
    assert said.startswith("12 records are dealt\n")
    for person in people.values():
        assert f"{person.name}: {shop.dataset.queue_link_of(person.name)}" in said
    assert "The queue is dealt" in tutelage("push", *where).stdout
    assert "The queue is dealt" in tutelage("rank", *where).stdout
    told = json.loads(tutelage("annotators", "deal", *people_names(people), *where, "--json").stdout)
    assert [one["waiting"] for one in told["annotators"]] == [6, 6]
    assert tutelage("annotators", "deal", "--overlap", "2", *where, ok=False).returncode == 2


def people_names(people: Mapping[str, Person]) -> list[str]:
    return [person.name for person in people.values()]
