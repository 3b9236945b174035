"""The demo as cron or a pipe would run it: the whole loop, and nothing left running."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pandas as pd
from data_home import own_data_home

from tutelage.core.workspace import Workspace
from tutelage.feedback.server.lifecycle import find_server
from tutelage.loaders.gold import read_gold


def test_the_demo_goes_round_the_loop_and_stops_its_server(
    tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    env = own_data_home(tmp_path) | {"ARGILLA_API_URL": "http://127.0.0.1:1", "ARGILLA_API_KEY": "not for the demo"}
    done = tutelage("demo", "--dir", tmp_path / "demo", "--json", env=env)
    demo = json.loads(done.stdout)
    assert find_server(Path(env["XDG_DATA_HOME"]) / "tutelage" / "argilla") is None

    workspace = Workspace(Path(demo["directory"]))
    gold = read_gold(workspace.gold)
    assert demo["records"] + demo["holdout"] == len(gold) == 360
    assert demo["reviewed"] == round(demo["records"] / 10)
    assert demo["after"]["labels_right"] > demo["before"]["labels_right"]
    assert demo["before"]["student"]["rows"] == demo["after"]["student"]["rows"] == demo["holdout"]

    newest = (workspace.snapshots / "latest").read_text("utf-8").strip()
    snapshot = pd.read_parquet(workspace.snapshots / newest / "records.parquet")
    assert (snapshot.source == "human").sum() == demo["reviewed"]
    assert (snapshot.label == snapshot.id.map(gold)).mean() == demo["after"]["labels_right"]
    assert not set(snapshot.id) & {record_id for record_id in gold if workspace.task.holds_out(record_id)}


def test_a_second_demo_leaves_the_first_alone(tmp_path: Path) -> None:
    from tutelage.steps.demo import make_workspace

    first = make_workspace(tmp_path / "demo")
    second = make_workspace(tmp_path / "demo")
    assert (first.root.name, second.root.name) == ("demo", "demo-2")
    assert first.task.dataset_name.startswith("demo-2")
