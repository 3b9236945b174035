"""``kill -9`` at seeded points of import, push and pull, then the same command again: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from flaky import Fault, Proxy
from shop import Shop

from tutelage.core.records import Rank
from tutelage.core.workspace import Workspace
from tutelage.feedback.server.lifecycle import Server
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.gold import read_gold

FEW, MANY = range(2), range(2, 32)
SEEDS = [*FEW, *(pytest.param(seed, marks=pytest.mark.long) for seed in MANY)]
ROOT = Path(__file__).resolve().parent.parent


def started(*words: object, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tutelage", *map(str, words)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit status; a process that failed by itself is a failure of the test."""
    _, said = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode


# Import

ROWS = 4500


def import_words(workspace: Workspace, source: Path) -> list[object]:
    columns = ["--text", "text", "--vote", "vote:reason", "--given", "mine", "--gold", "gold"]
    return ["import", source, *columns, "--task", workspace.root]


def contents(workspace: Workspace) -> dict[str, Any]:
    with closing(sqlite3.connect(workspace.db)) as db:
        tables = {
            "records": db.execute("SELECT id, text, given FROM records ORDER BY seq").fetchall(),
            "answers": db.execute(
                "SELECT record, teacher, prompt, vote, said, reason FROM answers ORDER BY seq"
            ).fetchall(),
        }
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return {**tables, "gold": read_gold(workspace.gold), "rejects": workspace.rejects.read_text().splitlines()}


@pytest.fixture
def source(write_csv: Callable[..., Path]) -> Path:
    """Rows with doubles and, all over, rows that cannot be used."""
    rows = [
        {
            "text": "" if n % 50 == 7 else f"text {n % 4000}",
            "vote": ("positive", "negative", "who knows")[n % 3],
            "reason": f"reason {n}",
            "mine": ("", "neutral")[n % 2],
            "gold": f"gold {n}",
        }
        for n in range(ROWS)
    ]
    return write_csv(rows)


def kill_when_rows(process: subprocess.Popen[bytes], db: Path, rows: int, delay: float) -> None:
    """Kill it a moment after so many rows are committed, or leave it if it ends before."""
    with suppress(sqlite3.Error):
        while process.poll() is None and _rows(db) < rows:
            time.sleep(0.002)
    time.sleep(delay)
    process.kill()


def _rows(db: Path) -> int:
    if not db.exists():
        return -1
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection, suppress(sqlite3.OperationalError):
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])
    return -1


@pytest.mark.parametrize("seed", SEEDS)
def test_import_killed_anywhere(make_task: Callable[..., Workspace], source: Path, seed: int) -> None:
    draw, whole = random.Random(seed), make_task()
    assert ended(started(*import_words(whole, source))) == 0
    statuses: list[int] = []
    while -signal.SIGKILL not in statuses:  # one that had ended before its turn is not a kill: draw again
        killed, statuses = make_task(), []
        for _ in range(draw.choice([1, 2])):
            process = started(*import_words(killed, source))
            kill_when_rows(process, killed.db, draw.randrange(ROWS), draw.random() * 0.05)
            statuses.append(ended(process))
    for _ in range(2):
        assert ended(started(*import_words(killed, source))) == 0
        assert contents(killed) == contents(whole)
    assert len(contents(whole)["records"]) + len(contents(whole)["rejects"]) == ROWS


# Push and pull


class Killer:
    """Kills the command at its n-th request, on the way to the server or on the way back."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def run(self, words: Sequence[object], shop: Shop, at: int | None = None, *, before: bool = False) -> int:
        env = {"ARGILLA_API_URL": self.proxy.url, "ARGILLA_API_KEY": shop.server.api_key}
        ready: list[subprocess.Popen[bytes]] = []

        def fault(number: int, *_: str) -> Fault:
            if number != at:
                return None
            ready[0].kill()
            return "before" if before else "after"

        self.proxy.seen.clear()
        self.proxy.faults = fault
        ready.append(started(*words, "--task", shop.workspace.root, env=env))
        return ended(ready[0])

    @property
    def requests(self) -> int:
        return len(self.proxy.seen)


@pytest.fixture
def killer(server: Server) -> Iterator[Killer]:
    with Proxy(server.url) as proxy:
        yield Killer(proxy)


def grown(shop: Shop) -> None:
    """What makes the next push send some of all kinds."""
    from tutelage.loaders.ledger import Ledger

    shop.add(*["negative"] * 5, start=505)
    for number in range(20):
        shop.vote(f"r{number}", "neutral", number=1)
        shop.vote(f"r{number}", "neutral", number=2)
    with Ledger(shop.workspace.db) as ledger:
        ledger.set_ranks([Rank(f"r{number}", number / 500, number + 1) for number in range(500)])


@pytest.mark.parametrize("seed", SEEDS)
def test_push_killed_anywhere(shops: Callable[..., Shop], killer: Killer, seed: int) -> None:
    draw, whole, killed = random.Random(seed), shops(), shops()
    for shop in (whole, killed):
        shop.add(*["positive"] * 505)
    assert killer.run(["push"], whole) == 0
    requests = killer.requests
    assert killer.run(["push"], killed, draw.randrange(requests), before=draw.random() < 0.5) == -signal.SIGKILL
    killer.run(["push"], killed, draw.randrange(requests), before=draw.random() < 0.5)  # or it needs fewer by now
    assert killer.run(["push"], killed) == 0
    assert killed.state() == whole.state()
    for shop in (whole, killed):
        shop.answer(shop.annotator(), "r3", "negative", reason="mine")
        grown(shop)
    whole.push()
    assert killer.run(["push"], killed, 4 + draw.randrange(4), before=draw.random() < 0.5) == -signal.SIGKILL
    assert killer.run(["push"], killed) == 0
    assert killed.state() == whole.state()
    assert killed.counts() == (0, 0, 510, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_pull_killed_anywhere(shops: Callable[..., Shop], killer: Killer, seed: int) -> None:
    draw, shop = random.Random(seed), shops()
    shop.add(*["positive"] * 40)
    shop.push()
    person = shop.annotator()
    for name, item in list(shop.on_server().items())[:10]:
        person.answer(item["id"], draw.choice(["positive", "neutral"]), reason=name)
    answers = {name: item["responses"] for name, item in shop.on_server().items()}
    assert killer.run(["pull"], shop) == 0
    requests, expected = killer.requests, load_snapshot(shop.workspace.snapshots)
    shop.answer(person, "r39", "negative")
    for at in {draw.randrange(requests), requests - 1}:
        assert killer.run(["pull"], shop, at, before=draw.random() < 0.5) == -signal.SIGKILL
        assert load_snapshot(shop.workspace.snapshots) == expected
    kill_while_freezing(killer, shop, draw.random() * 0.3)
    load_snapshot(shop.workspace.snapshots)
    assert killer.run(["pull"], shop) == 0
    rows, _, summary = shop.pull()
    found = {name: [a["reason"] for a in row["responses"]] for name, row in rows.items() if name != "r39"}
    assert found == {
        name: [r["values"]["reason"]["value"] for r in there] for name, there in answers.items() if name != "r39"
    }
    assert (rows["r39"]["label"], summary["by_status"], summary["withdrawn"]) == ("negative", {"submitted": 11}, 0)
    whole = [path.name for path in shop.workspace.snapshots.iterdir() if path.is_dir() and path.name[0] != "."]
    assert len(whole) == 2


def kill_while_freezing(killer: Killer, shop: Shop, delay: float) -> None:
    """Kill a pull some time after its last answer from the server."""
    env = {"ARGILLA_API_URL": killer.proxy.url, "ARGILLA_API_KEY": shop.server.api_key}
    killer.proxy.seen.clear()
    killer.proxy.faults = lambda *_: None
    process = started("pull", "--task", shop.workspace.root, env=env)
    while process.poll() is None and not any("offset=40" in path for _, path in killer.proxy.seen):
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    ended(process)
