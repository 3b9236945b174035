"""Snapshots: frozen, named by their content, whole or not at all."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from training_data import freeze, make_workspace, records, sentences

from tutelage.core.errors import SnapshotError
from tutelage.core.records import Rank, Record, Response, Vote, Voter
from tutelage.core.task import parse_task
from tutelage.feedback import snapshot as module
from tutelage.feedback.curate import Curated, curate
from tutelage.feedback.snapshot import load_snapshot, snapshot_id, write_snapshot

TASK = parse_task("name: n\nlabels: [a, b]\n")
NOW = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


def answer(record: str, label: str | None, user: str = "ann", status: Any = "submitted", **more: Any) -> Response:
    return Response(
        record_id=record,
        user_id=f"id-{user}",
        annotator=user,
        status=status,
        label=label,
        reason="because",
        updated_at=NOW,
        **more,
    )


RECORDS = [
    Record(
        "r1",
        "one",
        None,
        (
            Vote(voter=Voter("llm", "p", 1), raw="A!", label=None, reason="hm"),
            Vote(voter=Voter("llm", "p", 2), raw="b", label="b"),
        ),
    ),
    Record("r2", "two", "a"),
    Record("r3", "drei 😀\n", None, (Vote(voter=Voter("llm", "p"), raw="a", label="a", reason="so"),)),
    Record("r4", "four"),
    Record("r5", "five", None, (Vote(voter=Voter("llm", "p"), raw="a", label="a"),)),
]
ANSWERS = {
    "r3": [answer("r3", "b")],
    "r4": [answer("r4", "a"), answer("r4", "b", "bob", state="user-deleted")],
    "r5": [answer("r5", None, status="discarded"), answer("r5", "a", "bob", "draft", state="withdrawn")],
}


def curated(records: list[Record] = RECORDS, answers: Any = ANSWERS) -> list[Curated]:
    return curate(records, answers, {"r1": Rank("r1", 0.25, 1)})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_frozen_comes_back(tmp_path: Path) -> None:
    written, is_new = write_snapshot(tmp_path, TASK, curated(), {"dataset": "uuid"})
    assert is_new
    frame = load_snapshot(tmp_path).frame().set_index("id")
    assert list(frame.index) == ["r1", "r2", "r3", "r4", "r5"]
    assert frame["text"].tolist() == [record.text for record in RECORDS]
    assert [la if isinstance(la, str) else None for la in frame["label"]] == ["b", "a", "b", None, None]
    assert frame["source"].tolist() == ["teacher", "given", "human", "human", "human"]
    assert frame["status"].tolist() == ["pending", "pending", "reviewed", "tied", "discarded"]
    assert (frame.loc["r1", "label_quality"], frame.loc["r1", "suspect_rank"]) == (0.25, 1)
    assert frame["label_quality"].isna().sum() == 4
    assert (frame.loc["r1", "suggestion"], frame.loc["r1", "agreement"]) == ("b", 1.0)
    assert list(frame.loc["r1", "votes"]) == [
        {"teacher": "llm", "prompt": "p", "vote": 1, "said": "A!", "label": None, "reason": "hm"},
        {"teacher": "llm", "prompt": "p", "vote": 2, "said": "b", "label": "b", "reason": ""},
    ]
    (only,) = frame.loc["r3", "responses"]
    assert (only["annotator"], only["user_id"], only["status"]) == ("ann", "id-ann", "submitted")
    assert (only["label"], only["reason"], only["state"]) == ("b", "because", "present")
    assert only["updated_at"] == NOW
    assert [response["state"] for response in frame.loc["r4", "responses"]] == ["present", "user-deleted"]
    assert written == load_snapshot(tmp_path, written.id)


def test_the_manifest_tells_what_is_in_it_and_where_it_is_from(tmp_path: Path) -> None:
    manifest = write_snapshot(tmp_path, TASK, curated(), {"dataset": "uuid"})[0].manifest
    assert (manifest["task"], manifest["task_id"], manifest["labels"]) == ("n", TASK.id, ["a", "b"])
    assert manifest["records"] == 5
    assert manifest["by_status"] == {"pending": 2, "reviewed": 1, "tied": 1, "discarded": 1}
    assert manifest["by_source"] == {"teacher": 1, "given": 1, "human": 1}
    assert manifest["by_label"] == {"a": 1, "b": 2}
    assert manifest["tied"] == ["r4"]
    assert manifest["origin"] == {"dataset": "uuid"}
    assert datetime.now(UTC) - datetime.fromisoformat(manifest["created_at"]) < timedelta(minutes=5)


# The id


def test_the_same_content_has_the_same_id_and_no_new_folder(tmp_path: Path) -> None:
    first, _ = write_snapshot(tmp_path, TASK, curated(), {"dataset": "uuid"})
    before = {path: path.stat().st_mtime_ns for path in first.path.iterdir()}
    again, is_new = write_snapshot(tmp_path, TASK, curated()[::-1], {"dataset": "another"})
    assert (again.id, is_new) == (first.id, False)
    assert names(tmp_path) == {first.id, "latest"}
    assert {path: path.stat().st_mtime_ns for path in first.path.iterdir()} == before


def test_times_do_not_change_the_id() -> None:
    later = {name: [replace(r, updated_at=NOW + timedelta(days=9)) for r in rs] for name, rs in ANSWERS.items()}
    assert snapshot_id(TASK, curated(answers=later)) == snapshot_id(TASK, curated())


@pytest.mark.parametrize(
    "records",
    [
        [replace(RECORDS[0], id="r9"), *RECORDS[1:]],
        [replace(RECORDS[0], text="One"), *RECORDS[1:]],
        [RECORDS[0], replace(RECORDS[1], given="b"), *RECORDS[2:]],
        RECORDS[1:],
    ],
)
def test_ids_texts_labels_and_records_change_the_id(records: list[Record]) -> None:
    assert snapshot_id(TASK, curated(records)) != snapshot_id(TASK, curated())


def test_votes_and_label_quality_change_the_id(tmp_path: Path) -> None:
    unranked, _ = write_snapshot(tmp_path, TASK, curate(RECORDS, ANSWERS, {}), {})
    ranked, is_new = write_snapshot(tmp_path, TASK, curated(), {})
    assert is_new
    assert (unranked.id == ranked.id, load_snapshot(tmp_path).frame()["label_quality"][0]) == (False, 0.25)
    more = replace(RECORDS[4], votes=(*RECORDS[4].votes, Vote(voter=Voter("llm", "p", 2), raw="b", label="b")))
    voted = curated([*RECORDS[:4], more])
    assert [item.label for item in voted] == [item.label for item in curated()]
    assert snapshot_id(TASK, voted) != ranked.id


def test_a_status_changes_the_id() -> None:
    discarded = {**ANSWERS, "r4": [answer("r4", None, status="discarded")]}
    there, here = curated(answers=discarded), curated()
    assert [(item.label, item.source) for item in there] == [(item.label, item.source) for item in here]
    assert snapshot_id(TASK, there) != snapshot_id(TASK, here)


def test_the_noise_of_a_second_ranking_does_not_change_the_id(tmp_path: Path) -> None:
    again = curate(RECORDS, ANSWERS, {"r1": Rank("r1", 0.25 + 1e-12, 2)})
    first, _ = write_snapshot(tmp_path, TASK, curated(), {})
    assert write_snapshot(tmp_path, TASK, again, {}) == (first, False)


def test_the_source_of_a_label_changes_the_id() -> None:
    same_label = {**ANSWERS, "r2": [answer("r2", "a")]}
    there, here = curated(answers=same_label), curated()
    assert [item.label for item in there] == [item.label for item in here]
    assert snapshot_id(TASK, there) != snapshot_id(TASK, here)


def test_the_task_changes_the_id() -> None:
    other = parse_task("name: n\nlabels: [a, b]\nguidelines: be strict\n")
    assert snapshot_id(other, curated()) != snapshot_id(TASK, curated())


def test_a_text_cannot_pose_as_another_record() -> None:
    one = curate([Record("a", "b"), Record("c", "d")], {}, {})
    other = curate([Record("a", 'b", null, "teacher"]["c", "d')], {}, {})
    assert snapshot_id(TASK, one) != snapshot_id(TASK, other)


def test_the_latest_is_the_one_that_was_written_last(tmp_path: Path) -> None:
    first, _ = write_snapshot(tmp_path, TASK, curated(), {})
    second, _ = write_snapshot(tmp_path, TASK, curated(RECORDS[1:]), {})
    assert load_snapshot(tmp_path).id == second.id != first.id
    write_snapshot(tmp_path, TASK, curated(), {})
    assert load_snapshot(tmp_path).id == first.id
    assert load_snapshot(tmp_path, second.id).frame().shape[0] == 4


# Whole or not at all


def test_no_snapshot_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="tutelage pull"):
        load_snapshot(tmp_path / "snapshots")


def test_an_unknown_id_names_those_that_are_there(tmp_path: Path) -> None:
    there = write_snapshot(tmp_path, TASK, curated(), {})[0].id
    shutil.copytree(tmp_path / there, tmp_path / ".writing-abc")
    with pytest.raises(SnapshotError, match=f"available: {there}$"):
        load_snapshot(tmp_path, "0123")


def test_what_is_half_written_can_not_be_read(tmp_path: Path) -> None:
    """Each prefix of what a writer does, as if it had been killed there."""
    whole = write_snapshot(tmp_path / "whole", TASK, curated(), {})[0]
    data, manifest = whole.path / "records.parquet", whole.path / "manifest.json"
    for done in range(4):
        folder = tmp_path / str(done) / whole.id
        folder.mkdir(parents=True)
        if done > 0:
            (folder / data.name).write_bytes(data.read_bytes()[: 100 if done == 1 else None])
        if done > 2:
            (folder / manifest.name).write_text(manifest.read_text()[:200])
        with pytest.raises(SnapshotError, match="no complete snapshot here"):
            load_snapshot(folder.parent, whole.id)
        again, _ = write_snapshot(folder.parent, TASK, curated(), {}) if done < 3 else (whole, True)
        assert len(again.frame()) == 5


@pytest.mark.parametrize("tampered", ["records.parquet", "manifest.json"])
def test_what_was_tampered_with_is_refused(tmp_path: Path, tampered: str) -> None:
    one = write_snapshot(tmp_path, TASK, curated(), {})[0]
    other = write_snapshot(tmp_path, TASK, curated(RECORDS[1:]), {})[0]
    shutil.copy(other.path / tampered, one.path / tampered)
    with pytest.raises(SnapshotError, match="does not match its manifest; remove"):
        load_snapshot(tmp_path, one.id)
    assert load_snapshot(tmp_path, other.id).frame().shape[0] == 4


def test_a_renamed_snapshot_is_refused(tmp_path: Path) -> None:
    one = write_snapshot(tmp_path, TASK, curated(), {})[0]
    one.path.rename(tmp_path / "0123456789ab")
    with pytest.raises(SnapshotError):
        load_snapshot(tmp_path, "0123456789ab")


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"sha256": 1}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    one = write_snapshot(tmp_path, TASK, curated(), {})[0]
    (one.path / "manifest.json").write_text(content)
    with pytest.raises(SnapshotError):
        load_snapshot(tmp_path, one.id)


def _write_and_die(folder: Path, step: str) -> None:
    """Die where ``step`` would have been called."""
    import os

    def die(*_: Any, **__: Any) -> None:
        os._exit(9)

    setattr(module, step, die)
    write_snapshot(folder, TASK, curated(), {})


@pytest.mark.parametrize("step", ["_table", "_manifest", "_sha256", "write_text"])
def test_a_writer_that_dies_leaves_nothing_that_can_be_read(tmp_path: Path, step: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(tmp_path, step))
    process.start()
    process.join()
    assert process.exitcode == 9
    with pytest.raises(SnapshotError):
        load_snapshot(tmp_path)
    with pytest.raises(SnapshotError, match="available: none"):
        load_snapshot(tmp_path, snapshot_id(TASK, curated()))
    written, is_new = write_snapshot(tmp_path, TASK, curated(), {})
    assert is_new
    assert len(written.frame()) == 5


def test_a_writer_that_fails_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "write_text", full)
    with pytest.raises(OSError, match="no space"):
        write_snapshot(tmp_path, TASK, curated(), {})
    assert names(tmp_path) == set()


def test_two_writers_of_the_same_content_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_snapshot, args=(tmp_path, TASK, curated(), {})) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert names(tmp_path) == {load_snapshot(tmp_path).id, "latest"}


def test_the_data_are_plain_parquet_and_json(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = write_snapshot(tmp_path, TASK, curated(), {})[0].path
    assert names(path) == {"records.parquet", "manifest.json"}
    assert pq.read_table(path / "records.parquet").num_rows == 5
    assert json.loads((path / "manifest.json").read_text())["id"] == path.name


def test_rows_that_are_written_in_parts_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = records(sentences(7))
    whole = freeze(make_workspace(tmp_path / "whole"), made).frame()
    monkeypatch.setattr("tutelage.feedback.snapshot._AT_ONCE", 3)
    parts = freeze(make_workspace(tmp_path / "parts"), made)
    assert len(whole) == 7
    pd.testing.assert_frame_equal(parts.frame(), whole)
