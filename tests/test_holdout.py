"""The holdout is the same for every step: training, push, pull and ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_data import fill, make_workspace, records, sentences

from tutelage.core.errors import StudentError, TaskError
from tutelage.core.records import Record
from tutelage.core.workspace import Workspace
from tutelage.loaders.holdout import LOCK, held_out, lock_holdout
from tutelage.loaders.ledger import Ledger
from tutelage.steps.review.loop import Loop
from tutelage.training.evaluation.gold_set import load_holdout

ROWS = sentences(40)


def task(root: Path, file: str | None = None, **keys: Any) -> Workspace:
    """A task of 40 records with gold labels, and a holdout file of this content."""
    workspace = make_workspace(root, **({"holdout": {"file": "held.csv"}} if file else {}), **keys)
    made = records(ROWS)
    fill(workspace, made, {record.id: gold for record, (_, gold) in zip(made, ROWS, strict=True)})
    if file:
        (root / "held.csv").write_text(file, "utf-8")
    return workspace


def held(workspace: Workspace) -> set[str]:
    """The ids of the records that no step takes; training and the others agree on them."""
    with Ledger(workspace.db) as ledger:
        used = {record.id for record in Loop(workspace, ledger).parted()[0]}
        known = {record.id for record in ledger.records(workspace.task)}
    assert held_out(workspace).ids & known == known - used
    return known - used


def test_a_file_names_ids_whatever_space_is_around_them(tmp_path: Path) -> None:
    assert held(task(tmp_path, "id\n r1 \nr2\n")) == {"r1", "r2"}


def test_a_file_may_name_texts_only(tmp_path: Path) -> None:
    workspace = task(tmp_path, f"text\n  {ROWS[3][0].replace(' ', '  ')}\n{ROWS[4][0]}\n")
    assert held(workspace) == {"r3", "r4"}
    assert [item.id for item in load_holdout(workspace).items] == ["r3", "r4"]


def test_a_file_may_name_ids_in_some_rows_and_texts_in_others(tmp_path: Path) -> None:
    assert held(task(tmp_path, f"id,text\nr1,\nelsewhere,{ROWS[4][0]}\n,{ROWS[5][0]}\n")) == {"r1", "r4", "r5"}


@pytest.mark.parametrize(
    ("row", "why"), [("r1,one,more", "has 3 cells, the header 2"), (" , ", "has neither an id nor a text")]
)
def test_a_row_that_cannot_be_held_out_is_an_error_for_all(tmp_path: Path, row: str, why: str) -> None:
    workspace = task(tmp_path, f"id,text\nr0,\n{row}\n")
    message = rf"held\.csv: row 2 of holdout\.file {why}, so .*; correct or remove the row"
    with pytest.raises(TaskError, match=message):
        held_out(workspace)
    with Ledger(workspace.db) as ledger, pytest.raises(TaskError, match=message):
        Loop(workspace, ledger).parted()


def test_locked_rows_stay_out_of_all_steps_when_the_share_shrinks(tmp_path: Path) -> None:
    workspace = task(tmp_path, holdout={"share": 0.5})
    locked = held(workspace)
    assert len(locked) > 10
    load_holdout(workspace)
    assert (tmp_path / LOCK).exists()
    for share in ("share: 0.1", "share: 0.0"):
        file = tmp_path / "task.yaml"
        file.write_text(file.read_text("utf-8").replace("share: 0.5", share).replace("share: 0.1", share), "utf-8")
        assert held(Workspace(tmp_path)) == locked


def test_a_record_with_the_text_of_a_held_out_one_is_not_used_either(tmp_path: Path) -> None:
    workspace = task(tmp_path, "id\nr1\n")
    twin = Record("twin", f" {ROWS[1][0]} ")
    fill(workspace, [twin], {})
    found = held_out(workspace)
    assert found.ids == {"r1"}, "measured once"
    assert [record.id for record in (*records(ROWS)[:2], twin) if record in found] == ["r1", "twin"]


def test_without_a_holdout_nothing_is_held_out(tmp_path: Path) -> None:
    assert held(task(tmp_path)) == set()


@pytest.mark.parametrize("content", ["", "null", "[]", '{"rows": null}', '{"locked_at": 1}'])
def test_a_damaged_lock_is_not_taken_for_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "holdout.lock.json").write_text(content)
    with pytest.raises(StudentError, match=r"holdout\.lock\.json: is damaged .* restore it, or remove it"):
        lock_holdout(tmp_path, [("a", "text", "gold")])
    assert (tmp_path / "holdout.lock.json").read_text() == content
