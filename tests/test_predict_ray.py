"""The real Ray, with two workers of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from training_data import sentences, small_task

from loaders.sources import Source
from training.predict import Job, predict
from training.recipe import parse_student
from training.registry import find
from training.train import train
from tutelage.errors import StudentError
from tutelage.workspace import Workspace

CODE = """
import sys
predict_rows.ROWS = 2000
from tutelage.cli import main
main()
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = small_task(tmp_path_factory.mktemp("task"))
    train(made, parse_student("linear"), None, lambda _words: None)
    return made


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A cluster with two workers, started as an administrator would."""
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    places = ["--temp-dir", str(Path("/tmp") / f"ray-{tmp_path.parent.name}"), "--object-store-memory", "100000000"]
    head = [*ray, "start", "--head", "--block", "--port", "6391", "--num-cpus", "2", "--include-dashboard", "false"]
    with subprocess.Popen([*head, *places], env=env, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout is not None
        assert any("Ray runtime started" in line for line in cluster.stdout)
        yield "127.0.0.1:6391"
        cluster.send_signal(signal.SIGTERM)


def workers() -> list[int]:
    """Processes that hold a student for Ray Data."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_text("utf-8", "replace")
        except OSError:
            continue
        if title.startswith("ray::") and "MapWorker" in title:
            found.append(int(path.parent.name))
    return found


@pytest.mark.long
def test_a_worker_is_killed_and_the_result_is_the_same(workspace: Workspace, tmp_path: Path, address: str) -> None:
    rows = [{"id": i, "text": text} for i, (text, _) in enumerate(sentences(300, seed=6) * 150)]
    rows[7]["text"] = " "
    source, out = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    options = ["--id", "id", "--engine", "ray", "--json", "--task", str(workspace.root)]
    command = [sys.executable, "-c", CODE, "predict", str(source), str(out), *options]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": address}, stdout=subprocess.PIPE, text=True
    ) as run:
        deadline = time.monotonic() + 300
        while not (list(tmp_path.glob("out.parquet.parts/*.parquet")) and workers()):
            assert run.poll() is None, "ended before a worker could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(workers()[0], signal.SIGKILL)
        unfinished = len(list(tmp_path.glob("out.parquet.parts/*.rows")))
        done = json.loads(run.communicate(timeout=300)[0])
    assert unfinished > 1
    assert (done["rows"], done["rejected"], done["engine"]) == (len(rows) - 1, 1, "ray, linear")
    assert not out.with_name("out.parquet.parts").exists()
    straight = tmp_path / "straight.parquet"
    predict(Job(workspace, find(workspace.students), Source(str(source)), str(straight), "text", "id"))
    assert table(out) == table(straight)


def table(path: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return rows


def test_what_ray_cannot_do_is_said(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "profit rose"}\n', "utf-8")
    job = Job(workspace, find(workspace.students), Source(str(source)), "-")
    with pytest.raises(StudentError, match="name one as OUT"):
        predict(job, "ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StudentError, match=r"pip install 'tutelage\[ray\]'"):
        predict(Job(workspace, job.entry, job.source, str(tmp_path / "out.csv")), "ray")
