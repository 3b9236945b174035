from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from training.card import write_card
from training.registry import champion_id, entries, find, history, promote, rollback, write_student
from tutelage.errors import StudentError


def student(students: Path, name: str, at: str = "2026-01-01") -> None:
    write_student(students, name, lambda _folder: {"id": name, "created_at": at, "kind": "linear"})


def test_without_a_name_the_champion_else_the_newest(tmp_path: Path) -> None:
    student(tmp_path, "new", "2026-02-02")
    student(tmp_path, "old", "2026-01-01")
    assert find(tmp_path).id == "new"
    promote(tmp_path, "old")
    assert find(tmp_path).id == find(tmp_path, "champion").id == "old"
    assert find(tmp_path, "new").id == "new"


def test_promote_and_rollback_walk_back_through_history(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        student(tmp_path, name)
        promote(tmp_path, name, why="test")
    assert rollback(tmp_path).id == "two"
    assert rollback(tmp_path).id == "one"
    with pytest.raises(StudentError, match="no champion to roll back to"):
        rollback(tmp_path)
    assert champion_id(tmp_path) == "one"
    assert [move["champion"] for move in history(tmp_path)] == ["one", "two", "three", "two", "one"]


def test_a_failure_leaves_no_student(tmp_path: Path) -> None:
    def fill(folder: Path) -> Mapping[str, Any]:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_student(tmp_path, "one", fill)
    assert list(tmp_path.iterdir()) == []


def test_errors_name_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="tutelage train"):
        find(tmp_path)
    student(tmp_path, "one")
    with pytest.raises(StudentError, match="no student 'two'; there are: one"):
        find(tmp_path, "two")
    with pytest.raises(StudentError, match="tutelage promote one"):
        find(tmp_path, "champion")


def test_a_damaged_manifest_says_so(tmp_path: Path) -> None:
    student(tmp_path, "one")
    (tmp_path / "one" / "student.json").write_text("{")
    with pytest.raises(StudentError, match="one: holds no whole student"):
        entries(tmp_path)


MANIFEST: dict[str, Any] = {
    "id": "encoder-1",
    "kind": "encoder",
    "labels": ["up", "<script>alert(1)</script>"],
    "definitions": {"up": "it *rises* | [x](http://y)"},
    "model": "FacebookAI/roberta-base",
    "task": "moves: all",
    "question": "which\n# way?",
    "snapshot": "abc",
    "snapshot_manifest": {"by_source": {"human": 3, "teacher": 7}},
    "teachers": [{"name": "tutor", "license": "Apache-2.0"}],
    "seed": 42,
    "rows": 10,
    "took": {"wall_s": 1.0, "energy_kwh": 0.001, "co2_kg": 0.0004, "basis": "estimate"},
}
SCORES = {
    "rows": 5,
    "accuracy": 0.8,
    "accuracy_interval": [0.5, 0.9],
    "macro_f1": 0.75,
    "macro_f1_interval": [0.4, 0.9],
}


def test_the_card_is_read_by_the_hub_and_nothing_in_it_acts(tmp_path: Path) -> None:
    evaluation = {"sheet": "the holdout", "sheet_digest": "d1", "scores": {"encoder-1": SCORES}}
    write_card(tmp_path, MANIFEST, [evaluation])
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
    write_card(tmp_path, {**MANIFEST, "model": "/home/me/model"})
    head = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    assert "base_model" not in head
    assert "model-index" not in head
    assert json.dumps(head)
