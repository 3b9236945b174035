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


def job(workspace: Workspace, source: Path | str, out: Path | str, **columns: str) -> PredictionJob:
    return PredictionJob(
        workspace=workspace, entry=find_student(workspace.students), source=Source(str(source)), out=str(out), **columns
    )


def expected(workspace: Workspace, texts: list[str]) -> Floats:
    return find_student(workspace.students).load().predict_proba(texts)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.usefixtures("small_windows")
def test_a_label_and_probabilities_for_every_row_in_order(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    done = predict(job(workspace, write_csv(ROWS), tmp_path / "out.parquet", id="id"))
    frame = pd.read_parquet(tmp_path / "out.parquet")
    probs = expected(workspace, [row["text"] for row in ROWS])
    assert list(frame.columns) == ["id", "label", *PROBS]
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
            predict(job(workspace, source, out, id="id"))
            said.append(list(Source(str(out)).rows()))
    for rows in said:
        assert [row.cell("id") for row in rows] == [row["id"] for row in ROWS]
        assert [row.cell("label") for row in rows] == [row.cell("label") for row in said[0]]
        assert [float(row.cell("prob_up")) for row in rows] == [float(row.cell("prob_up")) for row in said[0]]
    assert json.loads((tmp_path / "out.csv.meta.json").read_text("utf-8"))["engine"] == "linear"


@pytest.mark.usefixtures("small_windows")
def test_bad_rows_go_to_rejects_and_the_rest_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    lines = [json.dumps(row).encode() for row in ROWS[:30]]
    lines[3], lines[11], lines[12] = b"{not json", b'{"id": "r11", "text": "  "}', b'{"id": "", "text": "profit rose"}'
    lines[20] = b'{"id": "r20", "text": "caf\xe9", "gold": "up"}'
    lines[21] = b'{"id": "r21", "text": "half \\ud800 pair", "gold": "up"}'
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join(lines))
    done = predict(job(workspace, source, tmp_path / "out.csv", id="id"))
    bad = {3, 11, 12, 20, 21}
    kept = [row["id"] for i, row in enumerate(ROWS[:30]) if i not in bad]
    assert pd.read_csv(tmp_path / "out.csv")["id"].tolist() == kept
    assert (done.rows, done.rejected) == (25, 5)
    rejects = [json.loads(line) for line in workspace.rejects.read_text("utf-8").splitlines()]
    mine = [reject for reject in rejects if reject["source"] == str(source)]
    assert [reject["row"] for reject in mine] == [4, 12, 13, 21, 22]
    assert all("gold" not in reject["values"] for reject in mine)
    assert "has no text" in mine[1]["reason"]


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
    done = predict(job(workspace, tmp_path / "in.parquet", tmp_path / "out.csv"))
    assert (done.rows, done.rejected) == (2, 0)


def test_without_an_id_column_the_id_is_the_row_of_the_source(workspace: Workspace, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "profit rose"}, {"text": ""}, {"text": "profit fell"}])
    predict(job(workspace, source, tmp_path / "out.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["1", "3"]


@pytest.mark.usefixtures("small_windows")
def test_finished_parts_are_kept_and_changed_rows_are_not(
    workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    source, out = write_csv(ROWS), tmp_path / "out.parquet"
    whole = predict(job(workspace, source, out, id="id"))
    first = out.read_bytes()
    done = broken(job(workspace, source, out, id="id"), after=4)
    assert out.read_bytes() == first  # the old one stands until the new one is whole
    again = predict(job(workspace, source, out, id="id"))
    assert (again.kept, again.rows, done) == (40, 95, 4)
    assert out.read_bytes() == first
    broken(job(workspace, source, out, id="id"), after=4)
    changed = [*ROWS[:12], {"id": "r12", "text": "another text"}, *ROWS[13:]]
    other = predict(job(workspace, write_csv(changed), out, id="id"))
    assert other.kept == 30  # not the window with the changed row
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
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["1", "3"]
    assert "1 bad rows" in done.stderr


def test_standard_input_to_standard_output(workspace: Workspace) -> None:
    def run(given: bytes, *words: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "tutelage", "predict", "-", "-", "--task", str(workspace.root), *words]
        done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, check=True)
        assert b"linear" in done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    plain = run(b"profit rose by 3 euros\n\nsales fell by 4 euros\n")
    assert [(row["id"], row["label"]) for row in plain] == [("1", "up"), ("3", "down")]
    rows = run(
        b'{"n": 7, "body": "sales fell by 4 euros"}\n{"n": 8, "body": "\\u00e9"}\n', "--text", "body", "--id", "n"
    )
    assert [row["id"] for row in rows] == ["7", "8"]
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
            id="id",
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
        assert list(csv.reader(file)) == [["id", "label", *PROBS]]


def test_windows_end_at_rows_and_at_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "ROWS", 3)
    monkeypatch.setattr(windows, "CHARACTERS", 10)
    texts = ["a", "b", "c", "d", "eeeeeeeeee", "f", "gg"]
    source = Source(str(write_jsonl(tmp_path / "in.jsonl", [{"text": text} for text in texts])))
    found = list(windows.windows(source, "text", "", [].append))
    assert [window.texts for window in found] == [("a", "b", "c"), ("d", "eeeeeeeeee"), ("f", "gg")]
    assert [window.number for window in found] == [0, 1, 2]
    assert len({window.digest for window in found}) == 3


def test_gold_is_not_opened(workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    hidden = workspace.gold.with_name("hidden")
    workspace.gold.rename(hidden)
    try:
        assert predict(job(workspace, write_csv(ROWS[:5]), tmp_path / "out.csv")).rows == 5
    finally:
        hidden.rename(workspace.gold)
