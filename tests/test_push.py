"""Push, against the real server."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
import yaml
from shop import Shop

from tutelage.core.errors import ServerError, SettingsError
from tutelage.core.records import Rank, Record, Voter
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla import payload
from tutelage.feedback.argilla import push as push_module
from tutelage.feedback.argilla.payload import PROPERTIES
from tutelage.feedback.argilla.remote import Remote
from tutelage.loaders import consensus
from tutelage.loaders.consensus import suggest
from tutelage.loaders.ledger import Answer, Ledger

TIED = {"tie": "yes", "source": "teacher", "agreement": 0.5}
ROOT = Path(__file__).resolve().parent.parent


def change_task(shop: Shop, **keys: Any) -> None:
    path = shop.workspace.root / "task.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | keys), "utf-8")
    shop.workspace = Workspace(shop.workspace.root)


def test_a_push_makes_the_dataset_with_all_that_people_need(shop: Shop) -> None:
    change_task(shop, question="Which mood?", guidelines="Read twice.", argilla={"min_submitted": 2})
    with shop.loop() as loop:
        pushed = loop.push()
    assert (pushed.sent, pushed.created) == (3, True)
    call = shop.owner.call
    made = call("GET", f"/datasets/{pushed.dataset}")
    assert (made["name"], made["status"]) == (shop.workspace.task.name, "ready")
    assert made["guidelines"].startswith("Read twice.")
    assert made["distribution"] == {"strategy": "overlap", "min_submitted": 2}
    assert made["allow_extra_metadata"] is False
    fields = call("GET", f"/datasets/{pushed.dataset}/fields")["items"]
    assert [(f["name"], f["required"], f["settings"]["use_markdown"]) for f in fields] == [
        ("text", True, False),
        ("votes", False, False),
    ]
    label, reason = call("GET", f"/datasets/{pushed.dataset}/questions")["items"]
    assert (label["name"], label["title"], label["required"]) == ("label", "Which mood?", True)
    assert [option["value"] for option in label["settings"]["options"]] == ["positive", "negative", "neutral"]
    assert (reason["name"], reason["required"], reason["settings"]["use_markdown"]) == ("reason", False, False)
    metadata = call("GET", f"/me/datasets/{pushed.dataset}/metadata-properties")["items"]
    assert {m["name"]: (m["title"], m["settings"]["type"], m["visible_for_annotators"]) for m in metadata} == {
        "suspect_rank": ("Suspect rank", "integer", True),
        "label_quality": ("Label quality", "float", True),
        "agreement": ("Agreement of the votes", "float", True),
        "tie": ("Tie", "terms", True),
        "source": ("Source of the suggestion", "terms", True),
        "reviewer": ("Reviewer", "terms", True),
        "why": ("Why it is suspect", "terms", True),
    }
    page = f"{shop.server.url}/dataset/{pushed.dataset}/annotation-mode"
    assert pushed.link == f"{page}?status=pending&sort=metadata.suspect_rank.asc~metadata.label_quality.asc"


def test_a_record_shows_text_votes_and_suggestion(shop: Shop) -> None:
    shop.push()
    state = shop.state()
    fields, metadata, suggestions, responses = state["r0"]
    assert fields == {
        "text": "text 0",
        "votes": "positive: 2 of 3\npositive because 1\n\nnegative: 1 of 3\nnegative because 3\n\nrecord r0",
    }
    assert (metadata, responses) == ({"source": "teacher", "agreement": 0.6667}, [])
    assert suggestions == [("label", "positive", 2 / 3, "llm"), ("reason", "positive because 1", None, "llm")]
    assert state["r1"][1] == TIED
    assert state["r1"][2] == [], "votes that tie: no label waits for a key, and nobody argues for one"
    assert state["r2"][2] == []


def test_a_record_is_found_by_its_id(shop: Shop) -> None:
    shop.push()
    for name in ("r0", "r2"):
        query = {"query": {"text": {"q": name}}}
        found = shop.annotator().call("POST", f"/me/datasets/{shop.dataset.id}/records/search", json=query)
        assert [item["record"]["external_id"] for item in found["items"]] == [name]


def test_a_card_of_an_earlier_version_stays_until_something_else_in_it_changes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = payload.payload_of
    with monkeypatch.context() as earlier:
        earlier.setattr(push_module, "payload_of", lambda *given: replace(whole(*given).without_id(), metadata={}))
        shop.push()
    assert shop.counts() == (0, 2, 1, 0), "what to filter by is new; nothing is known of the record without a label"
    assert shop.counts() == (0, 0, 3, 0)
    assert not [name for name, item in shop.on_server().items() if "record r" in item["fields"].get("votes", "")]
    shop.vote("r0", "negative")
    assert shop.counts() == (1, 0, 2, 0)
    assert shop.on_server()["r0"]["fields"]["votes"].endswith("record r0")


def test_the_ledger_keeps_what_was_shown_and_from_when(shop: Shop) -> None:
    before = datetime.now(UTC)
    shop.push()
    dataset = shop.dataset.id
    with Ledger(shop.workspace.db) as ledger:
        first = ledger.shown(dataset)
    assert {name: [(s.label, s.reason, s.score) for s in each] for name, each in first.items()} == {
        "r0": [("positive", "positive because 1", 2 / 3)],
        "r1": [(None, "", None)],
        "r2": [(None, "", None)],
    }
    assert all(before <= one.since <= datetime.now(UTC) for (one,) in first.values())
    shop.push()
    shop.vote("r1", "negative")
    shop.push()
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank("r0", 0.2, 1)])
    shop.push()
    with Ledger(shop.workspace.db) as ledger:
        again = ledger.shown(dataset)
    assert [s.label for s in again["r1"]] == [None, "negative"]
    assert again["r1"][0].since < again["r1"][1].since
    assert (again["r0"], again["r2"]) == (first["r0"], first["r2"]), "nobody saw anything else"


def test_what_an_earlier_version_showed_is_noted_by_the_next_push(shop: Shop) -> None:
    shop.push()
    with sqlite3.connect(shop.workspace.db) as db:
        db.executescript("DROP TRIGGER shown_remains; DELETE FROM shown")
    db.close()
    assert shop.counts() == (0, 0, 3, 0)
    with Ledger(shop.workspace.db) as ledger:
        assert [each[0].label for each in ledger.shown(shop.dataset.id).values()] == ["positive", None, None]


def test_a_second_push_sends_nothing(shop: Shop) -> None:
    assert shop.counts() == (3, 0, 0, 0)
    before = shop.on_server()
    assert shop.counts() == (0, 0, 3, 0)
    assert shop.on_server() == before


def test_only_what_changed_is_sent(shop: Shop) -> None:
    shop.push()
    before = shop.on_server()
    shop.vote("r0", "negative")
    shop.vote("r0", "negative", number=10)
    shop.add("neutral", start=3)
    assert shop.counts() == (2, 0, 2, 0)
    after = shop.on_server()
    assert shop.suggestions("r0")["label"] == "negative"
    assert {name: item for name, item in after.items() if name in ("r1", "r2")} == {
        name: before[name] for name in ("r1", "r2")
    }


def test_consensus_and_best_reason_are_found_once_for_all_that_is_done_with_them(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str) -> None:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: calls.update([name]) or function(*given))

    count(consensus, "consensus")
    count(payload, "best_reason")
    shop.push()
    assert calls == {"consensus": 3, "best_reason": 4}, "three records; two of them with votes for two labels each"
    with shop.loop() as loop:
        ranked = loop.rank()
    assert (ranked.ranked, ranked.pushed and ranked.pushed.metadata_only) == (3, 3)
    assert calls == {"consensus": 6, "best_reason": 8}


def test_ranks_are_sent_as_metadata_only_and_taken_away_again(shop: Shop) -> None:
    change_task(shop, queue=1)
    shop.push()
    content = {name: (item[0], item[2]) for name, item in shop.state().items()}
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank("r1", 0.2, 1), Rank("r0", 0.7, 2)])
    assert shop.counts() == (0, 2, 1, 0)
    state = shop.state()
    voted = {"source": "teacher", "agreement": 0.6667}
    assert state["r1"][1] == {**TIED, "suspect_rank": 1, "label_quality": 0.2}
    assert state["r0"][1] == {**voted, "label_quality": 0.7}
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank("r1", 0.209, 1), Rank("r0", 0.69, 2)])
    assert shop.counts() == (0, 1, 2, 0)
    assert (shop.state()["r1"][1]["label_quality"], shop.state()["r0"][1]) == (
        0.2,
        {**voted, "label_quality": 0.69},
    )
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([])
    assert shop.counts() == (0, 2, 1, 0)
    assert [shop.state()[name][1] for name in ("r0", "r1", "r2")] == [voted, TIED, {}]
    assert {name: (item[0], item[2]) for name, item in shop.state().items()} == content


@pytest.mark.parametrize("status", ["submitted", "draft", "discarded"])
def test_a_response_is_unchanged_by_a_push_after_it(shop: Shop, status: str) -> None:
    shop.push()
    label = None if status == "discarded" else "neutral"
    shop.answer(shop.annotator(), "r0", label, status=status, reason="" if status == "discarded" else "I think")
    before = shop.on_server()["r0"]
    shop.vote("r0", "negative", "new reason")
    shop.vote("r0", "negative", "new reason", 10)
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank("r1", 0.1, 1)])
    assert shop.counts() == (1, 1, 1, 0)
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank("r0", 0.1, 1)])
    assert shop.counts() == (0, 2, 1, 0)
    after = shop.on_server()["r0"]
    assert after["responses"] == before["responses"]
    (response,) = after["responses"]
    assert response["status"] == status
    assert (response["values"] or {}).get("label", {}).get("value") == label
    assert after["status"] == before["status"] == ("completed" if status == "submitted" else "pending")
    assert after["suggestions"] != before["suggestions"]


def test_a_suggestion_that_is_not_made_any_more_is_taken_away(shop: Shop) -> None:
    shop.push()
    assert shop.suggestions("r0") == {"label": "positive", "reason": "positive because 1"}
    with Ledger(shop.workspace.db) as ledger:
        voters = [Voter("llm", "more", n) for n in range(3)]
        ledger.add([], [Answer(record_id="r0", voter=voter, label_text="neutral", reason="") for voter in voters])
    assert shop.counts() == (1, 0, 2, 0)
    assert shop.suggestions("r0") == {"label": "neutral"}, "no reason for another label stays"
    change_task(shop, labels=["positive", "negative", "neutral"], guidelines="same labels")
    shop.push()
    assert shop.suggestions("r1") == {}
    shop.vote("r1", "negative", "a third says so")
    shop.push()
    assert shop.suggestions("r1")["label"] == "negative"


def test_500_records_go_in_a_request(shops: Callable[..., Shop]) -> None:
    from flaky import Proxy

    shop = shops()
    shop.add(*["positive"] * 1003)
    with Proxy(shop.server.url) as proxy:
        assert shop.counts(proxy.url) == (1003, 0, 0, 0)
        puts = [path for method, path in proxy.seen if method == "PUT" and path.endswith("records/bulk")]
        assert len(puts) == 3
        seen = len(proxy.seen)
        assert shop.counts(proxy.url) == (0, 0, 1003, 0)
        assert {method for method, _ in proxy.seen[seen:]} == {"GET"}
    with shop.loop() as loop:
        assert len(list(loop.dataset().records())) == 1003


def test_the_holdout_is_never_shown(shops: Callable[..., Shop]) -> None:
    shop = shops(holdout={"share": 0.5})
    shop.add(*["positive"] * 30)
    held = {f"r{n}" for n in range(30) if shop.workspace.task.holds_out(f"r{n}")}
    shop.push()
    assert set(shop.on_server()) == {f"r{n}" for n in range(30)} - held
    assert 0 < len(held) < 30


def test_labels_ids_and_texts_of_any_script_arrive(shops: Callable[..., Shop]) -> None:
    labels = ["so, so", "😀 good", "очень плохо", "好", 'say "no"', "a/b c;d"]
    shop = shops(*labels)
    with Ledger(shop.workspace.db) as ledger:
        ledger.add(
            [Record(f"{label}\t?#%&", f"{label}\n\ttext") for label in labels],
            [
                Answer(record_id=f"{label}\t?#%&", voter=Voter("ll+m@x 好", "p"), label_text=label, reason=f"{label}!")
                for label in labels
            ],
        )
    assert shop.counts() == (6, 0, 0, 0)
    annotator = shop.annotator()
    for name in shop.on_server():
        shop.answer(annotator, name, name.removesuffix("\t?#%&"), reason="да 😀")
    rows, _, _ = shop.pull()
    assert {name: row["label"] for name, row in rows.items()} == {f"{label}\t?#%&": label for label in labels}
    assert {row["responses"][0]["reason"] for row in rows.values()} == {"да 😀"}
    assert {row["text"] for row in rows.values()} == {f"{label}\n\ttext" for label in labels}


# What Argilla cannot take


def test_one_bad_record_does_not_fail_its_batch(shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add(*["positive"] * 40)
    with Ledger(shop.workspace.db) as ledger:
        ledger._db.execute("INSERT INTO records (id, text) VALUES ('long', ?)", ["x" * 200_001])
        ledger._db.execute("INSERT INTO records (id, text) VALUES ('nul', char(97, 0, 98))")
        ledger.set_ranks([Rank("r3", float("inf"), 1), Rank("r4", 0.5, 2)])
    pushed = shop.push()
    assert pushed.sent == 39
    assert set(pushed.rejected) == {"long", "nul", "r3"}
    assert set(shop.on_server()) == {f"r{n}" for n in range(40) if n != 3}
    shop.push()
    rejects = [json.loads(line) for line in shop.workspace.rejects.read_text().splitlines()]
    assert sorted((r["source"], r["id"]) for r in rejects) == [("push", "long"), ("push", "nul"), ("push", "r3")]
    assert "longer than 200000" in next(r["reason"] for r in rejects if r["id"] == "long")


def test_what_only_the_server_refuses_is_found_by_halving(shops: Callable[..., Shop]) -> None:
    """Ranks beyond what the server's JSON takes pass our checks: the server must say which."""
    shop = shops()
    shop.add(*["positive"] * 30)
    with Ledger(shop.workspace.db) as ledger:
        ledger._db.execute("INSERT INTO records (id, text) VALUES ('wrong', 'x')")
        ledger._db.execute("INSERT INTO answers (record, teacher, prompt, vote, said, reason) SELECT"
                           " 'wrong', 't', 'p', 1, 'positive', ''")  # fmt: skip
    with shop.loop() as loop:
        dataset, _ = loop.argilla.ensure_dataset(shop.workspace.task)  # type: ignore[union-attr]
        put = dataset.put
        refused: list[int] = []

        def refusing(payloads: Any) -> None:
            """The real server, told a field it does not know for the one record."""
            wrong = [payload for payload in payloads if payload.id == "wrong"]
            for payload in wrong:
                payload.fields["unknown"] = "field"
                refused.append(len(payloads))
            put(payloads)

        object.__setattr__(dataset, "put", refusing)
        pushed = loop._send(dataset, [(record, suggest(record)) for record in loop.parted()[0]])
    assert pushed.sent == 30
    assert "found fields values for non configured fields" in pushed.rejected["wrong"]
    assert refused[0] == 31
    assert refused[-1] == 1
    assert set(shop.on_server()) == {f"r{n}" for n in range(30)}


def test_a_record_deleted_on_the_server_comes_back_whole(shop: Shop) -> None:
    shop.push()
    shop.owner.call("DELETE", f"/records/{shop.on_server()['r0']['id']}")
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank("r0", 0.1, 1)])
    shop.push()
    shop.push()
    assert shop.suggestions("r0")["label"] == "positive"
    about = {"source": "teacher", "agreement": 0.6667}
    assert shop.state()["r0"][1] == {**about, "suspect_rank": 1, "label_quality": 0.1}


# The dataset and the task


def test_a_label_added_says_what_to_do(shop: Shop) -> None:
    shop.push()
    change_task(shop, labels=["positive", "negative", "neutral", "mixed"])
    for step in (shop.push, shop.pull):
        with pytest.raises(SettingsError) as caught:
            step()
        said = str(caught.value)
        assert "was published without 'mixed'" in said
        assert f"dataset: {shop.workspace.task.name}-2" in said
    change_task(shop, argilla={"dataset": f"{shop.workspace.task.name}-2"})
    assert shop.counts() == (3, 0, 0, 0)


def test_a_label_renamed_names_both(shop: Shop) -> None:
    shop.push()
    change_task(shop, labels=["positive", "negative", "middling"])
    with pytest.raises(SettingsError, match="without 'middling' and with 'neutral'"):
        shop.push()


def test_labels_in_another_order_still_fit(shop: Shop) -> None:
    shop.push()
    change_task(shop, labels=["neutral", "negative", "positive"])
    assert shop.counts() == (0, 0, 3, 0)


def test_a_dataset_of_somebody_else_under_the_name_is_an_error_and_is_left_alone(shop: Shop) -> None:
    spaces = shop.owner.call("GET", "/me/workspaces")["items"]
    space = next((s["id"] for s in spaces if s["name"] == "tutelage"), None)
    assert space
    made = shop.owner.call("POST", "/datasets", json={"name": shop.workspace.task.name, "workspace_id": space})["id"]
    shop.owner.call(
        "POST", f"/datasets/{made}/fields", json={"name": "body", "title": "b", "settings": {"type": "text"}}
    )
    options = [{"value": name, "text": name} for name in ("positive", "negative", "neutral")]
    question = {"name": "label", "title": "l", "required": True}
    question["settings"] = {"type": "label_selection", "options": options}
    shop.owner.call("POST", f"/datasets/{made}/questions", json=question)
    shop.owner.call("PUT", f"/datasets/{made}/publish")
    with pytest.raises(SettingsError, match="was not made by tutelage"):
        shop.push()
    assert shop.owner.call("GET", f"/datasets/{made}/records")["items"] == []


def test_guidelines_and_minimum_follow_the_task(shop: Shop) -> None:
    shop.push()
    change_task(shop, guidelines="Read thrice.", argilla={"min_submitted": 3})
    assert shop.counts() == (0, 0, 3, 0)
    made = shop.owner.call("GET", f"/datasets/{shop.dataset.id}")
    assert made["guidelines"].startswith("Read thrice.")
    assert made["distribution"]["min_submitted"] == 3


def test_two_tasks_on_one_server_do_not_mix(shops: Callable[..., Shop]) -> None:
    one, two = shops(), shops()
    one.add("positive", "positive")
    two.add("negative")
    one.push()
    two.push()
    person = one.annotator()
    one.answer(person, "r0", "neutral")
    two.answer(person, "r0", "positive")
    assert one.pull()[0]["r0"]["label"] == "neutral"
    assert two.pull()[0]["r0"]["label"] == "positive"
    assert (len(one.on_server()), len(two.on_server())) == (2, 1)
    assert one.counts()[0] == two.counts()[0] == 0


@pytest.mark.parametrize("step", ["push", "rank"])
def test_a_metadata_property_that_the_dataset_lacks_is_added_before_records_have_it(
    shops: Callable[..., Shop], step: str
) -> None:
    shop = shops()
    shop.add("positive", "negative")
    shop.push()
    shop.owner.call("DELETE", f"/metadata-properties/{shop.properties()['tie']}")
    shop.vote("r0", "negative")
    assert shop.properties().keys() == PROPERTIES.keys() - {"tie"}
    with shop.loop() as loop:
        pushed = loop.push() if step == "push" else loop.rank().pushed
    assert pushed
    assert pushed.rejected == {}
    assert shop.properties().keys() == PROPERTIES.keys()
    assert [shop.on_server()[name]["metadata"].get("tie") for name in ("r0", "r1")] == ["yes", None]
    assert shop.owner.call("GET", f"/metadata-properties/{shop.properties()['tie']}/metrics")["values"] == [
        {"term": "yes", "count": 1}
    ]


def test_two_pushes_that_add_a_property_at_once_both_go_through(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.push()
    shop.owner.call("DELETE", f"/metadata-properties/{shop.properties()['tie']}")
    ask = Remote.request

    def other_is_faster(remote: Remote, method: str, path: str, **options: Any) -> Any:
        if method == "POST" and path.endswith("metadata-properties"):
            ask(remote, method, path, **options)
        return ask(remote, method, path, **options)

    monkeypatch.setattr(Remote, "request", other_is_faster)
    assert shop.counts() == (0, 0, 3, 0)
    assert "tie" in shop.properties()


def test_a_workspace_is_made_when_it_is_missing(shops: Callable[..., Shop]) -> None:
    shop = shops(argilla={"workspace": "space-of-its-own"})
    shop.add("positive")
    shop.push()
    assert "space-of-its-own" in {space["name"] for space in shop.owner.call("GET", "/me/workspaces")["items"]}


def test_a_dataset_that_was_never_published_is_made_anew(shop: Shop) -> None:
    shop.push()
    spaces = shop.owner.call("GET", "/me/workspaces")["items"]
    space = next(s["id"] for s in spaces if s["name"] == "tutelage")
    change_task(shop, name=shop.workspace.task.name + "-x")
    draft = {"name": shop.workspace.task.name, "workspace_id": space}
    shop.owner.call("POST", "/datasets", json=draft)
    with pytest.raises(ServerError, match="make it with: tutelage push"):
        shop.pull()
    assert shop.counts() == (3, 0, 0, 0)


def test_a_dataset_that_was_cut_off_is_completed_as_the_task_is_now(shop: Shop) -> None:
    with shop.loop() as loop:
        argilla = loop._argilla
        draft = argilla._draft(shop.workspace.task)
        questions = argilla._described(shop.workspace.task)["questions"]
        argilla._add_missing(draft, shop.workspace.task, "questions", questions)
    change_task(shop, labels=["positive", "negative", "neutral", "mixed"], question="Which?")
    assert shop.counts() == (3, 0, 0, 0)
    assert shop.dataset.id == draft
    (label,) = [q for q in shop.owner.call("GET", f"/datasets/{draft}/questions")["items"] if q["name"] == "label"]
    assert (label["title"], len(label["settings"]["options"])) == ("Which?", 4)


def test_a_draft_of_somebody_else_is_left_alone(shop: Shop) -> None:
    with shop.loop() as loop:
        draft = loop._argilla._draft(shop.workspace.task)
    field = {"name": "picture", "title": "Picture", "settings": {"type": "image"}}
    shop.owner.call("POST", f"/datasets/{draft}/fields", json=field)
    with pytest.raises(SettingsError, match=r"unpublished dataset .* was not made by tutelage: it has 'picture'"):
        shop.push()
    assert [one["name"] for one in shop.owner.call("GET", f"/datasets/{draft}/fields")["items"]] == ["picture"]


_PUSH = """
import sys
from pathlib import Path
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.loaders.ledger import Ledger
from tutelage.steps.review.loop import Loop
import argilla
root, url, key = sys.argv[1:]
with ArgillaClient(url, key) as client, Ledger(Path(root) / "task.db") as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    print(Loop(Workspace(Path(root)), ledger, client).push().dataset)
"""


@pytest.mark.parametrize("same_directory", [True, False])
def test_first_pushes_at_once_make_one_dataset_with_all_records(
    shops: Callable[..., Shop], *, same_directory: bool
) -> None:
    shop = shops(argilla={"workspace": f"space-{uuid4().hex[:8]}"})
    shop.add(*["positive"] * 30)
    roots = [shop.workspace.root] * 3 if same_directory else [copied(shop, f"other-{n}") for n in range(3)]
    command = [sys.executable, "-c", _PUSH]
    pushes = [
        subprocess.Popen(
            [*command, str(root), shop.server.url, shop.server.api_key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for root in roots
    ]
    assert [push.stdout and push.stdout.readline() for push in pushes] == ["ready\n"] * 3
    for push in pushes:
        assert push.stdin
        push.stdin.write("\n")
        push.stdin.flush()
    ends = [push.communicate(timeout=120) for push in pushes]
    assert [error for _, error in ends] == ["", "", ""]
    assert {said.strip() for said, _ in ends} == {shop.dataset.id}
    assert len(shop.on_server()) == 30


def copied(shop: Shop, name: str) -> Path:
    """The task directory as on another machine."""
    return Path(shutil.copytree(shop.workspace.root, shop.workspace.root.with_name(name)))


def test_an_annotator_may_not_push_and_is_told_so(shop: Shop) -> None:
    from tutelage.feedback.argilla.client import ArgillaClient
    from tutelage.steps.review.loop import Loop

    shop.annotator()
    with (
        ArgillaClient(shop.server.url, shop.server.annotator_api_key, waits=()) as argilla,
        Ledger(shop.workspace.db) as ledger,
        pytest.raises(ServerError, match=r"does not let 'annotator' make the dataset .* It takes an owner"),
    ):
        Loop(shop.workspace, ledger, argilla).push()


def test_nothing_to_push_says_how_to_bring_records(shops: Callable[..., Shop]) -> None:
    with pytest.raises(Exception, match="bring some with tutelage load or import"):
        shops().push()
