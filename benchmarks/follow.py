"""What ``rank --follow`` costs those who answer: the time that a submitted answer takes, with it and without.

Runs an embedded Argilla of its own with the recorded votes, and submits answers at an even pace as the page does, in
blocks with and without ``rank --follow`` by turns, so that both meet the same machine. Prints the median and the 95th
percentile of a submit, and what was read, moved and spent in a turn.

    python benchmarks/follow.py
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _data import recorded_votes
from loop import ROOT, VOTES, Commands, make_task

from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.feedback.server.lifecycle import Server, down, up
from tutelage.loaders.gold import read_gold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=4, help="Blocks of each kind.")
    parser.add_argument("--answers", type=int, default=75, help="Answers in a block.")
    parser.add_argument("--pace", type=float, default=0.2, help="Seconds from one answer to the next.")
    options = parser.parse_args()
    data = recorded_votes()
    if data is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        server = up(Path(folder) / "argilla", port=0, on_progress=print)
        try:
            run(Workspace(Path(folder) / "task"), server, data, options)
        finally:
            down(server.data_dir)


def run(workspace: Workspace, server: Server, data: Path, options: argparse.Namespace) -> None:
    make_task(workspace.root)
    command = Commands(workspace.root, server)
    votes = [word for vote in VOTES for word in ("--vote", vote)]
    given = ("--given", "label_llm_cot_multiple", "--gold", "label_experts", "--teacher", "mixtral")
    command("import", str(data), "--text", "text", *votes, *given)
    command("push")
    command("rank")
    gold = read_gold(workspace.gold)
    took: dict[bool, list[float]] = {True: [], False: []}
    ends = list[dict[str, Any]]()
    with (
        ArgillaClient(server.url, server.api_key) as argilla,
        ArgillaClient(server.url, server.annotator_api_key) as person,
    ):
        argilla.add_annotator(workspace.task, server.annotator)
        dataset = argilla.dataset(workspace.task)
        assert dataset is not None
        annotator = ScriptedAnnotator(person.remote, dataset)
        for block in range(2 * options.blocks):
            is_on = block % 2 == 1
            with followed(workspace, server, ends) if is_on else at_rest():
                took[is_on] += submits(annotator, gold, options)
    show(took, ends, options)


def submits(annotator: ScriptedAnnotator, gold: dict[str, str], options: argparse.Namespace) -> Iterator[float]:
    """The seconds that each submit takes; ten records are asked for at a time, as by the page."""
    cards = list[dict[str, Any]]()
    for _ in range(options.answers):
        cards = cards or annotator.queue(10)
        record, start = cards.pop(0), time.perf_counter()
        annotator.submit(record, gold[record["external_id"]])
        yield (seconds := time.perf_counter() - start)
        time.sleep(max(0.0, options.pace - seconds))


@contextmanager
def followed(workspace: Workspace, server: Server, ends: list[dict[str, Any]]) -> Iterator[None]:
    """While ``rank --follow`` is at work, from its first ranking on."""
    environment = {**os.environ, "ARGILLA_API_URL": server.url, "ARGILLA_API_KEY": server.api_key}
    words = [sys.executable, "-m", "tutelage", "rank", "--follow", "--json", "--task", str(workspace.root)]
    process = subprocess.Popen(
        words, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr
    while "records ranked" not in process.stderr.readline():
        pass
    before = psutil.Process(process.pid).cpu_times()
    yield
    after = psutil.Process(process.pid).cpu_times()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    ends.append({**json.loads(said), "cpu": after.user + after.system - before.user - before.system})


@contextmanager
def at_rest() -> Iterator[None]:
    """A while without it, so that what it did before is over."""
    time.sleep(1)
    yield


def show(took: dict[bool, list[float]], ends: list[dict[str, Any]], options: argparse.Namespace) -> None:
    print(f"one answer every {options.pace} s, {options.blocks} blocks of {options.answers} of each kind by turns")
    print(f"{'a submit, ms':14} {'answers':>8} {'median':>8} {'p95':>8} {'most':>8}")
    figures = {is_on: np.percentile(np.array(took[is_on]) * 1000, [50, 95, 100]) for is_on in (False, True)}
    for is_on, name in ((False, "without"), (True, "with --follow")):
        print(f"{name:14} {len(took[is_on]):8}" + "".join(f" {value:8.1f}" for value in figures[is_on]))
    ratios = figures[True] / figures[False]
    print(f"{'ratio':14} {'':8} {ratios[0]:8.2f} {ratios[1]:8.2f}")
    turns = sum(end["turns"] for end in ends)
    total = {name: sum(end[name] for end in ends) for name in ("answers", "moved", "cpu")}
    print(
        f"{turns} turns: {total['answers'] / turns:.0f} answers and {total['moved'] / turns:.0f} records moved in each"
    )
    print(f"its own CPU time: {total['cpu'] / turns:.2f} s a turn")


if __name__ == "__main__":
    main()
