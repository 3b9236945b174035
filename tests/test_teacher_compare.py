"""``evaluate --teachers``: prompts and numbers of votes on the same rows, with hand-made votes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from teacher_server import running

from tutelage.core.records import Record
from tutelage.core.workspace import Workspace
from tutelage.loaders.ledger import Ledger

Run = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[..., Workspace]
COUNT = 40


def answer(text: str, _number: int, data: dict[str, Any]) -> str:
    """Of 40 texts: vote 2 with reasons is wrong on each 4th, vote 3 abstains on each 5th; the plain one on each 2nd."""
    n = int(text.removeprefix("text "))
    right, wrong = ("good", "bad") if n % 3 else ("bad", "good")
    if "JSON" not in data["messages"][0]["content"]:
        return wrong if n % 2 else right
    wrong_now = data["seed"] == 2 and n % 4 == 0
    label = "who knows" if data["seed"] == 3 and n % 5 == 0 else wrong if wrong_now else right
    return json.dumps({"reason": "because", "label": label})


@pytest.fixture
def annotated(make_task: Make, tutelage: Run, write_csv: Callable[..., Path]) -> tuple[Workspace, Path]:
    with running(answer, latency=0.01) as (url, _):
        keys = {"name": "t", "license": "none", "model": "m", "base_url": url, "seed": 1}
        keys["prompts"] = [{"name": "cot"}, {"name": "plain", "votes": 1, "temperature": 0}]
        keys["prices"] = [{"since": "2026-01-01", "input": 1, "output": 2}]
        doubts = {**keys, "name": "u", "model": "m2", "prompts": ["plain"], "votes": 1, "escalate": True, "seed": None}
        workspace = make_task(["good", "bad"], teachers=[keys, doubts])
        with Ledger(workspace.db) as ledger:
            ledger.add([Record(f"r{n}", f"text {n}") for n in range(COUNT)])
        tutelage("annotate", "--task", workspace.root)
    gold = write_csv([{"text": f"text {n}", "gold": "good" if n % 3 else "bad"} for n in range(COUNT)])
    return workspace, gold


def test_every_prompt_and_number_of_votes_is_measured_on_the_same_rows(
    annotated: tuple[Workspace, Path], tutelage: Run
) -> None:
    workspace, gold = annotated
    table = json.loads(tutelage("evaluate", gold, "--teachers", "--task", workspace.root, "--json").stdout)
    by = {(s["teacher"], s["prompt"].split("@")[0], s["votes"]): s for s in table["scores"]}
    assert table["rows"] == COUNT
    assert {key: s["accuracy"] for key, s in by.items() if key[0] == "t"} == {
        ("t", "cot", 1): 1.0,
        ("t", "cot", 2): 1.0,  # a tie goes to the first vote
        ("t", "cot", 3): 1.0,
        ("t", "plain", 1): 0.5,
    }
    assert by["t", "cot", 1]["to_best"] is None  # the fewest votes among equals
    plain = by["t", "plain", 1]["to_best"]
    assert (plain["accuracy_difference"], plain["only_first"], plain["only_second"]) == (0.5, 20, 0)
    assert plain["p_value"] < 0.001
    assert by["t", "plain", 1]["accuracy_interval"][0] < 0.5 < by["t", "plain", 1]["accuracy_interval"][1]
    assert by["t", "cot", 3]["cost"] == pytest.approx(3 * by["t", "cot", 1]["cost"], rel=0.05)
    assert by["t", "cot", 1]["seconds"] > 1000 * 0.004
    assert "everyone" in {key[0] for key in by}


def test_a_teacher_asked_only_in_doubt_is_named_and_not_measured_on_doubts(
    annotated: tuple[Workspace, Path], tutelage: Run
) -> None:
    workspace, gold = annotated
    words = tutelage("evaluate", gold, "--teachers", "--task", workspace.root).stdout
    assert f"{COUNT} rows that all have voted on" in words
    assert "left out, too few rows: u plain@" in words
    assert words.count("best\n") == 1


def test_votes_that_early_stopping_cut_because_of_others_are_not_compared(
    make_task: Make, tutelage: Run, write_csv: Callable[..., Path]
) -> None:
    def divided(text: str, _number: int, data: dict[str, Any]) -> str:
        """The first teacher is right but in vote 3 of every second text; vote 1 of the second is wrong there."""
        n, seed, first = int(text.removeprefix("text ")), data["seed"], data["model"] == "m"
        is_wrong = n % 2 == 0 and seed == (3 if first else 1)
        return "bad" if is_wrong else "good"

    with running(divided) as (url, _):
        one = {"name": "t", "license": "none", "model": "m", "base_url": url, "seed": 1, "prompts": ["plain"]}
        one["early_stop"] = True
        workspace = make_task(["good", "bad"], teachers=[one, {**one, "name": "u", "model": "m2"}])
        with Ledger(workspace.db) as ledger:
            ledger.add([Record(f"r{n}", f"text {n}") for n in range(20)])
        tutelage("annotate", "--task", workspace.root)
    gold = write_csv([{"text": f"text {n}", "gold": "good"} for n in range(20)])
    words = ["evaluate", gold, "--teachers", "--task", workspace.root]
    table = json.loads(tutelage(*words, "--json").stdout)
    scores = {(s["teacher"], s["votes"]): s["accuracy"] for s in table["scores"]}
    assert scores == {("t", 1): 1.0, ("t", 2): 1.0, ("t", 3): 1.0, ("u", 1): 0.5, ("everyone", 6): 1.0}
    assert [(cut["teacher"], cut["votes"]) for cut in table["cut"]] == [("u", 2)]
    said = tutelage(*words).stdout
    assert "not compared, asked only where other votes left doubt: u plain@" in said
    assert "votes 2 and on" in said


def test_without_votes_the_next_step_is_said(make_task: Make, tutelage: Run, write_csv: Callable[..., Path]) -> None:
    gold = write_csv([{"text": "a", "gold": "good"}])
    done = tutelage("evaluate", gold, "--teachers", "--task", make_task(["good", "bad"]).root, ok=False)
    assert done.returncode == 1
    assert "no rows with votes; run tutelage annotate" in done.stderr


def test_imported_columns_are_compared_with_their_consensus(
    make_task: Make, tutelage: Run, write_csv: Callable[..., Path]
) -> None:
    rows = [{"text": f"{n}", "gold": "good", "a": "good", "b": "bad" if n < 3 else "good", "c": "?"} for n in range(10)]
    votes = [word for column in "abc" for word in ("--vote", column)]
    command = ["evaluate", write_csv(rows), "--teachers", *votes, "--task", make_task(["good", "bad"]).root, "--json"]
    table = json.loads(tutelage(*command).stdout)
    found = {s["prompt"]: (s["accuracy"], s["abstentions"], s["cost"]) for s in table["scores"]}
    assert found == {"a": (1.0, 0, None), "b": (0.7, 0, None), "c": (0.0, 10, None), "all votes": (1.0, 0, None)}
