"""The words that ``init`` writes do not reach people by mistake."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.core.errors import TaskError
from tutelage.feedback.server.lifecycle import Server
from tutelage.project import Project

QUESTION, GUIDELINES = "question: Which label fits the text?\n", "  Say here in a few sentences"


@pytest.fixture
def project(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", server.api_key)
    folder = tmp_path / f"placeholder-{tmp_path.parent.name}-{tmp_path.name}"
    project = Project.init(folder, ["good", "bad"])
    rows = tmp_path / "rows.csv"
    rows.write_text("text\nThe bell rings.\n", "utf-8")
    project.load(rows)
    return project


def edit(project: Project, old: str, new: str) -> Project:
    path = project.workspace.root / "task.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return Project(project.workspace.root)


def line(project: Project, begin: str) -> int:
    lines = (project.workspace.root / "task.yaml").read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(begin))


def test_a_push_names_the_lines_that_nobody_has_edited(project: Project) -> None:
    project = edit(project, "# A tutelage task.", "# One more line.\n# A tutelage task.")
    with pytest.raises(TaskError) as caught:
        project.push()
    said = str(caught.value)
    assert f"task.yaml line {line(project, 'question:')}: question is still the one that init wrote" in said
    assert f"task.yaml line {line(project, 'guidelines:')}: guidelines are still the ones that init wrote" in said
    assert "push --anyway" in said


def test_what_is_edited_is_named_no_more_and_then_pushed(project: Project) -> None:
    project = edit(project, QUESTION, "question: Is it good?\n")
    with pytest.raises(TaskError, match=r"^task\.yaml line \d+: guidelines are"):
        project.push()
    again = edit(
        edit(project, "question: Is it good?\n", QUESTION), GUIDELINES, "  Say what is good in a few sentences"
    )
    with pytest.raises(TaskError, match=r"^task\.yaml line \d+: question is[^\n]*\nAnnotators"):
        again.push()
    edit(again, QUESTION, "question: Is it good?\n").push()


def test_the_same_words_in_other_lines_are_still_those_of_init(project: Project) -> None:
    project = edit(project, QUESTION, "question: Is it good?\n")
    with pytest.raises(TaskError, match="guidelines are still"):
        edit(project, "in a few sentences ", "in\n  a few   sentences\n  ").push()


@pytest.mark.parametrize("key", ["question", "guidelines"])
def test_a_key_that_was_removed_is_no_placeholder(project: Project, key: str) -> None:
    edited = edit(edit(project, QUESTION, "question: Is it good?\n"), GUIDELINES, "  In few sentences, say")
    words = QUESTION.replace("Which label fits the text?", "Is it good?")
    if key == "question":
        assert edit(edited, words, "").push().created
    else:
        text = (edited.workspace.root / "task.yaml").read_text("utf-8")
        block = text[text.index("guidelines: |") : text.index("# Solved cases")]
        assert edit(edited, block, "").push().created


def test_they_can_be_pushed_anyway(project: Project, tutelage: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    where = ("--task", project.workspace.root)
    refused = tutelage("push", *where, ok=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("tutelage: task.yaml line ")
    assert "1 sent" in tutelage("push", "--anyway", *where).stdout
    assert project.push(anyway=True).unchanged == 1
    assert project.rank().ranked == 1, "the rank of a dataset that is there sends no words"
