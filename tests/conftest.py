"""What several tests share: one real Argilla a run, and task directories."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from argilla_rest import Api
from shop import Person, Shop

from tutelage.core.workspace import Workspace
from tutelage.feedback.server.lifecycle import Server, down, up

# Threads that wait for work do not keep a core busy: with shared cores that costs several times the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent
with (ROOT / "tutelage" / "sample" / "sample.csv").open(encoding="utf-8", newline="") as _sample:
    SAMPLE_SIZE = sum(1 for _ in csv.DictReader(_sample))
LABELS = ("positive", "negative", "neutral")
OURS = tuple(f"{ROOT / folder}{os.sep}" for folder in ("tutelage", "loaders", "feedback", "training"))


@pytest.fixture(scope="session", autouse=True)
def _one_import_name() -> Iterator[None]:
    """Whatever the tests did: no file of ours was imported under another name than ``tutelage. ...``."""
    yield
    files = {name: str(getattr(module, "__file__", "")) for name, module in list(sys.modules.items())}
    misnamed = {name: file for name, file in files.items() if file.startswith(OURS) and not name.startswith("tutelage")}
    assert not misnamed, f"imported under a name that does not begin with tutelage: {misnamed}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real embedded Argilla on a free port, its data in a temporary directory."""
    data_dir = tmp_path_factory.mktemp("argilla")
    yield up(data_dir, port=0)
    Api.close_all()
    down(data_dir)


@pytest.fixture(autouse=True)
def _no_argilla_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_URL", "API_KEY", "API_KEY_FILE", "PASSWORD", "PASSWORD_FILE"):
        monkeypatch.delenv(f"ARGILLA_{name}", raising=False)


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., Workspace]:
    """Makes a task directory; each has a dataset name of its own."""

    def make(labels: Sequence[str] = LABELS, **keys: Any) -> Workspace:
        root = tmp_path / f"task-{uuid4().hex[:8]}"
        root.mkdir()
        task = {"name": f"test-{uuid4().hex[:8]}", "labels": [{"name": label} for label in labels], **keys}
        (root / "task.yaml").write_text(yaml.safe_dump(task, allow_unicode=True), "utf-8")
        return Workspace(root)

    return make


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Writes dictionaries as a CSV file."""

    def write(rows: Sequence[dict[str, str]], name: str = "rows.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def tutelage() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own, as a person or cron would."""

    def run(*words: object, env: dict[str, str] | None = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "tutelage", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            timeout=300,
        )
        assert not ok or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def argilla_env(server: Server) -> dict[str, str]:
    """The environment in which commands speak to the test's Argilla."""
    return {"ARGILLA_API_URL": server.url, "ARGILLA_API_KEY": server.api_key}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """A page of a browser of its own; the test is skipped without Chromium."""
    from browser import ARGUMENTS, CHROMIUM
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "chromium", executable_path=CHROMIUM, args=ARGUMENTS, viewport={"width": 1400, "height": 900}
        )
        page = context.pages[0]
        page.set_default_timeout(20_000)
        yield page
        context.close()


ALLOWED_SKIPS: frozenset[str] = frozenset()
"""Tests, by node id, that may be skipped where FAIL_ON_SKIP is set; each with its reason beside it."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = {report.nodeid for report in terminalreporter.stats.get("skipped", [])} - ALLOWED_SKIPS
    if skipped and os.environ.get("FAIL_ON_SKIP"):
        terminalreporter.section("skipped, but FAIL_ON_SKIP is set")
        terminalreporter.write_line("\n".join(sorted(skipped)))
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def shops(make_task: Callable[..., Workspace], server: Server) -> Iterator[Callable[..., Shop]]:
    """Makes tasks on the test's Argilla: ``shops(*labels, **keys of the task file)``."""
    people: list[Person] = []
    yield lambda *labels, **keys: Shop(make_task(labels or LABELS, **keys), server, people)
    for person in people:
        person.http.close()


@pytest.fixture
def shop(shops: Callable[..., Shop]) -> Shop:
    """Three records: votes for one label, a tie, and nothing but abstentions."""
    one = shops()
    one.add(["positive", "positive", "negative"], ["negative", "neutral"], [None, None])
    return one
