"""What comes next: the order of the loop as a table, and what the commands say of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from shop import Shop

from tutelage.commands.cli import cli
from tutelage.core.workspace import Workspace
from tutelage.views.standing import Behind, NextStep, Status, StudentSummary, find_next_step

Run = Callable[..., CompletedProcess[str]]

FRESH = Behind(unsent=0, misplaced=0, unpulled=None, ranks=0, snapshot=0, student=False, evaluation=False)
STUDENT = StudentSummary(id="linear-1", kind="linear", model="", rows=9, snapshot="abc", created_at="2026-01-01")
NEWER = replace(STUDENT, id="linear-2")
EMPTY = Status(
    task="t",
    records=0,
    votes=0,
    abstentions=0,
    without_suggestion=0,
    ties=0,
    ranked=0,
    by_status={},
    snapshot=None,
    students=(),
    champion=None,
    spent=(),
    settled=0,
    pending=0,
    held_out=0,
    answers=0,
    kept=0,
    changes=(),
    without_vote=0,
    teachers=0,
    has_gold=False,
    argilla="up",
    link=None,
    behind=FRESH,
    beats_champion=False,
)
LOADED = replace(EMPTY, records=9, without_vote=9, pending=9, behind=replace(FRESH, unsent=9))
VOTED = replace(LOADED, without_vote=0, votes=27)
PUSHED = replace(VOTED, behind=FRESH)
RANKED = replace(PUSHED, ranked=9)
SNAPSHOT = replace(RANKED, snapshot="abc")
ANSWERED = replace(SNAPSHOT, answers=2, settled=2, pending=7)
IN_FILES = replace(VOTED, ranked=9, answers=2, settled=2, pending=7, in_files=True, argilla="down")
TRAINED = replace(ANSWERED, students=(STUDENT,), behind=replace(FRESH, evaluation=True))
EVALUATED = replace(TRAINED, behind=FRESH, has_gold=True)
PROMOTED = replace(EVALUATED, champion="linear-1")
RETRAINED = replace(PROMOTED, students=(STUDENT, NEWER), behind=replace(FRESH, evaluation=True))


def but(now: Status, **behind: Any) -> Status:
    return replace(now, behind=replace(now.behind, **behind))


@pytest.mark.parametrize(
    ("after", "now", "expected"),
    [
        ("init", EMPTY, "load texts.csv"),
        ("load", LOADED, "annotate --plan"),
        ("annotate --plan", LOADED, "annotate"),
        ("annotate", LOADED, "annotate --plan"),
        ("annotate", replace(VOTED, without_vote=1, teachers=1), "push"),
        ("load", replace(VOTED, without_vote=1, teachers=1), "annotate --plan"),
        ("load", replace(VOTED, without_vote=1), "push"),
        ("push --anyway", replace(LOADED, behind=FRESH, link="http://x"), "rank"),
        ("rank", replace(LOADED, behind=FRESH, ranked=9), "review, pull"),
        ("rank", replace(LOADED, behind=FRESH, ranked=9, teachers=1), "annotate --plan"),
        ("import-review", IN_FILES, "pull"),
        ("pull", replace(IN_FILES, snapshot="abc"), "train"),
        ("import-review", replace(but(IN_FILES, snapshot=2), snapshot="abc"), "pull"),
        ("promote", replace(PROMOTED, in_files=True, argilla="down", behind=replace(FRESH, ranks=2)), "rank --no-push"),
        ("import-review", replace(IN_FILES, argilla="up"), "push"),
        ("import", VOTED, "push"),
        ("import", replace(VOTED, argilla="down"), "up"),
        ("import", replace(VOTED, argilla="silent"), "push"),
        ("up", VOTED, "push"),
        ("push", PUSHED, "rank"),
        ("push", but(PUSHED, unsent=1), "rank"),
        ("push", RANKED, "review, pull"),
        ("push", but(RANKED, ranks=2), "rank"),
        ("rank", but(PUSHED, unsent=9), "push"),
        ("rank", RANKED, "review, pull"),
        ("rank", but(RANKED, misplaced=2), "push"),
        ("rank", replace(RANKED, argilla="down"), "up"),
        ("rank", PROMOTED, "review, pull"),
        ("suspects", RANKED, "review, pull"),
        ("suspects", PUSHED, "rank"),
        ("show", RANKED, "suspects"),
        ("pull", SNAPSHOT, "review, pull"),
        ("pull", ANSWERED, "train"),
        ("pull", but(ANSWERED, ranks=2), "train"),
        ("rank", but(ANSWERED, unsent=1), "push"),
        ("status", but(ANSWERED, unpulled=2), "pull"),
        ("status", but(ANSWERED, unpulled=0), "train"),
        ("status", but(ANSWERED, snapshot=2), "pull"),
        ("train", TRAINED, "predict texts.csv labelled.parquet"),
        ("train", replace(TRAINED, has_gold=True), "evaluate"),
        ("train", replace(TRAINED, ranked=0), "predict texts.csv labelled.parquet"),
        ("pull", replace(ANSWERED, ranked=0), "train"),
        ("push", replace(ANSWERED, ranked=0), "rank"),
        ("train", replace(TRAINED, has_gold=True, answers=0), "evaluate"),
        ("train", replace(RETRAINED), "evaluate --student linear-2 --against champion"),
        ("status", but(PROMOTED, student=True), "train"),
        ("evaluate", replace(TRAINED, has_gold=True), "predict texts.csv labelled.parquet"),
        ("evaluate", EVALUATED, "promote linear-1"),
        ("evaluate", replace(but(RETRAINED, evaluation=False), beats_champion=True), "promote linear-2"),
        ("evaluate", but(RETRAINED, evaluation=False), "predict texts.csv labelled.parquet"),
        ("promote", PROMOTED, "predict texts.csv labelled.parquet"),
        ("promote", but(PROMOTED, ranks=2), "rank"),
        ("promote", replace(but(PROMOTED, ranks=2), argilla="down"), "up"),
        ("predict", PROMOTED, "status"),
        ("down", replace(PROMOTED, argilla="down"), "predict texts.csv labelled.parquet"),
    ],
)
def test_the_order_of_the_loop(after: str, now: Status, expected: str) -> None:
    step = find_next_step(now, tuple(after.split()))
    assert ("review, " if step.review else "") + " ".join(step.words) == expected


def test_every_step_can_be_typed() -> None:
    ends = ("", "init", "load", "annotate --plan", "push", "rank", "pull", "train", "evaluate", "predict", "show")
    states = (EMPTY, LOADED, VOTED, PUSHED, RANKED, SNAPSHOT, ANSWERED, TRAINED, EVALUATED, PROMOTED, RETRAINED)
    commands = {
        find_next_step(replace(now, argilla=argilla), tuple(after.split())).command(Path("a task"))  # type: ignore[arg-type]
        for after in ends
        for now in states
        for argilla in ("up", "down")
    }
    assert len(commands) >= 10
    for line in commands:
        program, name, *words = shlex.split(line)
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert program == "tutelage"
        assert command
        assert command.make_context(name, words).params["directory"] == Path("." if name == "up" else "a task")


def test_the_task_is_named_where_it_is_not_the_current_directory() -> None:
    assert NextStep(("push",)).command(Path()) == "tutelage push"
    assert NextStep(("promote", "x")).command(Path("my news")) == "tutelage promote x --task 'my news'"


# What the commands say


def test_an_error_names_the_task_too(tutelage: Run, make_task: Callable[..., Workspace], tmp_path: Path) -> None:
    root = make_task().root.rename(tmp_path / "my news")
    said = tutelage("train", "--task", root, ok=False).stderr
    assert f"create one with: tutelage pull --task '{root}'\n" in said
    said = tutelage("rank", "--no-push", "--task", root, ok=False).stderr
    assert f"bring some with tutelage load --task '{root}' or import\n" in said
    said = tutelage("train", "--task", tmp_path, ok=False).stderr
    assert said.endswith("or create one: tutelage init DIR --labels a,b\n")


def test_the_link_has_one_name(tutelage: Run, argilla_env: dict[str, str], shop: Shop) -> None:
    for command in ("push", "rank", "status"):
        said = tutelage(command, "--task", shop.workspace.root, env=argilla_env).stdout
        assert f"\nreview: {shop.dataset.queue_link}\n" in said, command


def next_of(run: CompletedProcess[str]) -> list[str]:
    """What a command said on standard error: but for the last line nothing, or a link."""
    assert "next: " not in run.stdout
    return run.stderr.splitlines()


def test_commands_end_with_what_comes_next(
    tutelage: Run, make_task: Callable[..., Workspace], argilla_env: dict[str, str], shop: Shop
) -> None:
    root = shop.workspace.root

    def after(*words: object) -> list[str]:
        return next_of(tutelage(*words, "--task", root, env=argilla_env))

    assert after("push") == [f"next: tutelage rank --task {root}"]
    assert after("rank") == [f"next: tutelage pull --task {root}"], "the link stands in the result"
    review, pull = after("pull")
    assert review == f"review: {shop.dataset.queue_link}"
    assert pull == f"next: tutelage pull --task {root}"
    shop.answer(shop.annotator(), "r0", "negative")
    assert after("pull") == [f"next: tutelage train --task {root}"]
    assert tutelage("pull", "--json", "--task", root, env=argilla_env).stderr == ""
    empty = make_task()
    assert next_of(tutelage("down", "--task", empty.root, env={"XDG_DATA_HOME": str(root)})) == [
        f"next: tutelage load texts.csv --task {empty.root}"
    ]
    assert not empty.db.exists(), "looking makes no file"


def test_who_works_in_files_alone_is_sent_to_no_argilla(tutelage: Run, shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add("positive", "negative", "neutral")
    root = shop.workspace.root
    (root / "answers.csv").write_text("id,label\nr0,negative\nr1,negative\n", "utf-8")

    def after(*words: object) -> list[str]:
        return next_of(tutelage(*words, "--task", root, env={"XDG_DATA_HOME": str(root)}))

    assert after("rank", "--no-push") == ["next: tutelage up"]
    assert after("import-review", root / "answers.csv", "--annotator", "ann") == [f"next: tutelage pull --task {root}"]
    assert after("pull") == [f"next: tutelage train --task {root}"]


def test_init_says_what_comes_next(tutelage: Run, tmp_path: Path) -> None:
    run = tutelage("init", tmp_path / "news", "--labels", "a,b")
    assert next_of(run) == [f"next: tutelage load texts.csv --task {tmp_path / 'news'}"]
    assert tutelage("init", tmp_path / "more", "--labels", "a,b", "--json").stderr == ""


def test_a_place_without_a_task_has_no_next_step(tutelage: Run, tmp_path: Path) -> None:
    assert tutelage("down", "--task", tmp_path, env={"XDG_DATA_HOME": str(tmp_path)}).stderr == ""


@pytest.mark.parametrize(("queue", "said"), [(2, "the worst 2 have a place in the queue, the other 1 follow"), (3, "")])
def test_rank_says_what_has_a_place_in_the_queue(
    tutelage: Run, shops: Callable[..., Shop], queue: int, said: str
) -> None:
    shop = shops(queue=queue)
    shop.add("positive", "negative", "neutral")
    run = tutelage("rank", "--no-push", "--task", shop.workspace.root)
    assert run.stdout.startswith(f"3 records ranked: {said or 'each has a place in the queue'}")
