"""The ranking learns from what people said, through the steps as people take them."""

from __future__ import annotations

from pathlib import Path

import pytest
from filed import Filed


@pytest.fixture
def task(tmp_path: Path) -> Filed:
    return Filed(tmp_path / "task", count=120)


def test_a_ranking_without_new_answers_makes_no_new_snapshot(task: Filed) -> None:
    task.answer(1)
    task.project.rank(push=False)
    task.answer(9)
    pulled = task.project.pull()
    again = task.project.rank(push=False)
    assert (again.by.reviewed, pulled.new) == (10, True)
    assert task.project.pull().snapshot == pulled.snapshot
    task.answer(1)
    assert task.project.pull().snapshot != pulled.snapshot


def test_the_first_ranking_does_so_that_suspects_can_be_left_out(task: Filed) -> None:
    task.answer(1)
    unranked = task.project.pull().snapshot
    task.project.rank(push=False)
    assert task.project.pull().snapshot != unranked
