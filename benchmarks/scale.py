"""What each step costs as the task grows: generated texts with three votes and their reasons, on an embedded Argilla.

For each size a task of its own: records are imported, ranked, pushed, ranked, pulled, frozen and exported; then people
answer one in a hundred, and what that brings is pulled, ranked and exported again. Every step is a process of its own.
Prints for each its wall clock, the processor time and the most memory (RSS) of that process and of the server, and the
wall clock per record.

    python benchmarks/scale.py              # 2,000 and 20,000 records: some minutes
    python benchmarks/scale.py 200000       # an hour or more
    python benchmarks/scale.py --no-argilla 2000 200000   # the steps that need none: some minutes
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.feedback.server.lifecycle import Server, down, up

ROOT = Path(__file__).resolve().parent.parent
SIZES = (2_000, 20_000)
LABELS = ("business", "science", "sports", "world")
ANSWERED = 0.01
MIB = 2**20

FREEZE = """
from pathlib import Path
import shutil, sys
from tutelage.core.workspace import Workspace
from tutelage.loaders.ledger import Ledger
from tutelage.steps.review.loop import Loop
workspace = Workspace(Path(sys.argv[1]))
shutil.rmtree(workspace.snapshots)
with Ledger(workspace.db) as ledger:
    Loop(workspace, ledger).pull()
"""
"""A pull that asks no Argilla: it curates what ``task.db`` holds and freezes it anew."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds and bytes of a step: its own process, and the server."""

    wall: float
    cpu: float
    rss: int
    server_cpu: float
    server_rss: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="numbers of records")
    parser.add_argument("--no-argilla", action="store_true", help="only the steps that need none")
    options = parser.parse_args()
    print("| records | step | wall s | ms a record | CPU s | peak RSS MiB | server CPU s | server peak RSS MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(Path(folder) / "task")
            if options.no_argilla:
                run_alone(Steps(workspace.root, None, size), workspace, size)
                continue
            server = up(Path(folder) / "argilla", port=0)
            try:
                run(workspace, server, size)
            finally:
                down(server.data_dir)


def run_alone(step: Steps, workspace: Workspace, size: int) -> None:
    texts = make_task(workspace.root, size)
    votes = [word for n in (1, 2, 3) for word in ("--vote", f"label_{n}:reason_{n}")]
    step("import", "import", str(texts), "--text", "text", "--id", "id", *votes)
    step("rank --no-push", "rank", "--no-push")
    step("rank --no-push, nothing new", "rank", "--no-push")


def run(workspace: Workspace, server: Server, size: int) -> None:
    step = Steps(workspace.root, server, size)
    run_alone(step, workspace, size)
    step("push", "push", "--anyway")
    step("rank, send ranks", "rank")
    step("pull", "pull")
    step.code("freeze alone", FREEZE)
    step("export", "export", str(workspace.root / "all.parquet"))
    step("push, nothing new", "push", "--anyway")
    step.timed("1 % answered", lambda: review(workspace, server, int(size * ANSWERED)))
    step("pull, 1 % new", "pull")
    step("rank, 1 % new", "rank")
    step("export, 1 % new", "export", str(workspace.root / "new.parquet"))


class Steps:
    """Runs steps on one task and one server, or without one, and prints what each costs."""

    def __init__(self, root: Path, server: Server | None, size: int) -> None:
        self._root, self._size, self._env, self._server = root, size, dict(os.environ), None
        if server:
            self._env |= {"ARGILLA_API_URL": server.url, "ARGILLA_API_KEY": server.api_key}
            lock = json.loads((server.data_dir / "server.lock").read_text("utf-8"))
            self._server = psutil.Process(lock["pid"])

    def __call__(self, name: str, *words: str) -> None:
        """A command of the command line."""
        self._measured(name, ["-m", "tutelage", *words, "--task", str(self._root), "--json"])

    def code(self, name: str, code: str) -> None:
        """A step that is no command."""
        self._measured(name, ["-c", code, str(self._root)])

    def timed(self, name: str, work: Callable[[], None]) -> None:
        """Work of this process, whose memory says nothing of ours."""
        began, before, peak = time.perf_counter(), self._server_cpu(), Peak(self._server)
        with peak:
            work()
        wall = time.perf_counter() - began
        self._print(name, Cost(wall=wall, cpu=0, rss=0, server_cpu=self._server_cpu() - before, server_rss=peak.bytes))

    def _measured(self, name: str, words: list[str]) -> None:
        began, before, peak = time.perf_counter(), self._server_cpu(), Peak(self._server)
        with peak:
            process = subprocess.Popen([sys.executable, *words], env=self._env, cwd=ROOT, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{name}: exit status {process.returncode}")
        cost = Cost(
            wall=time.perf_counter() - began,
            cpu=used.ru_utime + used.ru_stime,
            rss=used.ru_maxrss * 1024,
            server_cpu=self._server_cpu() - before,
            server_rss=peak.bytes,
        )
        self._print(name, cost)

    def _print(self, name: str, cost: Cost) -> None:
        own = f"{cost.cpu:.1f} | {cost.rss / MIB:.0f}" if cost.rss else "| "
        server = f"{cost.server_cpu:.1f} | {cost.server_rss / MIB:.0f}"
        each = 1000 * cost.wall / self._size
        print(f"| {self._size:,} | {name} | {cost.wall:.1f} | {each:.2f} | {own} | {server} |", flush=True)

    def _server_cpu(self) -> float:
        if self._server is None:
            return 0.0
        times = self._server.cpu_times()
        return float(times.user + times.system)


class Peak:
    """The most memory that a process holds while the block runs, looked at ten times a second."""

    def __init__(self, process: psutil.Process | None) -> None:
        self.bytes = 0
        self._process, self._over = process, threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while self._process and not self._over.wait(0.1):
            self.bytes = max(self.bytes, self._process.memory_info().rss)


def make_task(root: Path, size: int) -> Path:
    """A task, and a file of texts with three votes each, one in six of them wrong; the same at each run."""
    root.mkdir()
    (root / "task.yaml").write_text(f"name: scale\nlabels: [{', '.join(LABELS)}]\n", "utf-8")
    chance, path = random.Random(0), root / "texts.csv"
    words = {label: ["".join(chance.choices("aeioulnrst", k=6)) for _ in range(400)] for label in (*LABELS, "")}
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "text", *(f"{kind}_{n}" for n in (1, 2, 3) for kind in ("label", "reason"))])
        for number in range(size):
            out.writerow(row(number, chance, words))
    return path


def row(number: int, chance: random.Random, words: dict[str, list[str]]) -> list[str]:
    """A record: about 25 words, and three votes with reasons of about 20."""
    truth = chance.choice(LABELS)
    text = " ".join([*chance.choices(words[truth], k=8), *chance.choices(words[""], k=17)])
    votes: list[str] = []
    for _ in range(3):
        label = chance.choice(LABELS) if chance.random() < 1 / 6 else truth
        votes += [label, f"It is about {label}: {' '.join(chance.choices(words[label], k=17))}."]
    return [f"record-{number:07}", text, *votes]


def review(workspace: Workspace, server: Server, count: int) -> None:
    """Answer the worst records of the queue, as the annotator."""
    with (
        ArgillaClient(server.url, server.api_key) as argilla,
        ArgillaClient(server.url, server.annotator_api_key) as person,
    ):
        argilla.add_annotator(workspace.task, server.annotator)
        dataset = argilla.dataset(workspace.task)
        assert dataset is not None
        annotator, left = ScriptedAnnotator(person.remote, dataset), count
        while left:
            records = annotator.queue(left)
            for record in records:
                annotator.submit(record, LABELS[0])
            left -= len(records)


if __name__ == "__main__":
    main()
