"""The demo as cron or a pipe would run it: the whole loop, and nothing left running."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess

import pandas as pd
from conftest import ROOT, SAMPLE_SIZE
from data_home import own_data_home

from tutelage.core.workspace import Workspace
from tutelage.feedback.server.lifecycle import find_server
from tutelage.loaders.gold import read_gold
from tutelage.steps.demo import dataset_names, make_workspace


def test_the_demo_goes_round_the_loop_and_stops_its_server(
    tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    env = own_data_home(tmp_path) | {"ARGILLA_API_URL": "http://127.0.0.1:1", "ARGILLA_API_KEY": "not for the demo"}
    done = tutelage("demo", "--dir", tmp_path / "demo", "--json", env=env)
    demo = json.loads(done.stdout)
    assert find_server(Path(env["XDG_DATA_HOME"]) / "tutelage" / "argilla") is None

    workspace = Workspace(Path(demo["directory"]))
    gold = read_gold(workspace.gold)
    assert demo["records"] + demo["holdout"] == len(gold) == SAMPLE_SIZE
    assert f"{demo['reviewed']} of {demo['records']} texts" in Path(demo["report"]).read_text("utf-8")
    assert demo["reviewed"] == round(demo["records"] / 10)
    assert demo["after"]["labels_right"] > demo["before"]["labels_right"]
    assert demo["comparison"]["verdict"] == "better"
    assert demo["comparison"]["rows"] == demo["holdout"]
    assert demo["before"]["student"]["rows"] == demo["after"]["student"]["rows"] == demo["holdout"]

    newest = (workspace.snapshots / "latest").read_text("utf-8").strip()
    snapshot = pd.read_parquet(workspace.snapshots / newest / "records.parquet")
    assert (snapshot.source == "human").sum() == demo["reviewed"]
    assert (snapshot.label == snapshot.id.map(gold)).mean() == demo["after"]["labels_right"]
    assert not set(snapshot.id) & {record_id for record_id in gold if workspace.task.holds_out(record_id)}


def test_a_second_demo_leaves_the_first_alone(tmp_path: Path) -> None:
    made = [make_workspace(tmp_path / "demo", {"other"}) for _ in range(2)]
    made.append(make_workspace(tmp_path / "elsewhere" / "demo", {"demo", "demo-2"}))  # of another directory
    made.append(make_workspace(tmp_path / "demo", {"demo-3"}))
    assert [workspace.root.name for workspace in made] == ["demo", "demo-2", "demo-3", "demo-4"]
    assert [workspace.task.dataset_name for workspace in made] == ["demo", "demo-2", "demo-3", "demo-4"]


def test_it_says_how_to_go_on_and_how_to_stop(tmp_path: Path) -> None:
    """On a terminal, where Argilla goes on running; a step that takes long is said while it runs."""
    env = {**os.environ, **own_data_home(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "tutelage"]
    try:
        shown = on_a_terminal([*command, "demo"], tmp_path, env)
        server = find_server(tmp_path / "data" / "tutelage" / "argilla")
        assert server
        assert f"sign in as {server.annotator} with password {server.annotator_password}" in shown
        assert "-m tutelage pull --task demo\r\n" in shown  # no tutelage on the path
        assert "-m tutelage down (all that is in it stays)" in shown
        assert re.search(r"(starting Argilla|waiting), 0:\d+", shown)
        assert re.search(r"reviewing in a person's place: \d+ of \d+ records", shown)
        assert "The student after the review is better than the one before: accuracy +" in shown
        assert dataset_names(server) == {"demo"}
        pulled = subprocess.run([*command, "pull", "--task", "demo"], cwd=tmp_path, env=env, check=False)
        assert pulled.returncode == 0
    finally:
        subprocess.run([*command, "down"], env=env, check=True, capture_output=True)


def on_a_terminal(command: list[str], cwd: Path, env: dict[str, str]) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the end, on Linux
            while read := os.read(ours, 65536):
                shown += read
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()
