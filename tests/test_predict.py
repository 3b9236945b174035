from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from training_data import sentences, small_task

from tutelage.core.arrays import Floats
from tutelage.core.errors import SourceError, StudentError
from tutelage.core.records import Progress
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.workspace import Workspace
from tutelage.loaders.sources import Source
from tutelage.training.prediction import windows
from tutelage.training.prediction.job import PredictionJob
from tutelage.training.prediction.kept import kept_of
from tutelage.training.prediction.outputs import sole_writer
from tutelage.training.prediction.predict import predict
from tutelage.training.registry import find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

ROWS = [{"id": f"r{i}", "text": text} for i, (text, _) in enumerate(sentences(95, seed=5))]
PROBS = ["prob_down", "prob_flat", "prob_up"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = small_task(tmp_path_factory.mktemp("task"), labels=["down", "flat", "up"])
    train(made, parse_student("linear"))
    return made


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "ROWS", 10)


def job(workspace: Workspace, source: Path | str, out: Path | str, **options: Any) -> PredictionJob:
    """A job that replaces what is there: most of these tests are about other things."""
    entry = find_student(workspace.students)
    options = {"force": True, **options}
    return PredictionJob(workspace=workspace, entry=entry, source=Source(str(source)), out=str(out), **options)


def expected(workspace: Workspace, texts: list[str]) -> Floats:
    return find_student(workspace.students).load().predict_proba(texts)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.usefixtures("small_windows")
def test_a_label_and_probabilities_for_every_row_in_order(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    done = predict(job(workspace, write_csv(ROWS), tmp_path / "out.parquet"))
    frame = pd.read_parquet(tmp_path / "out.parquet")
    probs = expected(workspace, [row["text"] for row in ROWS])
    assert list(frame.columns) == ["id", "text", "label", *PROBS]
    assert frame["id"].tolist() == [row["id"] for row in ROWS]
    assert np.abs(frame[PROBS].to_numpy() - probs).max() < 1e-6
    assert frame["label"].tolist() == [("down", "flat", "up")[i] for i in probs.argmax(axis=1)]
    assert (done.rows, done.rejected, done.kept, done.engine) == (95, 0, 0, "linear")
    assert done.labels == frame["label"].value_counts().to_dict()
    about = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"tutelage"])
    assert about["engine"] == "linear"
    assert about["student"] == find_student(workspace.students).id
    assert not (tmp_path / "out.parquet.parts").exists()


def test_every_format_in_and_out_says_the_same(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    sources = [write_csv(ROWS), write_jsonl(tmp_path / "in.jsonl", ROWS), tmp_path / "in.parquet"]
    pq.write_table(pa.Table.from_pylist(ROWS), sources[2])
    said = []
    for source in sources:
        for ending in ("csv", "jsonl", "parquet"):
            out = tmp_path / f"out.{ending}"
            predict(job(workspace, source, out))
            said.append(list(Source(str(out)).rows()))
    for rows in said:
        assert [row.cell("id") for row in rows] == [row["id"] for row in ROWS]
        assert [row.cell("label") for row in rows] == [row.cell("label") for row in said[0]]
        assert [float(row.cell("prob_up")) for row in rows] == [float(row.cell("prob_up")) for row in said[0]]
    assert json.loads((tmp_path / "out.csv.meta.json").read_text("utf-8"))["engine"] == "linear"


@pytest.mark.usefixtures("small_windows")
def test_bad_rows_go_to_rejects_and_the_rest_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    lines = [json.dumps(row).encode() for row in ROWS[:30]]
    lines[3], lines[11], lines[12] = b"{not json", b'{"id": "r11", "text": "  "}', b'{"id": "r12"}'
    lines[20] = b'{"id": "r20", "text": "caf\xe9", "gold": "up"}'
    lines[21] = b'{"id": "r21", "text": "half \\ud800 pair", "gold": "up"}'
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join(lines))
    done = predict(job(workspace, source, tmp_path / "out.csv"))
    bad = {3, 11, 12, 20, 21}
    kept = [row["id"] for i, row in enumerate(ROWS[:30]) if i not in bad]
    assert pd.read_csv(tmp_path / "out.csv")["id"].tolist() == kept
    assert (done.rows, done.rejected) == (25, 5)
    rejects = [json.loads(line) for line in workspace.rejects.read_text("utf-8").splitlines()]
    mine = [reject for reject in rejects if reject["source"] == str(source)]
    assert [reject["row"] for reject in mine] == [4, 12, 13, 21, 22]
    assert all("gold" not in reject["values"] for reject in mine)
    assert "has no text" in mine[1]["reason"]


KEPT = pa.table(
    {
        "n": pa.array([7, None, -1], pa.int16()),
        "text": ["profit rose", "sales fell", "office is in Oslo"],
        "day": pa.array([date(2024, 2, 29), None, date(1, 1, 1)]),
        "at": pa.array([0, 1, None], pa.timestamp("ns", "Europe/Oslo")),
        "tags": pa.array([["a", None], [], None], pa.list_(pa.string())),
        "place": pa.array([{"x": 1.5}, None, {"x": None}]),
        "kind": pa.array(["b", "a", None]).cast(pa.dictionary(pa.int8(), pa.string())),
        "raw": pa.array([b"\xff\x00", b"ok", None]),
        "price": pa.array([Decimal("1.10"), None, Decimal("2.00")]),
        "share": pa.array([0.1, float("nan"), None]),
        "took": pa.array([timedelta(minutes=1), None, None]),
        "nothing": pa.nulls(3),
    }
)


@pytest.mark.usefixtures("small_windows")
def test_parquet_keeps_every_type(workspace: Workspace, tmp_path: Path) -> None:
    table = pa.concat_tables([KEPT] * 9)  # several windows
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=4)
    predict(job(workspace, tmp_path / "in.parquet", tmp_path / "out.parquet"))
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column_names == [*KEPT.column_names, "label", *PROBS]
    kept = out.select(KEPT.column_names).cast(KEPT.schema)  # a list's item may have another name
    assert [str(kind) for kind in out.schema.types[:4]] == ["int16", "string", "date32[day]", str(KEPT.schema.types[3])]
    assert out.schema.field("kind").type == KEPT.schema.field("kind").type
    for name in KEPT.column_names:
        assert str(kept[name].to_pylist()) == str(table[name].to_pylist()), name


def test_what_csv_and_json_have_no_type_for_becomes_text(workspace: Workspace, tmp_path: Path) -> None:
    pq.write_table(KEPT, tmp_path / "in.parquet")
    predict(job(workspace, tmp_path / "in.parquet", tmp_path / "out.csv"))
    predict(job(workspace, tmp_path / "in.parquet", tmp_path / "out.jsonl"))
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = next(csv.DictReader(file))
    assert cells["n"] == "7"
    assert cells["day"] == "2024-02-29"
    assert cells["tags"] == '["a", null]'
    assert cells["place"] == '{"x": 1.5}'
    assert cells["price"] == "1.10"
    assert cells["took"] == "0:01:00"
    rows = [
        json.loads(line, parse_constant=pytest.fail)
        for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    ]
    assert rows[0]["n"] == 7
    assert rows[0]["day"] == "2024-02-29"
    assert rows[0]["at"].startswith("1970-01-01T01:00:00")
    assert rows[0]["tags"] == ["a", None]
    assert rows[0]["raw"] == "/wA="
    assert rows[1]["raw"] == "ok"
    assert rows[1]["share"] is None


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_csv_stays_as_it_is_to_the_letter(workspace: Workspace, tmp_path: Path, ending: str) -> None:
    rows = [["007", "1.50", "profit rose", ""], [" x ", "NA", 'he said "so",\nthen left', "null"]]
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["code", "price", "text", "note"], *rows])
    out = tmp_path / f"out.{ending}"
    predict(job(workspace, tmp_path / "in.csv", out))
    assert [[row.cell(name) for name in ("code", "price", "text", "note")] for row in Source(str(out)).rows()] == rows
    if ending == "parquet":
        assert set(map(str, pq.read_schema(out).types[:4])) == {"string"}


@pytest.mark.usefixtures("small_windows")
def test_json_keeps_its_values_and_late_keys(workspace: Workspace, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "profit rose", "n": 2**70, "f": 1, "deep": {"a": [1, None]}, "e": {}}]
    rows += [{"text": "sales fell", "f": 2} for _ in range(1200)]
    rows += [{"n": "\ud800", "text": "profit fell", "late": True, "f": 0.5, "deep": {"b": "x"}}]
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    for ending in ("jsonl", "parquet", "csv"):
        predict(job(workspace, source, tmp_path / f"out.{ending}"))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [list(line) for line in (lines[0], lines[1], lines[-1])] == [
        [*row, "label", *PROBS] for row in (rows[0], rows[1], rows[-1])
    ]
    assert [{key: line[key] for key in row} for line, row in zip(lines, rows, strict=True)] == rows
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["text", "n", "f", "deep", "e", "late", "label", *PROBS]
    assert table["n"].to_pylist()[:2] == [str(2**70), None]
    assert table["f"].to_pylist() == [1.0, *[2.0] * 1200, 0.5]
    assert table["deep"].to_pylist()[0] == {"a": [1, None], "b": None}
    assert table["late"].to_pylist()[-2:] == [None, True]
    assert table["e"].to_pylist()[0] == "{}"
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = next(csv.DictReader(file))
    assert json.loads(cells["deep"]) == {"a": [1, None], "b": None}


def test_columns_are_chosen(workspace: Workspace, tmp_path: Path) -> None:
    rows = [{"id": f"{i:03}", "text": row["text"], "more, and": i} for i, row in enumerate(ROWS[:4])]
    write_jsonl(tmp_path / "in.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    pd.DataFrame(rows).to_csv(tmp_path / "in.csv", index=False)
    for source in ("in.jsonl", "in.parquet", "in.csv"):
        for columns in (("more, and", "id"), ("id", "id"), ()):
            predict(job(workspace, tmp_path / source, tmp_path / "out.csv", columns=columns))
            with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
                header, *lines = csv.reader(file)
            assert header == [*dict.fromkeys(columns), "label", *PROBS]
            assert len(lines) == 4
    given, out = str(tmp_path / "in.jsonl"), str(tmp_path / "cli.jsonl")
    command = [sys.executable, "-m", "tutelage", "predict", given, out, "--task", str(workspace.root)]
    subprocess.run([*command, "--columns", 'id, "more, and"'], cwd=ROOT, check=True, capture_output=True)
    assert list(json.loads(Path(out).read_text("utf-8").splitlines()[0])) == ["id", "more, and", "label", *PROBS]
    subprocess.run([*command, "--columns", "", "--force"], cwd=ROOT, check=True, capture_output=True)
    assert list(json.loads(Path(out).read_text("utf-8").splitlines()[0])) == ["label", *PROBS]


def test_a_column_that_cannot_stand_in_the_output_is_refused_before_any_work(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "profit rose", "label": "x", "prob_up": 1, "n": 1}])
    with pytest.raises(SourceError, match=r"has 'label' and 'prob_up', which OUT .* --columns 'text,n'"):
        predict(job(workspace, source, tmp_path / "out.csv"))
    with pytest.raises(SourceError, match=r"no column 'm'; its columns: text, label, prob_up, n\. .*--columns"):
        predict(job(workspace, source, tmp_path / "out.csv", columns=("m", "n")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]
    assert predict(job(workspace, source, tmp_path / "out.csv", columns=("n",))).rows == 1


def test_a_key_that_clashes_late_is_one_bad_row(workspace: Workspace, tmp_path: Path) -> None:
    rows = [{"text": "profit rose"}] * 1200 + [{"text": "sales fell", "label": "x"}]
    source = write_jsonl(tmp_path / "late.jsonl", rows)
    done = predict(job(workspace, source, tmp_path / "out.csv"))
    assert (done.rows, done.rejected) == (1200, 1)
    assert "name the columns to keep with --columns" in workspace.rejects.read_text("utf-8").splitlines()[-1]


def test_an_output_that_is_there_is_replaced_with_force_only(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    source, out = write_csv(ROWS[:3]), tmp_path / "out.csv"
    out.write_text("mine", "utf-8")
    with pytest.raises(SourceError, match=r"out\.csv: is there already; .*--force"):
        predict(job(workspace, source, out, force=False))
    assert out.read_text("utf-8") == "mine"
    assert predict(job(workspace, source, out)).rows == 3
    assert out.read_text("utf-8") != "mine"


def test_class_labels_of_a_dataset_keep_their_names(workspace: Workspace, tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "topic": datasets.ClassLabel(names=["a", "b"])})
    data = datasets.Dataset.from_dict({"text": ["profit rose", "sales fell", "x"], "topic": [1, 0, -1]}, features)
    data.to_parquet(tmp_path / "data" / "train.parquet")
    predict(job(workspace, f"hf://{tmp_path / 'data'}", tmp_path / "out.parquet"))
    assert pq.read_table(tmp_path / "out.parquet")["topic"].to_pylist() == ["b", "a", None]


def test_many_rejects_need_little_memory(tmp_path: Path) -> None:
    rows = [Reject(source="file", row=i, reason="x" * 1000) for i in range(5000)]
    Rejects(tmp_path / "rejects.jsonl").add(rows)
    size = (tmp_path / "rejects.jsonl").stat().st_size
    tracemalloc.start()
    again = Rejects(tmp_path / "rejects.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    again.add(rows)
    assert (tmp_path / "rejects.jsonl").stat().st_size == size
    assert peak < size / 5


def test_a_column_that_nobody_asked_for_may_hold_anything(workspace: Workspace, tmp_path: Path) -> None:
    times = pa.array([1 << 62, 0], pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["profit rose", "sales fell"], "time": times}), tmp_path / "in.parquet")
    for ending in ("parquet", "csv", "jsonl"):
        done = predict(job(workspace, tmp_path / "in.parquet", tmp_path / f"out.{ending}"))
        assert (done.rows, done.rejected) == (2, 0)
    assert pq.read_table(tmp_path / "out.parquet")["time"].combine_chunks() == times


@pytest.mark.usefixtures("small_windows")
def test_finished_parts_are_kept_and_changed_rows_are_not(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    source, out = write_csv(ROWS), tmp_path / "out.parquet"
    whole = predict(job(workspace, source, out))
    first = out.read_bytes()
    done = broken(job(workspace, source, out), after=4)
    assert out.read_bytes() == first  # the old one stands until the new one is whole
    again = predict(job(workspace, source, out))
    assert (again.kept, again.rows, done) == (40, 95, 4)
    assert out.read_bytes() == first
    broken(job(workspace, source, out), after=4)
    changed = [*ROWS[:12], {"id": "r12", "text": "another text"}, *ROWS[13:25], {**ROWS[25], "id": "another"}]
    other = predict(job(workspace, write_csv([*changed, *ROWS[26:]]), out))
    assert other.kept == 20  # not the windows with the changed rows
    assert whole.labels.keys() == {"down", "flat", "up"}


class BrokenError(Exception):
    pass


def broken(work: PredictionJob, after: int) -> int:
    """A run that dies after so many windows; returns how many parts it left."""
    seen = iter(range(after))

    def progress(_state: Progress) -> None:
        if next(seen, None) is None:
            raise BrokenError

    with pytest.raises(BrokenError):
        predict(work, progress=progress)
    parts = sorted(Path(f"{work.out}.parts").glob("*.parquet"))
    for part in parts[after:]:
        part.unlink()
    return len(parts[:after])


def test_killed_and_run_again_the_result_is_the_same(workspace: Workspace, tmp_path: Path) -> None:
    rows = [{"text": text} for text, _ in sentences(300, seed=6)] * 150
    source, out = write_jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out.csv"
    command = [sys.executable, "-m", "tutelage", "predict", str(source), str(out), "--task", str(workspace.root)]
    killed = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out.csv.parts/0*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not out.exists()
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert summary["kept"] >= windows.ROWS
    assert summary["rows"] == len(rows)
    straight = predict(job(workspace, source, tmp_path / "straight.csv"))
    assert straight.kept == 0
    assert out.read_bytes() == (tmp_path / "straight.csv").read_bytes()


def test_one_predict_at_a_time_writes_an_output(workspace: Workspace, tmp_path: Path) -> None:
    source, out = write_jsonl(tmp_path / "in.jsonl", [{"text": "profit rose"}]), str(tmp_path / "out.csv")
    job = PredictionJob(
        workspace=workspace, entry=find_student(workspace.students), source=Source(str(source)), out=out
    )
    with sole_writer(out), pytest.raises(SourceError, match=r"out\.csv: another predict is writing it"):
        predict(job)
    assert predict(job).rows == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.csv", "out.csv.meta.json"]


def test_a_source_without_one_good_row_is_no_success(workspace: Workspace, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": ""}, {"text": " "}])
    command = [sys.executable, "-m", "tutelage", "predict", str(source), str(tmp_path / "out.csv")]
    done = subprocess.run(
        [*command, "--task", str(workspace.root)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"2 bad rows in {workspace.rejects}" in done.stdout


def test_plain_lines_are_numbered_as_in_the_file(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "tutelage", "predict", "-", "-", "--task", str(workspace.root)]
    done = subprocess.run(
        command, cwd=ROOT, input="profit rose\n\nprofit fell\n", capture_output=True, text=True, check=True
    )
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["profit rose", "profit fell"]
    assert "1 bad rows" in done.stderr
    rejects = map(json.loads, workspace.rejects.read_text("utf-8").splitlines())
    assert [reject["row"] for reject in rejects if reject["source"] == "-"] == [2]


def test_standard_input_to_standard_output(workspace: Workspace) -> None:
    def run(given: bytes, *words: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "tutelage", "predict", "-", "-", "--task", str(workspace.root), *words]
        done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, check=True)
        assert b"linear" in done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    plain = run(b"profit rose by 3 euros\n\nsales fell by 4 euros\n")
    assert [row["label"] for row in plain] == ["up", "down"]
    assert list(plain[0]) == ["text", "label", *PROBS]
    rows = run(b'{"n": 7, "body": "sales fell by 4 euros"}\n{"n": [8.5], "body": "\\u00e9"}\n', "--text", "body")
    assert [list(row.items())[:2] for row in rows] == [
        [("n", 7), ("body", "sales fell by 4 euros")],
        [("n", [8.5]), ("body", "é")],
    ]
    assert rows[0]["prob_down"] == plain[1]["prob_down"]


def test_a_dataset_through_the_hubs_library(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_jsonl(folder / "test.jsonl", ROWS[:7])
    source = Source(f"hf://{folder}", split="test")
    done = predict(
        PredictionJob(
            workspace=workspace,
            entry=find_student(workspace.students),
            source=source,
            out=str(tmp_path / "out.csv"),
            text="text",
        )
    )
    assert done.rows == 7


def test_what_cannot_be_is_said_before_any_work(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    source = write_csv(ROWS[:3])
    with pytest.raises(SourceError, match=r"\.parquet, \.csv or \.jsonl"):
        predict(job(workspace, source, tmp_path / "out.xlsx"))
    with pytest.raises(SourceError, match="is also IN"):
        predict(job(workspace, source, source))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SourceError, match=r"folder\.csv: is a directory"):
        predict(job(workspace, source, tmp_path / "folder.csv"))
    with pytest.raises(SourceError, match=r"rows\.csv is not writable; choose another directory for OUT"):
        predict(job(workspace, source, source / "out.csv"))
    with pytest.raises(SourceError, match=r"no column 'body'; its columns: id, text.*--text"):
        predict(job(workspace, source, tmp_path / "out.csv", text="body"))
    with pytest.raises(StudentError, match="linear student needs no engine"):
        predict(job(workspace, source, tmp_path / "out.csv"), "onnx")
    entry = find_student(workspace.students)
    other = replace(entry, manifest=replace(entry.manifest, labels=("up", "flat", "down")))
    with pytest.raises(StudentError, match="was trained on the labels"):
        predict(
            PredictionJob(workspace=workspace, entry=other, source=Source(str(source)), out=str(tmp_path / "out.csv"))
        )


def test_a_source_without_one_good_row_gives_an_empty_output(workspace: Workspace, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": " "}])
    done = predict(job(workspace, source, tmp_path / "out.csv"))
    assert (done.rows, done.rejected) == (0, 1)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["text", "label", *PROBS]]


def test_windows_end_at_rows_and_at_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "ROWS", 3)
    monkeypatch.setattr(windows, "CHARACTERS", 10)
    texts = ["a", "b", "c", "d", "eeeeeeeeee", "f", "gg"]
    source = Source(str(write_jsonl(tmp_path / "in.jsonl", [{"text": text} for text in texts])))
    found = list(windows.windows(source, "text", kept_of(source, None, []), [].append))
    assert [window.texts for window in found] == [("a", "b", "c"), ("d", "eeeeeeeeee"), ("f", "gg")]
    assert [window.number for window in found] == [0, 1, 2]
    assert len({window.digest for window in found}) == 3
    monkeypatch.setattr(windows, "KEPT_BYTES", 39)  # three objects such as {"text": "a"}
    monkeypatch.setattr(windows, "ROWS", 100)
    found = list(windows.windows(source, "text", kept_of(source, None, []), [].append))
    assert found[0].texts == ("a", "b", "c")


def test_gold_is_not_opened(workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    hidden = workspace.gold.with_name("hidden")
    workspace.gold.rename(hidden)
    try:
        assert predict(job(workspace, write_csv(ROWS[:5]), tmp_path / "out.csv")).rows == 5
    finally:
        hidden.rename(workspace.gold)
