"""Pull, against the real server: exactly the answers that people gave."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from shop import Shop

from tutelage.core.records import Rank
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.pull import _response, fetch
from tutelage.loaders.ledger import Ledger
from tutelage.project import Project


def test_pull_returns_exactly_the_answers_given(shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add(*[["positive", "negative"][n % 2] for n in range(30)])
    shop.push()
    draw, people = random.Random(5), [shop.annotator(), shop.hire(), shop.hire()]
    there, given, asked_at = shop.on_server(), {}, datetime.now(UTC)
    for name in draw.sample(sorted(there), 18):
        for person in draw.sample(people, draw.choice([1, 1, 2, 3])):
            label, status = draw.choice(["positive", "negative", "neutral"]), draw.choice(["submitted"] * 3 + ["draft"])
            reason = draw.choice(["", "because <b>of</b> 😀\nthat"])
            person.answer(there[name]["id"], label, reason=reason, status=status)
            given[name, person.name] = (status, label, reason)
    rows, manifest, summary = shop.pull()
    found = {
        (name, answer["annotator"]): (answer["status"], answer["label"], answer["reason"])
        for name, row in rows.items()
        for answer in row["responses"]
    }
    assert found == given
    times = [answer["updated_at"] for row in rows.values() for answer in row["responses"]]
    assert all(asked_at - timedelta(seconds=5) < time < datetime.now(UTC) + timedelta(seconds=5) for time in times)
    statuses = [status for status, _, _ in given.values()]
    assert summary["by_status"] == {status: statuses.count(status) for status in set(statuses)}
    finished = [name for (_, name), (status, _, _) in given.items() if status != "draft"]
    assert summary["by_annotator"] == {name: finished.count(name) for name in set(finished)}
    assert manifest["origin"]["dataset"] == shop.dataset.id
    assert manifest["records"] == 30


def test_the_teachers_reason_is_never_a_persons(shop: Shop) -> None:
    """The page fills it in; whoever chooses another label has not argued for the one that was suggested."""
    shop.add(["positive", "positive"], ["positive", "positive"], ["positive", "positive"], start=3)
    shop.push()
    ann = shop.annotator()
    filled_in = shop.suggestions("r3")["reason"]
    shop.answer(ann, "r3", "positive", reason=filled_in)
    shop.answer(ann, "r4", "negative", reason=filled_in)
    shop.answer(ann, "r5", "negative", reason="No: sales fell.")
    rows, _, _ = shop.pull()
    answers = {name: row["responses"][0] for name, row in rows.items() if len(row["responses"])}
    found = {name: (answer["reason"], answer["reason_by"]) for name, answer in answers.items()}
    assert found == {"r3": (filled_in, "teacher"), "r4": ("", ""), "r5": ("No: sales fell.", "annotator")}
    with Ledger(shop.workspace.db) as ledger:
        kept = {response.record_id: response.reason for response in ledger.responses(shop.dataset.id)}
    assert kept["r4"] == filled_in, "the ledger keeps what was sent, word for word"


def test_the_label_to_train_on(shops: Callable[..., Shop]) -> None:
    shop = shops(argilla={"min_submitted": 2})
    shop.add("positive", "positive", "positive", "positive", "positive", [None])
    shop.add("neutral", start=6, given="negative")
    shop.push()
    ann, bob = shop.annotator(), shop.hire()
    shop.answer(ann, "r0", "negative")
    shop.answer(ann, "r1", "negative", status="draft")
    shop.answer(ann, "r2", None, status="discarded")
    shop.answer(ann, "r3", "negative")
    shop.answer(bob, "r3", "neutral")
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank("r4", 0.25, 1)])
    rows, manifest, _ = shop.pull()
    got = {name: (row["label"], row["source"], row["status"]) for name, row in rows.items()}
    assert got == {
        "r0": ("negative", "human", "reviewed"),
        "r1": ("positive", "teacher", "pending"),
        "r2": (None, "human", "discarded"),
        "r3": (None, "human", "tied"),
        "r4": ("positive", "teacher", "pending"),
        "r5": (None, "teacher", "pending"),
        "r6": ("negative", "given", "pending"),
    }
    assert manifest["tied"] == ["r3"]
    assert manifest["by_source"] == {"human": 1, "teacher": 2, "given": 1}
    assert (rows["r4"]["label_quality"], rows["r4"]["suspect_rank"]) == (0.25, 1)
    assert [vote["label"] for vote in rows["r0"]["votes"]] == ["positive"]


def test_the_same_answers_make_no_new_snapshot_and_new_ones_do(shop: Shop) -> None:
    shop.push()
    person = shop.annotator()
    first = shop.pull()[1]
    assert shop.pull()[1] == first
    shop.answer(person, "r0", "positive")
    second = shop.pull()[1]
    assert second["id"] != first["id"], "the same label, now from a human"
    answer = shop.on_server()["r0"]["responses"][0]
    person.call("PUT", f"/responses/{answer['id']}", json=_again("positive"))
    assert shop.pull()[1]["id"] == second["id"], "the same answer at a later time"
    folders = [path.name for path in shop.workspace.snapshots.iterdir() if path.is_dir()]
    assert sorted(folders) == sorted([first["id"], second["id"]])


def _again(label: str) -> dict[str, Any]:
    return {"status": "submitted", "values": {"label": {"value": label}}}


def test_a_changed_answer_replaces_the_older_one(shop: Shop) -> None:
    shop.push()
    person = shop.annotator()
    made = shop.answer(person, "r0", "positive")
    shop.pull()
    person.call("PUT", f"/responses/{made['id']}", json=_again("neutral"))
    row = shop.pull()[0]["r0"]
    assert [answer["label"] for answer in row["responses"]] == ["neutral"]
    assert row["label"] == "neutral"


def test_a_withdrawn_answer_does_not_count_and_is_kept(shop: Shop) -> None:
    shop.push()
    person = shop.annotator()
    made = shop.answer(person, "r0", "neutral")
    assert shop.pull()[0]["r0"]["label"] == "neutral"
    person.call("DELETE", f"/responses/{made['id']}")
    rows, _, summary = shop.pull()
    assert (rows["r0"]["label"], rows["r0"]["source"], rows["r0"]["status"]) == ("positive", "teacher", "pending")
    assert summary["withdrawn"] == 1
    assert summary["by_annotator"] == {}
    with Ledger(shop.workspace.db) as ledger:
        (kept,) = ledger.responses(shop.dataset.id)
    assert (kept.label, kept.state) == ("neutral", "withdrawn")
    shop.answer(person, "r0", "negative")
    rows, _, summary = shop.pull()
    assert (rows["r0"]["label"], summary["withdrawn"]) == ("negative", 0), "and may be given again"


def test_answers_of_a_deleted_user_are_named_and_count(shop: Shop) -> None:
    shop.push()
    gone, stays = shop.hire(), shop.annotator()
    shop.answer(gone, "r0", "neutral", reason="I was sure")
    shop.answer(gone, "r1", "neutral", status="draft")
    shop.answer(gone, "r2", None, status="discarded")
    shop.answer(stays, "r1", "negative")
    before, _, _ = shop.pull()
    shop.fire(gone)
    assert shop.on_server()["r0"]["responses"] == []
    for _ in range(2):
        rows, manifest, summary = shop.pull()
        assert summary["by_deleted_user"] == {gone.name: 2}
        assert summary["by_annotator"] == {stays.name: 1}
        assert {name: row["label"] for name, row in rows.items()} == {
            name: row["label"] for name, row in before.items()
        }
        assert (rows["r0"]["label"], rows["r0"]["source"]) == ("neutral", "human")
        assert rows["r0"]["responses"][0]["annotator"] == gone.name
        assert manifest["by_status"]["discarded"] == 1


def test_who_is_no_longer_listed_keeps_the_name_that_was_known(shop: Shop) -> None:
    """To an admin the server lists the people of the workspace only; whoever left it is the same person."""
    shop.push()
    person = shop.annotator()
    shop.answer(person, "r0", "neutral")
    shop.pull()
    shop.answer(person, "r1", "negative")
    with shop.loop() as loop:
        fetch(loop.ledger, loop.dataset(), {}, frozenset({"r0", "r1", "r2"}))
        assert {one.annotator for one in loop.ledger.responses(loop.dataset().id)} == {person.name}


def test_an_answer_withdrawn_before_its_user_was_deleted_does_not_count(shop: Shop) -> None:
    shop.push()
    gone = shop.hire()
    made = shop.answer(gone, "r0", "neutral")
    shop.pull()
    gone.call("DELETE", f"/responses/{made['id']}")
    shop.pull()
    shop.fire(gone)
    rows, _, summary = shop.pull()
    assert (rows["r0"]["label"], summary["by_deleted_user"], summary["withdrawn"]) == ("positive", {}, 1)


def test_answers_on_a_dataset_made_anew_under_the_name_are_kept_apart(shop: Shop) -> None:
    shop.push()
    person = shop.annotator()
    shop.answer(person, "r0", "neutral")
    shop.answer(person, "r1", "neutral")
    shop.pull()
    old = shop.dataset.id
    shop.delete_dataset()
    assert shop.counts() == (3, 0, 0, 0), "the new dataset has nothing yet, whatever its name"
    shop.answer(person, "r0", "negative")
    rows, manifest, summary = shop.pull()
    assert summary["other_datasets"] == {old: 2}
    assert (rows["r0"]["label"], rows["r1"]["source"]) == ("negative", "teacher")
    assert [answer["label"] for answer in rows["r0"]["responses"]] == ["negative"]
    assert manifest["origin"]["dataset"] != old
    with Ledger(shop.workspace.db) as ledger:
        assert {r.label for r in ledger.responses(old)} == {"neutral"}
        assert {r.state for r in ledger.responses(old)} == {"present"}


def test_records_that_somebody_else_put_there_are_counted_and_left_alone(shop: Shop) -> None:
    shop.push()
    body = {"items": [{"fields": {"text": "mine"}}, {"fields": {"text": "mine too"}, "external_id": "theirs"}]}
    shop.owner.call("POST", f"/datasets/{shop.dataset.id}/records/bulk", json=body)
    rows, _, summary = shop.pull()
    assert set(rows) == {"r0", "r1", "r2"}
    assert summary["unknown_records"] == 2
    assert shop.counts() == (0, 0, 3, 0)


def test_all_pages_are_read(shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add(*["positive"] * 1100)
    shop.push()
    person, records = shop.annotator(), list(shop.dataset_records())
    for item in (records[0], records[999], records[1000], records[1099]):
        person.answer(item["id"], "neutral")
    rows, manifest, summary = shop.pull()
    assert (len(rows), summary["by_status"], manifest["by_source"]) == (
        1100,
        {"submitted": 4},
        {"human": 4, "teacher": 1096},
    )


def test_the_holdout_is_in_no_snapshot(shops: Callable[..., Shop]) -> None:
    shop = shops(holdout={"share": 0.5})
    shop.add(*["positive"] * 30)
    shop.push()
    rows, _, _ = shop.pull()
    assert rows
    assert not [name for name in rows if shop.workspace.task.holds_out(name)]


def test_answers_on_what_is_held_out_only_now_are_kept_and_not_used(shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add(*["positive"] * 30)
    shop.push()
    for name in (answered := [f"r{n}" for n in range(12)]):
        shop.answer(shop.owner, name, "negative")
    shop.pull()
    task_file = shop.workspace.root / "task.yaml"
    task_file.write_text(task_file.read_text("utf-8") + "\nholdout: {share: 0.5}\n", "utf-8")
    shop.workspace = Workspace(shop.workspace.root)
    held = {name for name in answered if shop.workspace.task.holds_out(name)}
    assert 0 < len(held) < 12
    rows, _, summary = shop.pull()
    assert (summary["on_held_out"], summary["unknown_records"], summary["withdrawn"]) == (len(held), 0, 0)
    assert not held & set(rows)
    assert summary["by_status"] == {"submitted": 12}


def test_an_owner_who_answers_is_named_too(shop: Shop) -> None:
    shop.push()
    shop.answer(shop.owner, "r0", "neutral")
    assert shop.pull()[2]["by_annotator"] == {shop.server.owner: 1}


def test_times_are_read_with_and_without_a_zone() -> None:
    for written in ("2024-05-01T10:00:00", "2024-05-01T10:00:00Z", "2024-05-01T12:00:00+02:00"):
        item = {"user_id": "u", "status": "submitted", "values": None, "updated_at": written}
        assert _response("r", item, {}).updated_at == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_the_dataset_that_the_task_names_is_the_queue_even_where_a_push_sends_nothing(shop: Shop) -> None:
    task_file = shop.workspace.root / "task.yaml"
    first, other = task_file.read_text("utf-8"), "\nargilla: {dataset: another-" + uuid4().hex[:8] + "}\n"
    shop.push()
    shop.answer(shop.annotator(), "r0", "neutral")
    shop.pull()
    for words, sent, human in ((first + other, 3, 0), (first, 0, 1)):
        task_file.write_text(words, "utf-8")
        shop.workspace = Workspace(shop.workspace.root)
        assert shop.counts()[0] == sent
        assert Project(shop.workspace.root).status().by_status.get("reviewed", 0) == human
