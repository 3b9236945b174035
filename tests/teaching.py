"""What the tests of ``annotate`` share: tasks with texts, an endpoint's answers, a look into the ledger."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from teacher_server import Server

from tutelage.core.records import Record
from tutelage.core.workspace import Workspace
from tutelage.loaders.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent
LABELS = ("good", "bad")
Run = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[..., Workspace]


def vote(text: str, number: int, _data: dict[str, Any]) -> str:
    label = "good" if "fine" in text else "bad"
    return json.dumps({"reason": f"reason {number}", "label": label})


def teacher(url: str, **keys: Any) -> dict[str, Any]:
    return {"name": "t", "license": "none", "model": "m", "base_url": url, **keys}


def task_with(make: Make, count: int, *teachers: dict[str, Any]) -> Workspace:
    workspace = make(LABELS, teachers=list(teachers))
    texts = [Record(f"r{n}", f"{'fine' if n % 2 else 'awful'} {n}") for n in range(count)]
    with Ledger(workspace.db) as ledger:
        ledger.add(texts)
    return workspace


def edit(workspace: Workspace, **keys: Any) -> Workspace:
    """Change the first teacher of the task file."""
    path = workspace.root / "task.yaml"
    task = yaml.safe_load(path.read_text("utf-8"))
    task["teachers"][0].update(keys)
    path.write_text(yaml.safe_dump(task), "utf-8")
    return Workspace(workspace.root)


def voters(workspace: Workspace) -> dict[str, list[str]]:
    """The labels of each record's votes, by teacher and prompt's name, abstentions as '-'."""
    with Ledger(workspace.db) as ledger:
        return {
            record.id: [f"{v.voter.teacher}:{v.voter.prompt.split('@')[0]}:{v.label or '-'}" for v in record.votes]
            for record in ledger.records(workspace.task)
        }


def rows(workspace: Workspace, query: str) -> list[Any]:
    with sqlite3.connect(workspace.db) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def start(workspace: Workspace, *words: str, **keys: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tutelage", "annotate", "--task", str(workspace.root), *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keys)


def wait_for_votes(server: Server, count: int) -> None:
    until = time.monotonic() + 30
    while server.log.outcomes["ok"] < count and time.monotonic() < until:
        time.sleep(0.01)
