"""The real Ray, with two workers of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from conftest import ROOT
from training_data import sentences, small_task

from tutelage.core.errors import StudentError
from tutelage.core.workspace import Workspace
from tutelage.loaders.sources import Source
from tutelage.training.prediction.job import PredictionJob
from tutelage.training.prediction.predict import predict
from tutelage.training.registry import find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

CODE = """
from tutelage.training.prediction import windows
windows.ROWS = 2000
from tutelage.commands.cli import main
main()
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = small_task(tmp_path_factory.mktemp("task"))
    train(made, parse_student("linear"))
    return made


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A cluster with two workers, started as an administrator would; yields the environment that reaches it."""
    port = free_port()
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid4().hex, "RAY_USAGE_STATS_ENABLED": "0"}
    env = {**os.environ, **secret, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"]
    command += ["--node-ip-address", "127.0.0.1", "--port", str(port), "--include-dashboard", "false"]
    command += ["--temp-dir", f"/tmp/ray-{uuid4().hex[:8]}", "--object-store-memory", "100000000"]
    with (tmp_path / "ray.log").open("w+") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as head:
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in (tmp_path / "ray.log").read_text("utf-8"):
            assert head.poll() is None, (tmp_path / "ray.log").read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield {**os.environ, **secret, "RAY_ADDRESS": f"127.0.0.1:{port}"}
        head.send_signal(signal.SIGTERM)
    shutil.rmtree(command[command.index("--temp-dir") + 1], ignore_errors=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


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
def test_a_worker_is_killed_and_the_result_is_the_same(
    workspace: Workspace, tmp_path: Path, cluster: dict[str, str]
) -> None:
    rows = [{"id": i, "text": text, "tags": [text[:3], i]} for i, (text, _) in enumerate(sentences(300, seed=6) * 150)]
    rows[7]["text"] = " "
    source, out = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    options = ["--engine", "ray", "--min-probability", "0.9", "--json", "--task", str(workspace.root)]
    command = [sys.executable, "-c", CODE, "predict", str(source), str(out), *options]
    with subprocess.Popen(command, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 300
        while not (list(tmp_path.glob("out.parquet.parts/*.parquet")) and workers()):
            assert run.poll() is None, "the run ended before a worker could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(workers()[0], signal.SIGKILL)
        unfinished = len(list(tmp_path.glob("out.parquet.parts/*.rows")))
        done = json.loads(run.communicate(timeout=300)[0])
    assert unfinished > 1
    assert (done["rows"], done["rejected"], done["engine"]) == (len(rows) - 1, 1, "ray, linear")
    assert not out.with_name("out.parquet.parts").exists()
    straight = tmp_path / "straight.parquet"
    predict(
        PredictionJob(
            workspace=workspace,
            entry=find_student(workspace.students),
            source=Source(str(source)),
            out=str(straight),
            text="text",
            min_probability=0.9,
        )
    )
    assert table(out) == table(straight)
    assert done["abstained"] == sum(row["label"] is None for row in table(out)) > 0


def table(path: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return rows


def test_what_ray_cannot_do_is_said(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "profit rose"}\n', "utf-8")
    job = PredictionJob(
        workspace=workspace, entry=find_student(workspace.students), source=Source(str(source)), out="-"
    )
    with pytest.raises(StudentError, match="pass one as OUT"):
        predict(job, "ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StudentError, match=r"pip install 'tutelage\[ray\]'"):
        predict(
            PredictionJob(workspace=workspace, entry=job.entry, source=job.source, out=str(tmp_path / "out.csv")), "ray"
        )
