"""Curated sets and review sheets go out, answers come in; both without Argilla and beside it."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pandas as pd
import pytest
from openpyxl import Workbook as Book
from openpyxl import load_workbook
from shop import Shop

from tutelage.core.errors import SourceError, TutelageError
from tutelage.core.records import Rank, Record, Voter
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.exchange.curated_set import SUFFIXES
from tutelage.feedback.exchange.formula_guard import guarded, unguarded
from tutelage.loaders.ledger import Answer, Ledger
from tutelage.project import Project

RISKY = ["=1+1", "+49 30", "-5", "@home", "\ttab", "'=quoted", "''+twice", "'plain", "=cmd|' /C calc'!A0"]


def filled(workspace: Workspace, votes: Mapping[str, Sequence[str]], texts: Mapping[str, str] | None = None) -> Project:
    """A task with records of these ids, the votes of each, and their ranks in this order."""
    texts = texts or {}
    with Ledger(workspace.db) as ledger:
        ledger.add(
            [Record(name, texts.get(name, f"text of {name}")) for name in votes],
            [
                Answer(record_id=name, voter=Voter("llm", "p", i), label_text=label, reason=f"{label} for {name}")
                for name, labels in votes.items()
                for i, label in enumerate(labels, 1)
            ],
        )
        ledger.set_ranks([Rank(name, number / 100, number) for number, name in enumerate(votes, 1)])
    return Project(workspace.root)


@pytest.fixture
def project(make_task: Callable[..., Workspace]) -> Project:
    votes = {"a": ["positive", "positive"], "b": ["negative"], "c": ["positive", "negative"], "d": ["neutral"]}
    return filled(make_task(), votes)


def take(project: Project, rows: Sequence[Mapping[str, Any]], annotator: str = "ann", **options: Any) -> Any:
    return project.import_review(pd.DataFrame(rows), annotator=annotator, **options)


def labels(project: Project) -> dict[str, tuple[Any, ...]]:
    """Label, source and status of each record in a new snapshot."""
    project.pull()
    rows = project.curated().to_dict("records")
    return {row["id"]: (None if pd.isna(row["label"]) else row["label"], row["source"], row["status"]) for row in rows}


def rejects(project: Project) -> list[tuple[int, str]]:
    path = project.workspace.rejects
    lines = map(json.loads, path.read_text().splitlines() if path.exists() else [])
    return [(line["row"], line["reason"]) for line in lines]


# Answers in


def test_answers_from_a_file_count_without_argilla(project: Project) -> None:
    rows = [
        {"id": "a", "label": "negative", "status": "", "reason": "It fell."},
        {"id": "b", "label": "", "status": "discarded", "reason": ""},
        {"id": "c", "label": "Positive", "status": "draft", "reason": ""},
        {"id": "d", "label": "", "status": "", "reason": ""},
    ]
    done = take(project, rows)
    assert (done.rows, done.new, done.changed, done.unchanged, done.empty, done.rejected) == (4, 3, 0, 0, 1, 0)
    assert labels(project) == {
        "a": ("negative", "human", "reviewed"),
        "b": (None, "human", "discarded"),
        "c": ("positive", "teacher", "pending"),
        "d": ("neutral", "teacher", "pending"),
    }
    pulled = project.pull()
    assert (pulled.from_files, pulled.by_annotator, pulled.new) == (3, {"ann": 2}, False)
    assert project.status().by_status == {"reviewed": 1, "discarded": 1, "pending": 2}
    found = project.responses().set_index("id")
    assert found.loc["a", ["annotator", "label", "reason", "reason_by", "dataset"]].tolist() == [
        "ann",
        "negative",
        "It fell.",
        "annotator",
        "file",
    ]
    assert project.suspects().set_index("id")["status"].to_dict() == {
        "a": "reviewed",
        "b": "discarded",
        "c": "pending",
        "d": "pending",
    }
    assert project.rank(push=False).ranked == 2
    assert set(project.suspects()["id"]) == {"c", "d"}


def test_bad_rows_are_rejected_and_the_good_ones_go_in(project: Project) -> None:
    rows = [
        {"id": "zz", "label": "positive", "status": ""},
        {"id": "a", "label": "splendid", "status": ""},
        {"id": "a", "label": "positive", "status": "pending"},
        {"id": "", "label": "positive", "status": ""},
        {"id": "b", "label": "positive\0", "status": ""},
        {"id": "b", "label": "neutral", "status": "Submitted"},
        {"id": "b", "label": "positive", "status": ""},
        {"id": "b", "label": "neutral", "status": "submitted"},
    ]
    done = take(project, rows)
    assert (done.rows, done.new, done.rejected) == (8, 1, 6)
    assert rejects(project) == [
        (1, "no record has the id 'zz'"),
        (2, "'splendid' is no label of the task"),
        (3, "status 'pending' is none of submitted, discarded, draft"),
        (4, "has no id"),
        (5, "contains a NUL character"),
        (7, "row 6 answers the same record otherwise"),
    ]
    assert labels(project)["b"] == ("neutral", "human", "reviewed")


def test_the_same_file_twice_changes_nothing_and_a_corrected_one_does(project: Project) -> None:
    rows = [{"id": "a", "label": "negative", "reason": "x"}, {"id": "b", "label": "neutral", "reason": ""}]
    take(project, rows)
    before = project.responses()
    again = take(project, rows)
    assert (again.new, again.changed, again.unchanged) == (0, 0, 2)
    assert project.responses().equals(before)
    corrected = take(project, [{**rows[0], "label": "positive"}, rows[1]])
    assert (corrected.new, corrected.changed, corrected.unchanged) == (0, 1, 1)
    assert labels(project)["a"] == ("positive", "human", "reviewed")


def test_several_people_have_an_answer_each(project: Project) -> None:
    take(project, [{"id": "a", "label": "negative"}])
    take(project, [{"id": "a", "label": "neutral"}], annotator="bob")
    assert labels(project)["a"] == (None, "human", "tied")


def test_the_teachers_reason_in_a_sheet_is_the_teachers(project: Project) -> None:
    take(project, [{"id": "a", "label": "positive", "reason": "positive for a"}])
    take(project, [{"id": "b", "label": "positive", "reason": "negative for b"}])
    found = project.responses().set_index("id")[["reason", "reason_by"]].T.to_dict("list")
    assert found == {"a": ["positive for a", "teacher"], "b": ["", ""]}


def test_a_record_may_be_named_by_the_id_of_a_file_that_had_another(project: Project) -> None:
    project.load(pd.DataFrame([{"key": "k1", "text": "text of a"}]), id="key")
    assert take(project, [{"id": "k1", "label": "negative"}]).new == 1
    assert labels(project)["a"] == ("negative", "human", "reviewed")


def test_answers_on_held_out_records_are_kept_and_not_used(make_task: Callable[..., Workspace]) -> None:
    project = filled(make_task(holdout={"share": 0.5}), {f"r{n}": ["positive"] for n in range(20)})
    done = take(project, [{"id": f"r{n}", "label": "negative"} for n in range(20)])
    held = sum(project.task.holds_out(f"r{n}") for n in range(20))
    assert 0 < held < 20
    assert (done.new, done.on_held_out) == (20, held)
    assert project.pull().on_held_out == held
    assert len(project.curated()) == 20 - held


def test_a_file_without_the_columns_or_of_another_kind_is_one_message(project: Project, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="DataFrame: no column 'id', 'label'; its columns: key"):
        take(project, [{"key": "a"}])
    for name, content, words in (
        ("broken.xlsx", b"PK\x03\x04 no zip", "cannot be read as XLSX"),
        ("old.xls", b"\xd0\xcf", "save it as .xlsx or .csv"),
        ("flat.json", b'[{"id": 1, "annotation_id": 2, "lead_time": 3, "label": "positive"}]', "export again as JSON"),
        ("empty.xlsx", None, "no column 'id', 'label'"),
        ("gone.xlsx", "", "no such file"),
    ):
        path = tmp_path / name
        if content is None:
            Book().save(path)
        elif content:
            path.write_bytes(content)  # type: ignore[arg-type]
        with pytest.raises(SourceError, match=words):
            project.import_review(path, annotator="ann")


@pytest.mark.parametrize("suffix", SUFFIXES[""])
def test_a_curated_set_is_not_taken_for_one_persons_answers(project: Project, tmp_path: Path, suffix: str) -> None:
    project.export(tmp_path / f"out{suffix}")
    with pytest.raises(SourceError, match="is a curated set, whose labels are not one person's answers"):
        project.import_review(tmp_path / f"out{suffix}", annotator="ann")
    assert len(project.responses()) == 0


# The same person on Argilla and in a file


@pytest.fixture
def both(shop: Shop, argilla_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[Project, Shop]:
    for name, value in argilla_env.items():
        monkeypatch.setenv(name, value)
    shop.push()
    return Project(shop.workspace.root), shop


def test_what_a_person_has_answered_otherwise_on_argilla_is_listed_and_taken_only_when_told(
    both: tuple[Project, Shop],
) -> None:
    project, shop = both
    ann = shop.annotator()
    made = shop.answer(ann, "r0", "negative")
    shop.answer(ann, "r1", "neutral")
    project.pull()
    rows = [{"id": "r0", "label": "positive"}, {"id": "r1", "label": "neutral"}, {"id": "r2", "label": "neutral"}]
    done = take(project, rows, annotator=ann.name)
    assert (done.new, done.unchanged) == (1, 1)
    listed = {"id": "r0", "annotator": ann.name, "there": "negative", "in_file": "positive", "taken": False}
    assert list(map(asdict, done.differing)) == [listed]
    assert labels(project)["r0"] == ("negative", "human", "reviewed")
    done = take(project, rows, annotator=ann.name, replace=True)
    assert (done.changed, done.unchanged, [each.taken for each in done.differing]) == (1, 2, [True])
    assert labels(project)["r0"] == ("positive", "human", "reviewed")
    assert take(project, rows, annotator=ann.name).unchanged == 3
    answered = {"status": "submitted", "values": {"label": {"value": "neutral"}}}
    ann.call("PUT", f"/responses/{made['id']}", json=answered)
    assert labels(project)["r0"] == ("neutral", "human", "reviewed"), "the person has answered again since"
    assert project.pull().by_annotator == {ann.name: 3}, "one person, one answer a record"
    assert [each.there for each in take(project, rows, annotator=ann.name).differing] == ["neutral"]


def test_a_replaced_answer_counts_whatever_argillas_clock_says(both: tuple[Project, Shop]) -> None:
    project, shop = both
    ann = shop.annotator()
    shop.answer(ann, "r0", "negative")
    project.pull()
    dataset = shop.dataset.id
    with Ledger(shop.workspace.db) as ledger:
        (answer,) = ledger.responses(dataset)
        ledger.set_responses(dataset, [replace(answer, updated_at=answer.updated_at + timedelta(hours=1))])
    take(project, [{"id": "r0", "label": "neutral"}], annotator=ann.name, replace=True)
    assert project.status().by_status["reviewed"] == 1
    with Ledger(shop.workspace.db) as ledger:
        assert [each.label for each in counting_answers(ledger)["r0"]] == ["neutral"]


def test_a_draft_or_a_withdrawn_answer_on_argilla_is_none(both: tuple[Project, Shop]) -> None:
    project, shop = both
    ann = shop.annotator()
    draft = shop.answer(ann, "r0", "negative", status="draft")
    made = shop.answer(ann, "r1", "negative")
    project.pull()
    ann.call("DELETE", f"/responses/{made['id']}")
    project.pull()
    rows = [{"id": "r0", "label": "neutral"}, {"id": "r1", "label": "neutral"}]
    assert (take(project, rows, annotator=ann.name).differing, labels(project)["r0"][0]) == ((), "neutral")
    ann.call("PUT", f"/responses/{draft['id']}", json={"status": "draft", "values": {"label": {"value": "positive"}}})
    assert labels(project)["r0"] == ("neutral", "human", "reviewed")
    assert labels(project)["r1"] == ("neutral", "human", "reviewed")
    assert project.pull().withdrawn == 1


def test_a_draft_in_a_file_never_replaces_an_answer(both: tuple[Project, Shop]) -> None:
    project, shop = both
    shop.answer(shop.annotator(), "r0", "negative")
    project.pull()
    row = {"id": "r0", "label": "positive", "status": "draft"}
    done = take(project, [row], annotator=shop.annotator().name, replace=True)
    assert [each.taken for each in done.differing] == [False]
    assert labels(project)["r0"][0] == "negative"


def test_answers_from_files_stay_where_the_dataset_is_made_anew(both: tuple[Project, Shop]) -> None:
    project, shop = both
    shop.answer(shop.annotator(), "r0", "neutral")
    take(project, [{"id": "r1", "label": "neutral"}], annotator="carol")
    project.pull()
    shop.delete_dataset()
    shop.push()
    pulled = project.pull()
    assert (pulled.by_annotator, list(pulled.other_datasets.values())) == ({"carol": 1}, [1])
    ranked = project.rank()
    assert ranked.ranked == 2, "r1 is settled"


# Out


def test_every_table_holds_the_curated_set_as_of_now(project: Project, tmp_path: Path) -> None:
    take(project, [{"id": "a", "label": "negative", "reason": "It fell."}, {"id": "d", "label": "neutral"}])
    for suffix in SUFFIXES[""]:
        done = project.export(tmp_path / f"out{suffix}")
        assert (done.records, done.format) == (4, suffix[1:])
    frames = [
        pd.read_csv(tmp_path / "out.csv"),
        pd.read_excel(tmp_path / "out.xlsx"),
        pd.read_parquet(tmp_path / "out.parquet"),
        pd.read_json(tmp_path / "out.jsonl", lines=True),
    ]
    for frame in frames:
        found = frame.astype(object).where(frame.notna(), None).set_index("id")
        assert list(found.index) == ["a", "b", "c", "d"]
        row = found.loc["a"].to_dict()
        assert row == {
            "text": "text of a",
            "label": "negative",
            "source": "human",
            "status": "reviewed",
            "suggestion": "positive",
            "agreement": 1.0,
            "label_quality": 0.01,
            "suspect_rank": 1,
            "reason": "It fell.",
        }
        assert (found.loc["b", "reason"], found.loc["b", "source"]) == ("negative for b", "teacher")


def test_autotrain_gets_text_and_label_of_what_is_trained_on(project: Project, tmp_path: Path) -> None:
    take(project, [{"id": "a", "label": "", "status": "discarded"}])
    take(project, [{"id": "b", "label": "neutral"}])
    take(project, [{"id": "b", "label": "positive"}], annotator="bob")
    for suffix in SUFFIXES["autotrain"]:
        assert project.export(tmp_path / f"out{suffix}", format="autotrain").records == 2
    frame = pd.read_csv(tmp_path / "out.csv")
    assert frame.to_dict("records") == [
        {"text": "text of c", "label": "positive"},
        {"text": "text of d", "label": "neutral"},
    ]
    assert pd.read_parquet(tmp_path / "out.parquet").equals(frame)


def test_the_holdout_and_gold_are_in_no_export(make_task: Callable[..., Workspace], tmp_path: Path) -> None:
    project = Project(make_task(holdout={"share": 0.5}).root)
    rows = [{"key": f"r{n}", "text": f"text of r{n}.", "v": "positive", "g": "negative"} for n in range(20)]
    project.import_votes(pd.DataFrame(rows), id="key", votes=["v"], gold="g")
    held = [f"text of r{n}." for n in range(20) if project.task.holds_out(f"r{n}")]
    assert held
    for format_, suffixes in SUFFIXES.items():
        for suffix in suffixes:
            out = tmp_path / f"out-{format_}{suffix}"
            assert project.export(out, format=format_).records == 20 - len(held)
            if suffix == ".xlsx":
                cells = [cell for line in load_workbook(out).worksheets[0].iter_rows(values_only=True) for cell in line]
            elif suffix == ".parquet":
                cells = pd.read_parquet(out).to_numpy().ravel().tolist()
            else:
                cells = [out.read_text("utf-8")]
            words = "\n".join(map(str, cells))
            assert [text for text in held if text in words] == []
            assert words.count("text of r") == 20 - len(held)
            assert "negative" not in words


def test_nothing_is_overwritten_without_force(
    project: Project, tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    out, here = tmp_path / "out.json", ("--task", project.workspace.root)
    (tmp_path / "out.xml").write_text("mine")
    failed = tutelage("export", out, "--as", "label-studio", *here, ok=False)
    assert (failed.returncode, len(failed.stderr.splitlines())) == (1, 1)
    assert "out.xml: is there already; give another name, or --force to overwrite it" in failed.stderr
    assert not out.exists()
    tutelage("export", out, "--as", "label-studio", "--force", *here)
    assert (tmp_path / "out.xml").read_text().startswith("<View>")
    for name, format_ in (("out.doc", ""), ("out.csv", "review"), ("out.xlsx", "autotrain"), ("out", "")):
        with pytest.raises(TutelageError, match="cannot be written"):
            project.export(tmp_path / name, format=format_)
    with pytest.raises(TutelageError, match="no such format; there are: autotrain, label-studio, review"):
        project.export(out, format="word")


# Cells that a spreadsheet would run


@pytest.mark.parametrize("cell", [*RISKY, "", "plain", "'", "it's", "\rreturn", "'''-"])
def test_a_guard_is_told_from_what_was_there(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert guarded(cell)[:1] not in {"=", "+", "-", "@", "\t", "\r"}


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_ids_and_labels_that_look_like_formulas_come_back_the_same(
    make_task: Callable[..., Workspace], tmp_path: Path, suffix: str
) -> None:
    names = [*RISKY, "=1+1 ", "007"]
    task = make_task(["=yes", "-no", "'=maybe", "@all"])
    project = filled(task, {f"{name}": ["-no"] for name in names}, {name: f"{name} is the text" for name in names})
    out = tmp_path / f"out{suffix}"
    assert project.export(out).records == len(names)
    if suffix == ".csv":
        with out.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        assert [cell for line in lines for cell in line if cell[:1] in {"=", "+", "-", "@", "\t"}] == []
        with (tmp_path / "back.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([line[0], line[2]] for line in lines)
    else:
        sheet = load_workbook(out).worksheets[0]
        kinds = {cell.data_type for line in sheet.iter_rows(max_col=3) for cell in line}
        assert kinds == {"s"}, "no cell is a formula"
        book = Book(write_only=True)
        back = book.create_sheet()
        for line in sheet.iter_rows():
            back.append([_as_it_is(back, line[place].value) for place in (0, 2)])
        book.save(tmp_path / "back.xlsx")
    done = project.import_review(tmp_path / f"back{suffix}", annotator="ann")
    assert (done.new, done.rejected) == (len(names), 0)
    found = project.responses()
    assert sorted(found["id"]) == sorted(names)
    assert set(found["label"]) == {"-no"}
    for label in ("=yes", "'=maybe", "@all"):
        cell = guarded(label) if suffix == ".csv" else label
        path = tmp_path / f"one{suffix}"
        if suffix == ".csv":
            path.write_text(f"id,label\n{guarded('=1+1')},{cell}\n")
        else:
            _write_sheet(path, [["id", "label"], ["=1+1", cell]])
        assert project.import_review(path, annotator=f"ann-{label}").new == 1
        assert project.responses().set_index("annotator").loc[f"ann-{label}", "label"] == label


def _as_it_is(sheet: Any, value: Any) -> Any:
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, value=value)
    if isinstance(value, str):
        cell.data_type = "s"
    return cell


def _write_sheet(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    book = Book(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append([_as_it_is(sheet, value) for value in row])
    book.save(path)


def test_machines_get_the_texts_as_they_are(make_task: Callable[..., Workspace], tmp_path: Path) -> None:
    project = filled(make_task(), {"a": ["positive"]}, {"a": "=1+1"})
    for name, format_ in (("a.csv", "autotrain"), ("a.jsonl", ""), ("a.parquet", ""), ("a.json", "label-studio")):
        project.export(tmp_path / name, format=format_)
    assert pd.read_csv(tmp_path / "a.csv")["text"].tolist() == ["=1+1"]
    assert pd.read_json(tmp_path / "a.jsonl", lines=True)["text"].tolist() == ["=1+1"]
    assert pd.read_parquet(tmp_path / "a.parquet")["text"].tolist() == ["=1+1"]
    assert json.loads((tmp_path / "a.json").read_text())[0]["data"]["text"] == "=1+1"


def test_what_xlsx_cannot_hold_is_said_and_the_rest_goes_on(
    make_task: Callable[..., Workspace], tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    texts = {"a": "bell \x07 rings", "b": "long " * 10_000, "c": "😀" * 16_384, "d\x01": "its id", "e": "a\r\nb"}
    project = filled(make_task(), {name: ["positive"] for name in texts}, texts)
    here = ("--task", project.workspace.root)
    said = tutelage("export", tmp_path / "out.xlsx", "--as", "review", *here).stdout
    assert "4 records; 1 left out: XLSX cannot hold their ids" in said
    assert "2 cells cut to 32767 characters" in said
    assert "control characters in 1 cells replaced" in said
    sheet = load_workbook(tmp_path / "out.xlsx").worksheets[0]
    found = {line[0]: line[1] for line in sheet.iter_rows(min_row=2, values_only=True)}
    assert (found["a"], found["e"]) == ("bell \ufffd rings", "a\nb")
    assert str(found["b"]).endswith(" [cut]")
    assert all(len(str(text).encode("utf-16-le")) <= 2 * 32_767 for text in found.values())
    assert str(found["c"]).startswith("😀😀")
    assert project.export(tmp_path / "out.csv").records == 5


# A review sheet


def test_a_review_sheet_is_filled_in_and_comes_back(
    project: Project, tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    take(project, [{"id": "b", "label": "neutral"}])
    out, here = tmp_path / "review.xlsx", ("--task", project.workspace.root)
    tutelage("export", out, "--as", "review", *here)
    book = load_workbook(out)
    sheet = book.worksheets[0]
    head, *lines = sheet.iter_rows(values_only=True)
    assert head == ("id", "text", "suggestion", "teacher", "label", "reason", "status")
    assert [line[0] for line in lines] == ["a", "c", "d"], "what is settled needs no review; the worst first"
    assert lines[0] == ("a", "text of a", "positive", "positive: 2 of 2\npositive for a", None, None, None)
    assert lines[1][2] is None, "where the votes tie nothing is suggested"
    assert sheet.freeze_panes == "A2"
    assert sheet.column_dimensions["B"].width > 40
    assert sheet["B2"].alignment.wrap_text
    lists = {str(each.sqref): each.formula1 for each in sheet.data_validations.dataValidation}
    assert lists == {"E2:E4": "choices!$E$1:$E$3", "G2:G4": "choices!$G$1:$G$3"}
    choices = book["choices"]
    assert choices.sheet_state == "hidden"
    assert [choices[f"E{n}"].value for n in (1, 2, 3)] == list(project.task.label_names)
    assert [choices[f"G{n}"].value for n in (1, 2, 3)] == ["submitted", "discarded", "draft"]
    unchanged = json.loads(tutelage("import-review", out, "--annotator", "bob", "--json", *here).stdout)
    assert (unchanged["rows"], unchanged["new"], unchanged["empty"]) == (3, 0, 3)
    sheet["E2"], sheet["F2"], sheet["G3"] = "negative", "=It fell", "discarded"
    book.save(out)
    said = tutelage("import-review", out, "--annotator", "bob", *here).stdout
    assert "3 rows by bob: 2 new answers, 0 changed, 0 there already, 1 rows not answered, 0 rejected" in said
    assert labels(project) == {
        "a": ("negative", "human", "reviewed"),
        "b": ("neutral", "human", "reviewed"),
        "c": (None, "human", "discarded"),
        "d": ("neutral", "teacher", "pending"),
    }
    assert json.loads(tutelage("rank", "--no-push", "--json", *here).stdout)["ranked"] == 1


def test_ids_that_a_spreadsheet_made_numbers_are_found(make_task: Callable[..., Workspace], tmp_path: Path) -> None:
    project = filled(make_task(), {"1": ["positive"], "20": ["positive"]})
    _write_sheet(tmp_path / "s.xlsx", [["id", "label"], [1, "neutral"], [None, None], [20.0, "neutral"]])
    done = project.import_review(tmp_path / "s.xlsx", annotator="ann")
    assert (done.rows, done.new) == (2, 2)


# Label Studio


def annotation(who: Any, label: str | None, reason: str = "", at: str = "2024-01-01T00:00:00Z", **more: Any) -> Any:
    result: list[dict[str, Any]] = []
    if label:
        result.append(
            {
                "id": "x1",
                "from_name": "label",
                "to_name": "text",
                "type": "choices",
                "origin": "manual",
                "value": {"choices": [label]},
            }
        )
    if reason:
        result.append(
            {"id": "x2", "from_name": "reason", "to_name": "text", "type": "textarea", "value": {"text": [reason]}}
        )
    about = {"id": 7, "completed_by": who, "was_cancelled": False, "ground_truth": False, "lead_time": 3.2}
    return {**about, "result": result, "created_at": at, "updated_at": at, **more}


def exported_by_label_studio(tasks: Sequence[Mapping[str, Any]], annotations: Mapping[str, Sequence[Any]]) -> str:
    """The tasks as Label Studio gives them back: with ids of its own, annotations, drafts and its columns."""
    return json.dumps(
        [
            {
                "id": number,
                "annotations": list(annotations.get(task["data"]["id"], [])),
                "drafts": [],
                "predictions": [5],
                "data": task["data"],
                "meta": {},
                "created_at": "2024-01-01T00:00:00Z",
                "updated_at": "2024-01-01T00:00:00Z",
                "project": 1,
                "total_annotations": 1,
                "cancelled_annotations": 0,
            }
            for number, task in enumerate(tasks, 101)
        ],
        indent=1,
    )


def test_tasks_for_label_studio_hold_the_suggestions_and_its_interface_the_labels(
    make_task: Callable[..., Workspace], tmp_path: Path
) -> None:
    project = filled(make_task(['a "b" & <c>', "two"]), {"x": ["two"], "y": ["two", 'a "b" & <c>'], "z": ["two"]})
    take(project, [{"id": "z", "label": "two"}])
    done = project.export(tmp_path / "tasks.json", format="label-studio")
    first, second = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    assert first == {
        "data": {"id": "x", "text": "text of x", "votes": "two: 1 of 1\ntwo for x"},
        "predictions": [
            {
                "model_version": "llm",
                "score": 0.01,
                "result": [
                    {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["two"]}},
                    {"from_name": "reason", "to_name": "text", "type": "textarea", "value": {"text": ["two for x"]}},
                ],
            }
        ],
    }
    assert "predictions" not in second, "the votes tie"
    assert done.interface == tmp_path / "tasks.xml"
    view = ET.parse(tmp_path / "tasks.xml").getroot()
    assert [each.get("value") for each in view.iter("Choice")] == list(project.task.label_names)
    names = {each.get("name"): each.get("toName") for each in view}
    assert {made["from_name"] for made in first["predictions"][0]["result"]} <= set(names)
    assert {each.get("value") for each in view.iter("Text")} == {f"${key}" for key in first["data"] if key != "id"}


def test_label_studio_there_and_back(
    project: Project, tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    project.export(tmp_path / "tasks.json", format="label-studio")
    tasks = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    older, newer = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"
    back = tmp_path / "project-1.json"
    given = {
        "a": [annotation(1, "neutral", at=newer), annotation(1, "positive", at=older)],
        "b": [annotation(1, "positive", "It rose."), annotation({"id": 2, "email": "bob@example.org"}, "positive")],
        "c": [annotation(1, None, was_cancelled=True)],
        "d": [annotation(1, None)],
    }
    back.write_text(exported_by_label_studio(tasks, given), "utf-8")
    here = ("--task", project.workspace.root)
    failed = tutelage("import-review", back, "--annotator", "ann", *here, ok=False)
    assert failed.returncode == 1
    assert "say who they are: --annotator 1=NAME --annotator bob@example.org=NAME" in failed.stderr
    people = ("--annotator", "1=ann", "--annotator", "bob@example.org=bob")
    done = json.loads(tutelage("import-review", back, *people, "--json", *here).stdout)
    assert (done["annotators"], done["rows"], done["new"], done["empty"]) == (["ann", "bob"], 5, 4, 1)
    assert labels(project) == {
        "a": ("neutral", "human", "reviewed"),
        "b": ("positive", "human", "reviewed"),
        "c": (None, "human", "discarded"),
        "d": ("neutral", "teacher", "pending"),
    }
    found = project.responses().set_index(["id", "annotator"])
    assert found.loc[("b", "ann"), "reason"] == "It rose."
    again = project.import_review(back, annotator={"1": "ann", "bob@example.org": "bob"})
    assert (again.new, again.changed, again.unchanged) == (0, 0, 4)


def test_bad_tasks_of_label_studio_are_rejected_one_by_one(project: Project, tmp_path: Path) -> None:
    two = annotation(1, "positive")
    two["result"][0]["value"]["choices"].append("negative")
    items = json.loads(exported_by_label_studio([{"data": {"id": "a"}}, {"data": {"id": "b"}}], {"a": [two]}))
    items[1]["annotations"] = [annotation(1, "positive")]
    items += [{"data": {"text": "no id"}, "annotations": [annotation(1, "positive")]}, 7]
    (tmp_path / "e.json").write_text(json.dumps(items))
    done = project.import_review(tmp_path / "e.json", annotator="ann")
    assert (done.new, done.rejected) == (1, 3)
    assert [why for _, why in rejects(project)] == [
        "has 2 labels",
        "is not a task with annotations and an id in its data",
        "is not a task with annotations and an id in its data",
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".csv"])
def test_answers_come_in_every_form(project: Project, tmp_path: Path, suffix: str) -> None:
    frame, path = pd.DataFrame([{"id": "a", "label": "neutral"}, {"id": "b", "label": None}]), tmp_path / f"f{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=suffix == ".jsonl")
    done = project.import_review(path, annotator="ann")
    assert (done.new, done.empty) == (1, 1)
