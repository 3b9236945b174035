from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from training_data import manifest

from tutelage.core.errors import StudentError
from tutelage.core.files import write_text
from tutelage.training.hub.model_card import write_card
from tutelage.training.registry import (
    champion_history,
    champion_id,
    find_student,
    list_students,
    promote_student,
    rollback_champion,
    write_student,
)


def student(students: Path, name: str, at: str = "2026-01-01") -> None:
    write_student(students, name, lambda _folder: manifest(id=name, created_at=at))


def test_without_a_name_the_champion_else_the_newest(tmp_path: Path) -> None:
    student(tmp_path, "new", "2026-02-02")
    student(tmp_path, "old", "2026-01-01")
    assert find_student(tmp_path).id == "new"
    promote_student(tmp_path, "old")
    assert find_student(tmp_path).id == find_student(tmp_path, "champion").id == "old"
    assert find_student(tmp_path, "new").id == "new"


def test_promote_and_rollback_walk_back_through_history(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        student(tmp_path, name)
        promote_student(tmp_path, name, why="test")
    assert rollback_champion(tmp_path).id == "two"
    assert rollback_champion(tmp_path).id == "one"
    with pytest.raises(StudentError, match="no champion to roll back to"):
        rollback_champion(tmp_path)
    assert champion_id(tmp_path) == "one"
    assert [move["champion"] for move in champion_history(tmp_path)] == ["one", "two", "three", "two", "one"]


@pytest.mark.parametrize(("promoted", "back_to"), [("abb", "a"), ("aba", "ba"), ("abcb", "cba"), ("abab", "aba")])
def test_rollback_goes_one_further_back_each_time_and_ends(tmp_path: Path, promoted: str, back_to: str) -> None:
    for name in sorted(set(promoted)):
        student(tmp_path, name)
    for name in promoted:
        assert promote_student(tmp_path, name).id == champion_id(tmp_path) == name
    for name in back_to:
        assert rollback_champion(tmp_path).id == champion_id(tmp_path) == name
    with pytest.raises(StudentError, match="no champion to roll back to"):
        rollback_champion(tmp_path)


def test_after_a_rollback_the_student_that_was_left_is_not_gone_back_to(tmp_path: Path) -> None:
    for name in "abc":
        student(tmp_path, name)
    promote_student(tmp_path, "a")
    promote_student(tmp_path, "b")
    rollback_champion(tmp_path)
    promote_student(tmp_path, "c")
    assert rollback_champion(tmp_path).id == "a"


def test_a_champion_that_is_gone_is_replaced_by_the_one_before_not_by_the_newest(tmp_path: Path) -> None:
    for number, name in enumerate(["first", "second", "refused"], start=1):
        student(tmp_path, name, f"2026-01-0{number}")
    promote_student(tmp_path, "first")
    promote_student(tmp_path, "second")
    shutil.rmtree(tmp_path / "second")
    with pytest.raises(StudentError, match=r"go back to first, .*tutelage rollback$"):
        find_student(tmp_path, "champion")
    shutil.rmtree(tmp_path / "first")
    with pytest.raises(StudentError, match=r"tutelage evaluate, and choose it with tutelage promote ID$"):
        find_student(tmp_path, "champion")


def test_promoting_the_champion_changes_nothing(tmp_path: Path) -> None:
    student(tmp_path, "a")
    promote_student(tmp_path, "a")
    before = (tmp_path / "history.json").read_bytes()
    assert promote_student(tmp_path, "a").id == "a"
    assert (tmp_path / "history.json").read_bytes() == before


@pytest.mark.parametrize("killed_at", ["champion", "history.json"])
@pytest.mark.parametrize("move", ["promote", "rollback"])
def test_a_kill_while_the_champion_changes_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: str, killed_at: str
) -> None:
    def write_until_killed(path: Path, text: str) -> None:
        if path.name == killed_at:
            raise KeyboardInterrupt
        write_text(path, text)

    for name in "abc":
        student(tmp_path, name)
    promote_student(tmp_path, "a")
    promote_student(tmp_path, "b")
    before = champion_history(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the patch ends with it
        patch.setattr("tutelage.training.registry.write_text", write_until_killed)
        promote_student(tmp_path, "c") if move == "promote" else rollback_champion(tmp_path)
    assert champion_id(tmp_path) == "b"
    assert champion_history(tmp_path) == before
    promote_student(tmp_path, "c")
    assert [rollback_champion(tmp_path).id, rollback_champion(tmp_path).id] == ["b", "a"]
    assert [entry["champion"] for entry in champion_history(tmp_path)] == list("abcba")


@pytest.mark.parametrize("content", [b"", b"null", b"[1]", b"[{}]", b"\xff", b"{"])
def test_a_damaged_history_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    student(tmp_path, "one")
    (tmp_path / "history.json").write_bytes(content)
    with pytest.raises(StudentError, match=r"history\.json: is damaged; put a copy of it back, or remove it"):
        promote_student(tmp_path, "one", why="promote")
    assert (tmp_path / "history.json").read_bytes() == content


def test_a_failure_leaves_no_student(tmp_path: Path) -> None:
    def fill(folder: Path) -> Mapping[str, Any]:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_student(tmp_path, "one", fill)
    assert list(tmp_path.iterdir()) == []


def test_errors_name_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="tutelage train"):
        find_student(tmp_path)
    student(tmp_path, "one")
    with pytest.raises(StudentError, match="no student 'two'; available: one"):
        find_student(tmp_path, "two")
    with pytest.raises(StudentError, match="tutelage promote one"):
        find_student(tmp_path, "champion")


def test_a_damaged_manifest_says_so(tmp_path: Path) -> None:
    student(tmp_path, "one")
    (tmp_path / "one" / "student.json").write_text("{")
    with pytest.raises(StudentError, match="one: contains no complete student"):
        list_students(tmp_path)


ENCODER = manifest(
    id="encoder-1",
    kind="encoder",
    labels=("up", "<script>alert(1)</script>"),
    definitions={"up": "it *rises* | [x](http://y)"},
    model="FacebookAI/roberta-base",
    task="moves: all",
    question="which\n# way?",
)
SCORES = {
    "rows": 5,
    "accuracy": 0.8,
    "accuracy_interval": [0.5, 0.9],
    "macro_f1": 0.75,
    "macro_f1_interval": [0.4, 0.9],
}


def test_the_card_is_read_by_the_hub_and_nothing_in_it_acts(tmp_path: Path) -> None:
    evaluation = {"gold_set": "the holdout", "gold_set_digest": "d1", "scores": {"encoder-1": SCORES}}
    write_card(tmp_path, ENCODER, [evaluation])
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.base_model == "FacebookAI/roberta-base"
    assert card.data.library_name == "transformers"
    results = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert results == {"accuracy": 0.8, "f1": 0.75}
    assert "<script>" not in card.text
    assert "*rises*" not in card.text
    assert "\n# way" not in card.text
    assert "tutor: Apache-2.0" in card.text


def test_a_card_without_results_and_with_a_local_model(tmp_path: Path) -> None:
    write_card(tmp_path, replace(ENCODER, model="/home/me/model"))
    head = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    assert "base_model" not in head
    assert "model-index" not in head
    assert json.dumps(head)
