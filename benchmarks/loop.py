"""The loop on real votes: 1811 sentences with Mixtral's recorded answers, 119 of them wrong.

Runs the commands of the README against an embedded Argilla of its own and prints how many of the
wrong labels the ranking finds, what reviewing the first tenth is worth, and how long each step takes.

    python benchmarks/loop.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from _data import recorded_votes

from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.feedback.server.lifecycle import Server, down, up
from tutelage.loaders.gold import read_gold

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(5)
SHARES = (0.05, 0.10, 0.20)
VOTES = [*(f"sc_iter{i}:reason_iter{i}" for i in (1, 2, 3)), "label_llm"]


class Commands:
    """Runs commands on one task and one server, and keeps time."""

    def __init__(self, root: Path, server: Server) -> None:
        self._root, self._server = root, server
        lock = json.loads((server.data_dir / "server.lock").read_text("utf-8"))
        self._process = psutil.Process(lock["pid"])
        self.took: list[tuple[str, float, float]] = []

    def __call__(self, *words: str, step: str = "") -> dict[str, Any]:
        """The JSON that the command prints; ``step`` names it in the table."""
        environment = {**os.environ, "ARGILLA_API_URL": self._server.url, "ARGILLA_API_KEY": self._server.api_key}
        start, cpu = time.perf_counter(), self.server_cpu()
        command = [sys.executable, "-m", "tutelage", *words, "--task", str(self._root), "--json"]
        done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        self.took.append((step or words[0], time.perf_counter() - start, self.server_cpu() - cpu))
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def server_cpu(self) -> float:
        """Seconds of processor time that the server has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    data = recorded_votes()
    if data is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        server = up(Path(folder) / "argilla", port=0, on_progress=print)
        try:
            run(Workspace(Path(folder) / "task"), server, data)
        finally:
            down(server.data_dir)


def run(workspace: Workspace, server: Server, data: Path) -> None:
    make_task(workspace.root)
    command = Commands(workspace.root, server)
    votes = [word for vote in VOTES for word in ("--vote", vote)]
    given = ("--given", "label_llm_cot_multiple", "--gold", "label_experts", "--teacher", "mixtral")
    command("import", str(data), "--text", "text", *votes, *given)
    command("push")
    gold = read_gold(workspace.gold)
    print_found(command, workspace, gold)
    command("push", step="push ranks")
    with (
        ArgillaClient(server.url, server.api_key) as argilla,
        ArgillaClient(server.url, server.annotator_api_key) as person,
    ):
        argilla.add_annotator(workspace.task, server.annotator)
        dataset = argilla.dataset(workspace.task)
        assert dataset is not None
        answers = review(ScriptedAnnotator(person.remote, dataset), gold)
    pulled = command("pull")
    command("train", "--student", "linear")
    snapshot = pd.read_parquet(Path(pulled["path"]) / "records.parquet").set_index("id")
    came_home = snapshot[snapshot.source == "human"].label.to_dict()
    assert came_home == answers, "pull did not return exactly the answers given"
    print(f"\npull returned exactly the {len(answers)} answers given")
    right = [snapshot[column].eq(pd.Series(gold)).mean() for column in ("suggestion", "label")]
    print(f"label accuracy: {right[0]:.4f} before, {right[1]:.4f} after reviewing {len(answers)} of {len(snapshot)}")
    print_speed(command, len(snapshot))


def make_task(root: Path) -> None:
    root.mkdir()
    labels = "labels: [positive, neutral, negative]"
    (root / "task.yaml").write_text(f"name: investor-sentiment\n{labels}\n", "utf-8")


def print_found(command: Commands, workspace: Workspace, gold: dict[str, str]) -> None:
    """How many wrong suggestions stand among the first records, for each seed."""
    found = []
    for seed in reversed(SEEDS):  # the first seed's ranks are those that are pushed
        out = workspace.root / f"ranked-{seed}.parquet"
        command("rank", "--no-push", "--seed", str(seed), "--out", str(out))
        ranked = pd.read_parquet(out)
        wrong = (ranked.suggestion != ranked.id.map(gold)).to_numpy()
        found.append([wrong[: int(len(wrong) * share)].sum() for share in SHARES])
    print(f"\nwrong labels found, of {wrong.sum()} in {len(wrong)} records")
    print("seed  " + "".join(f"first {share:4.0%} ({int(len(wrong) * share)})   " for share in SHARES))
    for seed, row in zip(reversed(SEEDS), found, strict=True):
        print(f"{seed:4}  " + "".join(f"{count:16}" for count in row))
    print("mean  " + "".join(f"{mean:16.1f}" for mean in np.mean(found, axis=0)))


def review(annotator: ScriptedAnnotator, gold: dict[str, str]) -> dict[str, str]:
    """Answer the first tenth of the queue with gold, as the annotator."""
    answers = {}
    for record in annotator.queue(len(gold) // 10):
        answers[record["external_id"]] = gold[record["external_id"]]
        annotator.submit(record, gold[record["external_id"]])
    return answers


def print_speed(command: Commands, records: int) -> None:
    print(f"\n{'step':12} {'seconds':>8} {'server CPU s':>13} {'records/s':>10}   (whole command, with its start)")
    for step, seconds, cpu in command.took:
        print(f"{step:12} {seconds:8.2f} {cpu:13.2f} {records / seconds:10.0f}")


if __name__ == "__main__":
    main()
