from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from training_data import WORDS, fill, freeze, make_workspace, records, sentences, small_task

from tutelage.commands.students import evaluate_command
from tutelage.commands.terminal.tables import describe_evaluation
from tutelage.core.errors import SourceError, StudentError
from tutelage.core.records import Rank
from tutelage.core.workspace import Workspace
from tutelage.feedback.curate import curate
from tutelage.feedback.snapshot import write_snapshot
from tutelage.loaders.gold import add_gold
from tutelage.loaders.holdout import LOCK
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.rows import text_key
from tutelage.loaders.sources import Source
from tutelage.training.evaluation.evaluate import Evaluation, evaluate, write_report
from tutelage.training.evaluation.gold_set import GoldColumns, load_gold_set, load_holdout
from tutelage.training.registry import Entry, find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import SEEN, train


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = small_task(tmp_path)
    train(made, parse_student("linear"))
    return made


def measured(workspace: Workspace, **options: Any) -> Evaluation:
    return evaluate(workspace, find_student(workspace.students), load_holdout(workspace), **options)


def unlike(count: int) -> list[tuple[str, str]]:
    """Texts that are no near-duplicates of ``sentences``, with their gold labels."""
    return [(f"{text}, as the board told its shareholders", gold) for text, gold in sentences(count, seed=77)]


def write(path: Path, rows: list[dict[str, str]]) -> Source:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return Source(str(path))


def test_the_holdout_is_measured_and_the_teacher_beside_it(workspace: Workspace) -> None:
    found = measured(workspace)
    with Ledger(workspace.db) as ledger:
        held = [record for record in ledger.records(workspace.task) if workspace.task.holds_out(record.id)]
    gold = dict(sentences(240))
    right = sum(max(WORDS, key=[v.label for v in r.votes].count) == gold[r.text] for r in held)
    assert found.rows == len(held)
    assert found.without_votes == 0
    teacher = found.on_voted["teacher"]
    assert teacher.rows == found.on_voted[found.student].rows == len(held)
    assert abs(teacher.accuracy * len(held) - right) <= 2  # ties go to the vote that was first
    assert set(found.on_voted) == {found.student, "teacher", "tutor/cot/1", "tutor/cot/2", "tutor/plain/1"}
    assert found.scores[found.student].accuracy > 0.8


def test_votes_in_the_file_and_rows_without_any(workspace: Workspace, tmp_path: Path) -> None:
    rows = unlike(60)
    table = [
        {"said": text, "truth": gold, "vote": ["", "cannot say", "up", gold][n % 4]}
        for n, (text, gold) in enumerate(rows)
    ]
    table += [{"said": "profit fell", "truth": "sideways", "vote": "up"}, {"said": " ", "truth": "up", "vote": "up"}]
    source = write(tmp_path / "file.csv", table)
    sheet = load_gold_set(workspace, source, GoldColumns(text="said", gold="truth", votes=("vote",)))
    assert (sheet.unusable, sheet.rejected) == (1, 1)
    (reject,) = map(json.loads, workspace.rejects.read_text("utf-8").splitlines())
    assert (reject["row"], reject["reason"], reject["values"]) == (62, "has no text", {"said": " ", "vote": "up"})
    found = evaluate(workspace, find_student(workspace.students), sheet)
    assert (found.rows, found.rejected) == (60, 1)
    assert found.abstained == 30
    gold = np.array([g for _, g in rows])
    said = np.array([row["vote"] for row in table[:60]])
    assert found.on_voted["teacher"].accuracy == pytest.approx((gold == said).mean())
    assert np.array(found.on_voted["teacher"].confusion)[:, -1].sum() == 30
    assert "on 30 every vote abstains" in describe_evaluation(found)


def test_votes_come_from_the_ledger_by_id_or_text(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    gold = dict([*sentences(60), *unlike(60)])
    made = records(list(gold.items()))
    fill(workspace, made, {})
    freeze(workspace, made[:60])
    train(workspace, parse_student("linear"))
    others = [(f"{text} in May", label) for text, label in unlike(12)]
    rows = [{"id": f"r{n}", "text": text, "gold": label} for n, (text, label) in enumerate(others)]
    rows += [{"id": r.id, "text": f" {r.text}  ", "gold": gold[r.text]} for r in made[60:]]
    source = write(tmp_path / "f.csv", rows)
    for columns in (GoldColumns(text="text", gold="gold"), GoldColumns(text="text", gold="gold", id="id")):
        sheet = load_gold_set(workspace, source, columns)
        assert not any(item.votes for item in sheet.items[:12]), "another text under a known id"
        assert [{*item.votes} for item in sheet.items[12:]] == [{*record.votes} for record in made[60:]]
        found = evaluate(workspace, find_student(workspace.students), sheet)
        assert (found.rows, found.without_votes) == (72, 12)
        assert found.on_voted[found.student].rows == 60
        said = find_student(workspace.students).load().predict_proba(sheet.texts[12:]).argmax(axis=1)
        right = (said == sheet.gold(workspace.task.label_names)[12:]).mean()
        assert found.on_voted[found.student].accuracy == pytest.approx(right) != 0
        assert "On the 60 rows with votes" in describe_evaluation(found)


def test_a_row_that_the_student_saw_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    rows = [{"text": f"  {text}", "gold": gold} for text, gold in sentences(240)]
    sheet = load_gold_set(workspace, write(tmp_path / "f.csv", rows), GoldColumns(text="text", gold="gold"))
    with pytest.raises(StudentError, match=r"was trained on 1\d\d of its 240 rows \(first: row \d+\)"):
        evaluate(workspace, find_student(workspace.students), sheet)


def shouted(workspace: Workspace, path: Path) -> Source:
    """A file of near-duplicates of what the student was trained on."""
    keys = find_student(workspace.students).seen()
    known = [(text, gold) for text, gold in sentences(240) if text_key(text) in keys][:50]
    return write(path, [{"text": f"{text.upper()} !", "gold": gold} for text, gold in known])


def test_a_near_duplicate_of_what_the_student_saw_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    sheet = load_gold_set(workspace, shouted(workspace, tmp_path / "f.csv"), GoldColumns(text="text", gold="gold"))
    with pytest.raises(StudentError, match="trained on 50 of its 50 rows, 50 of them as near-duplicates"):
        evaluate(workspace, find_student(workspace.students), sheet)


def test_without_the_snapshot_equal_texts_are_refused_and_it_is_said(
    workspace: Workspace, tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    entry = find_student(workspace.students)
    shutil.rmtree(workspace.snapshots)
    source = shouted(workspace, tmp_path / "f.csv")
    done = tutelage("evaluate", source.name, "--task", workspace.root, "--json")
    assert json.loads(done.stdout)["only_equal"] == [entry.id]
    assert f"the snapshot of {entry.id} is gone" in done.stderr
    sheet = load_gold_set(
        workspace, write(tmp_path / "g.csv", equal_rows(entry)), GoldColumns(text="text", gold="gold")
    )
    with pytest.raises(StudentError, match="trained on 1 of its 1 rows"):
        evaluate(workspace, entry, sheet)


def equal_rows(entry: Entry) -> list[dict[str, str]]:
    return [next({"text": text, "gold": gold} for text, gold in sentences(240) if text_key(text) in entry.seen())]


def test_a_student_without_its_list_of_texts_is_not_measured(workspace: Workspace) -> None:
    (find_student(workspace.students).path / SEEN).unlink()
    with pytest.raises(
        StudentError, match=r"seen\.json: cannot be read, so the training texts of .* train a student here"
    ):
        measured(workspace)


def test_the_holdout_is_locked_at_its_first_use(workspace: Workspace) -> None:
    first = measured(workspace)
    late = records(sentences(400)[300:])
    fill(workspace, late := [type(r)(f"late{r.id}", r.text, None, r.votes) for r in late], {r.id: "up" for r in late})
    assert sum(workspace.task.holds_out(r.id) for r in late) > 5
    assert measured(workspace).gold_set_digest == first.gold_set_digest, (
        "rows that came later do not change the figures"
    )
    one = next(iter(json.loads((workspace.root / LOCK).read_text())["rows"]))
    add_gold(workspace.gold, {one: _other(workspace, one)})
    with pytest.raises(StudentError, match=rf"1 of the \d+ rows locked on .* changed \(first: {one}\)"):
        load_holdout(workspace)


def _other(workspace: Workspace, record_id: str) -> str:
    with Ledger(workspace.db) as ledger:
        text = ledger.text_of([record_id])[record_id]
    return next(label for label in WORDS if label != dict(sentences(240))[text])


def test_locked_rows_stay_out_of_training_when_the_share_shrinks(workspace: Workspace) -> None:
    measured(workspace)
    (workspace.root / "task.yaml").write_text(
        (workspace.root / "task.yaml").read_text().replace("share: 0.3", "share: 0.01"), "utf-8"
    )
    smaller = Workspace(workspace.root)
    freeze(smaller, records(sentences(240)))
    trained = train(smaller, parse_student("linear"))
    found = evaluate(smaller, find_student(smaller.students, trained.id), load_holdout(smaller))
    assert found.rows > 50


def test_a_student_of_other_labels_is_refused(workspace: Workspace) -> None:
    text = (workspace.root / "task.yaml").read_text()
    (workspace.root / "task.yaml").write_text(text.replace("- flat", "- flat\n- sideways"), "utf-8")
    with pytest.raises(StudentError, match=r"was trained on the labels .* train a new student"):
        measured(Workspace(workspace.root))


def test_the_report_is_json_and_a_picture(workspace: Workspace) -> None:
    found = measured(workspace)
    as_json, as_png = write_report(workspace, found)
    data = json.loads(as_json.read_text("utf-8"))
    assert data["scores"][found.student]["macro_f1"] == found.scores[found.student].macro_f1
    assert as_png.read_bytes().startswith(b"\x89PNG")


def test_a_report_of_version_0_1_0_is_read_with_the_current_keys(tmp_path: Path) -> None:
    from tutelage.training.evaluation.evaluate import read_report

    (tmp_path / "old.json").write_text('{"sheet": "the holdout", "sheet_digest": "d1", "rows": 5}')
    (tmp_path / "new.json").write_text('{"gold_set": "the holdout", "gold_set_digest": "d1", "rows": 5}')
    assert read_report(tmp_path / "old.json") == {"gold_set": "the holdout", "gold_set_digest": "d1", "rows": 5}
    assert read_report(tmp_path / "new.json") == read_report(tmp_path / "old.json")


def test_any_label_can_be_drawn(tmp_path: Path) -> None:
    from tutelage.training.evaluation.figure import draw_evaluation
    from tutelage.training.measures.metrics import score

    names = ("a $x$ b", "ünï, 📈", "<b>", "$")
    gold = np.array([0, 1, 2, 3])
    draw_evaluation(tmp_path / "p.png", "T $", {"$": score(gold, np.array([0, -1, 2, 0]), names)}, names, "$")
    assert (tmp_path / "p.png").stat().st_size > 5000


def test_files_without_what_is_needed(workspace: Workspace, tmp_path: Path) -> None:
    source = write(tmp_path / "f.csv", [{"text": "profit", "gold": "sideways"}])
    with pytest.raises(SourceError, match=r"no column 'truth'; its columns: text, gold\. Name those with"):
        load_gold_set(workspace, source, GoldColumns(text="text", gold="truth"))
    with pytest.raises(SourceError, match="no column 'v'; its columns: text, gold"):
        load_gold_set(workspace, source, GoldColumns(text="text", gold="gold", votes=("v",)))
    with pytest.raises(SourceError, match="no row has a text and a gold label"):
        load_gold_set(workspace, source, GoldColumns(text="text", gold="gold"))


def test_without_gold_or_holdout_it_says_what_to_do(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    with pytest.raises(StudentError, match="tutelage evaluate FILE"):
        load_holdout(workspace)
    fill(workspace, records(sentences(5)), {"r0": "up"})
    with pytest.raises(StudentError, match=r"set holdout in task\.yaml"):
        load_holdout(workspace)


def test_the_command_prints_a_table_or_one_json_object(
    workspace: Workspace, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    words = tutelage("evaluate", "--task", workspace.root).stdout
    assert "macro-F1" in words
    assert "teacher" in words
    data = json.loads(tutelage("evaluate", "--task", workspace.root, "--json").stdout)
    assert Path(data["report"]).exists()
    assert Path(data["figure"]).exists()


def test_two_students_side_by_side_and_the_learning_curve(
    workspace: Workspace, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    first = find_student(workspace.students).id
    made = records(sentences(240))
    ranks = {record.id: Rank(record.id, place / 240, place) for place, record in enumerate(made, 1)}
    write_snapshot(workspace.snapshots, workspace.task, curate(made, {}, ranks), {})
    trained = train(workspace, parse_student("linear", suspects_out=0.3))
    second = trained.id
    assert trained.left_out["suspects"] == 72
    words = ("--task", workspace.root)
    assert json.loads(tutelage("promote", first, *words, "--json").stdout) == {"champion": first}
    said = tutelage("evaluate", "--student", second, "--against", "champion", "--curve", *words).stdout
    assert f"{second} against {first}" in said or f"{second} is" in said
    assert "trained on" in said
    assert "weakest slice" in said
    tutelage("promote", second, *words)
    assert first in tutelage("rollback", *words).stdout


def test_the_report_is_there_when_the_curve_fails(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StudentError("no curve")

    monkeypatch.setattr("tutelage.steps.measure.learning_curve", fail)
    done = CliRunner().invoke(evaluate_command, ["--task", str(workspace.root), "--curve"])
    assert "no curve" in str(done.exception)
    assert {path.suffix for path in workspace.reports.iterdir()} == {".json", ".png"}


def test_parts_of_the_curve_without_a_label_are_told(
    tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    workspace = small_task(tmp_path, 24)
    train(workspace, parse_student("linear"))
    done = tutelage("evaluate", "--curve", "--task", tmp_path, "--json")
    assert len(json.loads(done.stdout)["curve"]) == 4
    assert "learning curve: 1 parts lack a label and are left out" in done.stderr
