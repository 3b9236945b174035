"""What counts as evidence: each text once, and no text that a student was trained on, however it is written."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from training_data import freeze, make_workspace, records, sentences, small_task

from tutelage.commands.terminal.tables import describe_evaluation
from tutelage.core.errors import SourceError, StudentError
from tutelage.core.records import Record
from tutelage.core.task import parse_task
from tutelage.core.workspace import Workspace
from tutelage.feedback.curate import curate
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.sources import Source
from tutelage.report.figures.label_accuracy import label_accuracy
from tutelage.training.evaluation.evaluate import Evaluation, evaluate, write_report
from tutelage.training.evaluation.gold_set import GoldColumns, GoldSet, check_unseen, load_gold_set, load_holdout
from tutelage.training.evaluation.predicted_drift import drift_since_snapshot
from tutelage.training.evaluation.teacher_comparison import compare_teachers
from tutelage.training.hub.model_card import CARD, UNCHECKED
from tutelage.training.registry import SEEN, Entry, find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

COLUMNS = GoldColumns(text="text", gold="gold", votes=("vote",))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = small_task(tmp_path_factory.mktemp("evidence"))
    train(made, parse_student("linear"))
    return made


def student(workspace: Workspace) -> Entry:
    return find_student(workspace.students)


def gold_set(workspace: Workspace, path: Path, rows: Sequence[tuple[str, str, str]]) -> GoldSet:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "gold", "vote"), *rows])
    return load_gold_set(workspace, Source(str(path)), COLUMNS)


def held_rows(workspace: Workspace) -> list[tuple[str, str, str]]:
    return [(item.text, item.gold, item.votes[0].label or "") for item in load_holdout(workspace).items]


def figures(evaluation: Evaluation) -> dict[str, Any]:
    told_apart = ("at", "repeated", "gold_set")
    return {key: value for key, value in asdict(evaluation).items() if key not in told_apart}


def test_the_same_rows_ten_times_say_what_they_say_once(trained: Workspace, tmp_path: Path) -> None:
    rows = held_rows(trained)
    copies = [*rows, *[(f"  {text} ", gold, vote) for text, gold, vote in rows for _ in range(9)]]
    sets = [gold_set(trained, tmp_path / "once.csv", rows), gold_set(trained, tmp_path / "ten.csv", copies)]
    once, ten = (evaluate(trained, student(trained), one) for one in sets)
    assert figures(once) == figures(ten)
    assert (once.repeated, ten.repeated) == (0, 9 * len(rows))
    assert f"{len(rows)} rows of" in describe_evaluation(ten)
    assert f"; {9 * len(rows)} rows repeat a text and count once" in describe_evaluation(ten)
    teachers = [compare_teachers(trained, one) for one in sets]
    assert teachers[0].scores == teachers[1].scores
    assert teachers[1].repeated == 9 * len(rows)


def test_equal_texts_with_different_gold_labels_are_named_and_left_out(trained: Workspace, tmp_path: Path) -> None:
    rows = held_rows(trained)
    text, gold, vote = rows[3]
    other = next(label for label in trained.task.label_names if label != gold)
    found = gold_set(trained, tmp_path / "f.csv", [*rows, (text, gold, vote), (f" {text}", other, vote)])
    assert (len(found.items), found.repeated) == (len(rows) - 1, 0)
    assert found.contradictory == ("row 4", f"row {len(rows) + 1}", f"row {len(rows) + 2}")
    words = describe_evaluation(evaluate(trained, student(trained), found))
    assert "3 are left out, equal texts with different gold labels (row 4, " in words
    with pytest.raises(SourceError, match="2 rows have texts with different gold labels"):
        gold_set(trained, tmp_path / "g.csv", [(text, gold, vote), (text, other, vote)])


def test_labels_of_equal_texts_count_once_in_the_report() -> None:
    task = parse_task("name: t\nlabels: [a, b]\n")
    made = [Record(f"{n}-{copy}", f"text {n}", given="ab"[n % 2]) for n in range(10) for copy in range(3)]
    gold = {record.id: "a" for record in made}
    found = label_accuracy(task, curate(made, {}, {}), gold, made, gold)
    assert found.on_gold
    assert found.on_holdout
    assert (found.on_gold.before.rows, found.on_holdout.rows, found.on_holdout.hits) == (10, 10, 5)


def test_copies_are_no_evidence_of_drift(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    train(workspace, parse_student("linear"))
    late = records(sentences(300)[240:])
    with Ledger(workspace.db) as ledger:
        ledger.add([Record(f"late{n}-{copy}", r.text) for n, r in enumerate(late) for copy in range(3)])
    found = drift_since_snapshot(workspace, student(workspace))
    assert found
    assert 20 < found.texts <= len(late)


CHEATS: dict[str, Callable[[str], str]] = {
    "a sentence after it": lambda text: f"{text} Nobody expected this in the spring, said the paper.",
    "a sentence before it": lambda text: f"Here is what the paper printed on Monday. {text}",
    "Cyrillic letters": lambda text: text.translate(
        str.maketrans("aeopcxyAEOPCT", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0410\u0415\u041e\u0420\u0421\u0422")
    ),
    "Greek letters": lambda text: text.translate(str.maketrans("aovnip", "\u03b1\u03bf\u03bd\u03b7\u03b9\u03c1")),
    "zero-width spaces": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "full-width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "bold letters": lambda text: "".join(chr(ord(c) - 97 + 0x1D41A) if "a" <= c <= "z" else c for c in text),
    "accents": lambda text: re.sub("([aeiou])", "\\1\u0301", text),
    "all of it": lambda text: "\u200d".join(f"{text} Nobody expected this in the spring.").replace("e", "\u0435"),
}


@pytest.fixture(scope="module")
def long_texts(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A student of 60 texts of about fifteen words."""
    workspace = make_workspace(tmp_path_factory.mktemp("long"))
    made = records([(f"{text}, while number {71 * n} of {words(n)} paid more", gold) for n, (text, gold) in LONG])
    freeze(workspace, made)
    train(workspace, parse_student("linear"))
    return workspace


LONG = list(enumerate(sentences(60)))


def words(number: int) -> str:
    return " ".join(f"{chr(97 + (number * k) % 26)}{chr(97 + (number + 5 * k) % 26)}ll{k}ing" for k in (3, 5, 7))


@pytest.mark.parametrize("cheat", CHEATS)
def test_training_texts_are_found_however_they_are_written(long_texts: Workspace, cheat: str, tmp_path: Path) -> None:
    rows = [(CHEATS[cheat](text), "up", "up") for text in snapshot_texts(long_texts)]
    with pytest.raises(StudentError, match=rf"was trained on {len(rows)} of its {len(rows)} rows"):
        evaluate(long_texts, student(long_texts), gold_set(long_texts, tmp_path / "f.csv", rows))


def test_a_phrase_that_texts_have_in_common_is_no_sign_of_training(long_texts: Workspace, tmp_path: Path) -> None:
    rows = [
        (f"{' '.join(text.split()[:5])} was not what the board had in mind", "up", "up")
        for text in snapshot_texts(long_texts)
    ]
    found = evaluate(long_texts, student(long_texts), gold_set(long_texts, tmp_path / "f.csv", rows))
    assert found.rows > 50


def snapshot_texts(workspace: Workspace) -> list[str]:
    return load_snapshot(workspace.snapshots).frame()["text"].tolist()


def test_a_student_of_an_earlier_version_is_measured_on_its_holdout(tmp_path: Path) -> None:
    """Its training left out what was similar to the holdout, but not what contains one of its texts."""
    workspace = small_task(tmp_path)
    train(workspace, parse_student("linear"))
    entry = student(workspace)
    held = load_holdout(workspace)
    texts = [f"Soon after the new year began, {one.text} and {one.text}, and nobody knew why" for one in held.items]
    trained_on = [f"{one.text} and {one.text}" for one in held.items]
    contained = replace(held, items=tuple(replace(one, text=text) for one, text in zip(held.items, texts, strict=True)))
    for rule, holdout, refused in ((1, True, False), (2, True, True), (1, False, True)):
        rows = replace(contained, is_holdout=holdout)
        if refused:
            with pytest.raises(StudentError, match="near-duplicates"):
                check_unseen(rows, set(), trained_on, entry.id, rule=rule)
        else:
            check_unseen(rows, set(), trained_on, entry.id, rule=rule)


@pytest.mark.parametrize("content", ["[]", "{}", "7", '["0123456789abcdef"]'])
def test_a_list_of_texts_that_is_not_the_students_is_refused(trained: Workspace, content: str, tmp_path: Path) -> None:
    entry = copy_of(trained, tmp_path)
    (entry.path / SEEN).write_text(content)
    with pytest.raises(
        StudentError, match=r"seen\.json: (lists \d+ texts, but student\.json says 1\d\d|cannot be read)"
    ):
        entry.seen()


def test_a_list_of_as_many_other_texts_is_refused_where_the_manifest_knows_its_hash(
    trained: Workspace, tmp_path: Path
) -> None:
    entry = copy_of(trained, tmp_path)
    keys = json.loads((entry.path / SEEN).read_text())
    (entry.path / SEEN).write_text(json.dumps(["0" * 16, *keys[1:]]))
    with pytest.raises(StudentError, match=r"seen\.json: is not the file that student\.json was written with"):
        entry.seen()
    assert replace(entry, manifest=replace(entry.manifest, seen_digest="")).seen()


def copy_of(workspace: Workspace, path: Path) -> Entry:
    entry = student(workspace)
    shutil.copytree(entry.path, path / entry.id)
    return find_student(path, entry.id)


def test_a_copied_student_without_its_snapshot_says_so_wherever_its_figure_stands(
    trained: Workspace, tmp_path: Path
) -> None:
    root = shutil.copytree(trained.root, tmp_path / "copy")
    shutil.rmtree(root / "snapshots")
    workspace = Workspace(root)
    found = evaluate(workspace, student(workspace), load_holdout(workspace))
    written, _ = write_report(workspace, found)
    assert json.loads(written.read_text())["only_equal"] == [found.student]
    assert f"(1) {UNCHECKED}" in (student(workspace).path / CARD).read_text()
    whole, _ = write_report(trained, evaluate(trained, student(trained), load_holdout(trained)))
    assert json.loads(whole.read_text())["only_equal"] == []
    assert UNCHECKED not in (student(trained).path / CARD).read_text()
