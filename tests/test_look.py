"""``suspects``, ``show`` and ``up --open``: what a data scientist looks at in a terminal."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from data_home import own_data_home
from shop import Shop
from training_data import small_task

import tutelage as package
from tutelage.commands.terminal.tables import cut, fitted, harmless, shown_width
from tutelage.core.records import Record, Voter
from tutelage.core.workspace import Workspace
from tutelage.loaders.gold import read_gold
from tutelage.loaders.ledger import Answer, Ledger
from tutelage.project import Project

Run = Callable[..., CompletedProcess[str]]
NASTY = "\x1b[2J\x1b]0;owned\x07wipe\x9b31m\u202eback\r\nnext\tcell"


# suspects


def ranked(shop: Shop) -> Shop:
    """Five records: two with a ranked and settled one before them."""
    shop.add(["positive", "neutral"], "negative", start=3)
    shop.push()
    with shop.loop() as loop:
        loop.rank()
    return shop


def test_settled_records_do_not_crowd_the_list(shop: Shop, tutelage: Run, argilla_env: dict[str, str]) -> None:
    ranked(shop)
    at = ["--task", shop.workspace.root]
    first = Project(shop.workspace.root).suspects()["id"].tolist()
    shop.answer(shop.annotator(), first[0], "negative")
    shop.pull()

    def listed(*words: object) -> list[str]:
        said = json.loads(tutelage("suspects", "--json", *words, *at, env=argilla_env).stdout)
        return [row["id"] for row in said["suspects"]]

    assert listed() == first[1:]
    assert listed("-n", 2) == first[1:3]
    assert listed("--all") == first
    assert Project(shop.workspace.root).suspects(2, pending=True)["id"].tolist() == first[1:3]
    assert Project(shop.workspace.root).suspects()["id"].tolist() == first


def test_json_holds_the_whole_rows(shop: Shop, tutelage: Run, argilla_env: dict[str, str]) -> None:
    ranked(shop)
    found = json.loads(tutelage("suspects", "--json", "--task", shop.workspace.root, env=argilla_env).stdout)
    frame = Project(shop.workspace.root).suspects()
    assert [list(row) for row in found["suspects"]] == [list(frame.columns)] * 5
    assert [row["id"] for row in found["suspects"]] == frame["id"].tolist()
    assert {row["id"]: row["suggestion"] for row in found["suspects"]}["r2"] is None
    assert found["suspects"][0]["link"].startswith(f"{shop.server.url}/dataset/{shop.dataset.id}/")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal(make_task: Callable[..., Workspace], tutelage: Run, width: int) -> None:
    workspace = make_task()
    texts = ["利益が増加しました。" * 9, "e\u0301" * 200, NASTY * 9, "short"]
    records = [Record(f"a-rather-long-name-{number}", text) for number, text in enumerate(texts)]
    answers = [
        Answer(record_id=one.id, voter=Voter("t", "p", n), label_text=label, reason="")
        for one in records
        for n, label in enumerate(["positive", "negative", "positive"], 1)
    ]
    with Ledger(workspace.db) as ledger:
        ledger.add(records, answers)
    tutelage("rank", "--no-push", "--task", workspace.root)
    run = tutelage("suspects", "--task", workspace.root, env={"COLUMNS": str(width)})
    head, *rows = run.stdout.splitlines()
    assert len(rows) == 4
    assert all(columns_of(line) <= width for line in [head, *rows])
    assert max(map(columns_of, rows)) >= width - 1, "and uses it"
    if width > 60:  # else there is no room for all of them
        assert head.split() == ["rank", "id", "suggestion", "quality", "why", "text"]
        assert sum(line.endswith("…") for line in rows) == 3
        assert "votes split" in run.stdout
        assert all(f" {one.id} " in run.stdout for one in records), "to be given to show"
    assert not [sign for sign in run.stdout if unicodedata.category(sign) == "Cc" and sign != "\n"]


def columns_of(line: str) -> int:
    """As a terminal counts: written down here once more, so that the test does not believe what it tests."""
    marks = sum(unicodedata.combining(sign) > 0 for sign in line)
    return len(line) - marks + sum(unicodedata.east_asian_width(sign) in "WF" for sign in line)


def test_without_ranks_it_says_so(shop: Shop, tutelage: Run, argilla_env: dict[str, str]) -> None:
    run = tutelage("suspects", "--task", shop.workspace.root, env=argilla_env)
    assert run.stdout == "no pending record has a rank\n"
    assert run.stderr == f"next: tutelage push --task {shop.workspace.root}\n"
    assert json.loads(tutelage("suspects", "--json", "--task", shop.workspace.root).stdout) == {"suspects": []}


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("日本語", 4, "日…")],
)
def test_cutting_counts_columns(text: str, width: int, expected: str) -> None:
    assert cut(text, width) == expected
    assert shown_width(expected) <= width


def test_a_table_is_aligned_where_characters_are_wide() -> None:
    lines = fitted([("日本", "1", "x"), ("a", "22", "y")], 20, most={}, right={1}).splitlines()
    assert lines == ["日本   1  x", "a     22  y"]


def test_control_characters_become_visible_ones() -> None:
    assert harmless("\x1b[2J\x07\x00\x7f\x9b") == "␛[2J␇␀\ufffd\ufffd"
    assert harmless("a\r\nb\tc") == "a  b c"
    assert harmless("\u202eabc\u2066") == "\ufffdabc\ufffd"
    assert harmless("👩\u200d🔬 naïve") == "👩\u200d🔬 naïve"


# show


def test_show_says_all_about_a_record(shop: Shop, tutelage: Run, argilla_env: dict[str, str]) -> None:
    shop.push()
    with shop.loop() as loop:
        loop.rank()
    reason = "positive because 1"
    shop.answer(shop.annotator(), "r0", "positive", reason=reason)
    shop.answer(shop.hire(), "r0", "negative", reason="I see it so")
    shop.pull()
    card = Project(shop.workspace.root).show("r0")
    assert (card.text, card.suggestion, card.agreement) == ("text 0", "positive", pytest.approx(2 / 3))
    assert [vote.label for vote in card.votes] == ["positive", "positive", "negative"]
    assert [(one.label, one.reason_by, one.shown) for one in card.answers] == [
        ("positive", "teacher", "positive"),
        ("negative", "annotator", "positive"),
    ]
    assert (card.status, card.label, card.held_out, card.in_queue) == ("tied", None, False, True)
    assert [label for _, label in card.shown] == ["positive"]
    run = tutelage("show", "r0", "--task", shop.workspace.root, env=argilla_env)
    for part in (
        "suggestion: positive by llm, agreement 0.67",
        f"llm/plain/1: positive\n    {reason}",
        ": submitted, negative (saw positive)\n    own reason: I see it so",
        f"the teacher's reason: {reason}",
        "status: tied",
        f"suspect rank {card.suspect_rank}, label quality {card.label_quality:.3f}",
        f"link: {shop.server.url}/dataset/{shop.dataset.id}/annotation-mode?metadata=suspect_rank.ge",
    ):
        assert part in run.stdout
    said = json.loads(tutelage("show", "r0", "--json", "--task", shop.workspace.root, env=argilla_env).stdout)
    assert (said["id"], said["votes"][2]["label"], said["answers"][1]["reason"]) == ("r0", "negative", "I see it so")


def test_abstentions_are_shown_word_for_word(shop: Shop, tutelage: Run) -> None:
    shop.vote("r2", f"I cannot say {NASTY}", reason="a\nb")
    run = tutelage("show", "r2", "--task", shop.workspace.root)
    assert "suggestion: none" in run.stdout
    assert "llm/plain/1: no label, said 'hm'" in run.stdout
    assert "said 'I cannot say ␛[2J␛]0;owned␇wipe" in run.stdout
    assert "    a\n    b\n" in run.stdout
    assert not set(run.stdout) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}
    raw = tutelage("show", "r2", "--json", "--task", shop.workspace.root).stdout
    assert not set(raw) & {"\x1b", "\x07", "\x9b", "\r"}
    assert json.loads(raw)["votes"][2]["raw"] == f"I cannot say {NASTY}"


def test_an_unknown_id_is_one_message_with_the_nearest(shop: Shop, tutelage: Run) -> None:
    run = tutelage("show", "R1", "--task", shop.workspace.root, ok=False)
    assert run.returncode == 1
    assert run.stderr == f"tutelage: {shop.workspace.db}: holds no record 'R1'; did you mean r1?\n"
    with pytest.raises(package.TutelageError, match="tutelage suspects lists"):
        Project(shop.workspace.root).show("zzzzzz")


def test_held_out_records_are_marked_and_gold_is_never_shown(tmp_path: Path, tutelage: Run) -> None:
    workspace = small_task(tmp_path)
    gold = read_gold(workspace.gold)
    with Ledger(workspace.db) as ledger:
        held = next(one for one in ledger.records(workspace.task) if workspace.task.holds_out(one.id))
        voted = {vote.label for vote in held.votes}
        ledger.add([], [Answer(record_id=held.id, voter=Voter("x", "y"), label_text="hm", reason="")])
    workspace.gold.unlink()
    run = tutelage("show", held.id, "--task", workspace.root)
    assert run.stdout.startswith(f"{held.id}, held out")
    assert gold[held.id] in voted or gold[held.id] not in run.stdout
    assert Project(workspace.root).show(held.id).label is None


# up --open


def test_up_opens_the_page_or_says_that_it_cannot(tutelage: Run, tmp_path: Path) -> None:
    env = own_data_home(tmp_path) | {"BROWSER": f"{tmp_path / 'browser'} %s"}
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path / "opened"}\n')
    program.chmod(0o755)
    none = env | {"BROWSER": "", "PATH": str(tmp_path / "nothing"), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    try:
        run = tutelage("up", "--open", "--port", "0", "--json", env=env)
        url = json.loads(run.stdout)["url"]
        assert (tmp_path / "opened").read_text() == url
        assert "no browser" not in run.stderr
        run = tutelage("up", "--open", env={**os.environ, **none})
        assert f"There is no browser to open here; open this page in one: {url}" in run.stderr
    finally:
        tutelage("down", env=env)
