"""``serve-student`` among others: foreign web pages, monitoring, and being told to stop."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import ROOT
from training_data import sentences, small_task

from tutelage.core.workspace import Workspace
from tutelage.training.prediction.serving.gatekeeper import refusal
from tutelage.training.registry import find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

TEXTS = [text for text, _ in sentences(200, seed=4)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = small_task(tmp_path_factory.mktemp("careful") / "task")
    train(made, parse_student("linear"))
    return made


@contextmanager
def serving(workspace: Workspace, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command itself; it ends with status 0 once it is told to stop."""
    command = [sys.executable, "-m", "tutelage", "serve-student", "--task", str(workspace.root), "--json"]
    command += ["--port", "0", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"], server
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0


@pytest.fixture(scope="module")
def url(workspace: Workspace) -> Iterator[str]:
    with serving(workspace) as (where, _):
        yield where


# Foreign web pages


@pytest.mark.parametrize(
    ("host", "origin", "local", "refused"),
    [
        ("127.0.0.1:8080", None, True, False),
        ("localhost", None, True, False),
        ("LOCALHOST.:8080", None, True, False),
        ("student.localhost:8080", None, True, False),
        ("[::1]:8080", None, True, False),
        ("192.0.2.7", None, True, False),  # no name that could point elsewhere in a moment
        ("", None, True, False),
        ("evil.example", None, True, True),
        ("127.0.0.1.evil.example:8080", None, True, True),
        ("localhost@evil.example", None, True, True),
        ("[evil", None, True, True),
        ("predict:8080", None, False, False),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True, False),
        ("127.0.0.1:8080", "http://127.0.0.1:3000", True, True),
        ("127.0.0.1:8080", "http://localhost:8080", True, True),
        ("127.0.0.1:8080", "null", True, True),
        ("127.0.0.1:8080", "", True, True),
        ("models.example", "https://models.example", False, False),
        ("models.example:443", "https://models.example", False, False),
        ("models.example", "https://evil.example", False, True),
        ("models.example", "http://models.example:99999", False, True),
        ("", "https://evil.example", False, True),
    ],
)
def test_whom_it_hears(host: str, origin: str | None, local: bool, refused: bool) -> None:  # noqa: FBT001  # a row
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    assert bool(refusal(headers, local=local)) is refused


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Host": "evil.example"}, 403, "'evil.example' is not this machine's"),
        ({"Origin": "https://evil.example"}, 403, "web pages of 'https://evil.example'"),
        ({"Content-Type": "text/plain"}, 415, "Content-Type: application/json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "Content-Type: application/json"),
        ({"Content-Type": ""}, 415, "Content-Type: application/json"),
    ],
)
def test_what_a_foreign_page_could_send_is_refused(url: str, headers: dict[str, str], status: int, words: str) -> None:
    said = httpx.post(url, json={"inputs": "profit rose"}, headers=headers)
    assert said.status_code == status
    assert words in said.json()["error"]


def test_a_type_with_parameters_is_json_too(url: str) -> None:
    body = {"inputs": "profit rose"}
    assert httpx.post(url, json=body, headers={"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 200


def test_health_and_metrics_are_not_for_a_name_that_points_here(url: str) -> None:
    for path in ("health", "metrics"):
        assert httpx.get(f"{url}/{path}", headers={"Host": "evil.example"}).status_code == 403


def test_where_others_can_connect_any_name_is_heard_and_no_foreign_page(workspace: Workspace) -> None:
    with serving(workspace, "--host", "0.0.0.0") as (where, _):
        here = where.replace("0.0.0.0", "127.0.0.1")
        body = {"inputs": "profit rose"}
        assert httpx.post(here, json=body, headers={"Host": "predict:8080"}).status_code == 200
        assert httpx.post(here, json=body, headers={"Origin": "https://evil.example"}).status_code == 403


# Metrics


def samples(url: str) -> dict[str, float]:
    answer = httpx.get(f"{url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {name: float(value) for name, value in re.findall(r"^([a-z].*) (\S+)$", answer.text, re.MULTILINE)}


def test_metrics_for_prometheus(url: str, workspace: Workspace) -> None:
    httpx.post(url, json={"inputs": "a"}, headers={"Origin": "null"})
    before = samples(url)
    httpx.post(url, json={"inputs": TEXTS[:3]})
    httpx.post(url, json={"inputs": "a"}, headers={"Origin": "null"})
    after = samples(url)
    added = {name: value - before.get(name, 0) for name, value in after.items()}
    assert added['tutelage_requests_total{status="200"}'] == 1
    assert added['tutelage_requests_total{status="403"}'] == 1
    assert added["tutelage_request_duration_seconds_count"] == 2
    assert added["tutelage_texts_total"] == 3
    assert added["tutelage_texts_truncated_total"] == 0
    assert added['tutelage_batch_texts_bucket{le="2.0"}'] == 0
    assert added['tutelage_batch_texts_bucket{le="4.0"}'] == 1
    assert after["tutelage_queue_texts"] == 0
    student = find_student(workspace.students).id
    assert after[f'tutelage_student_info{{engine="linear",id="{student}"}}'] == 1
    assert after["process_resident_memory_bytes"] > 0


# Being told to stop


def test_no_request_is_lost_when_it_is_told_to_stop(workspace: Workspace) -> None:
    """Every client keeps its connection and asks on, until an answer says that it is the last one."""
    whole, lost, last = [], [], []
    ready = threading.Barrier(9)

    def ask(where: str, number: int) -> None:
        with httpx.Client(timeout=30) as client:
            for turn in range(100_000):
                try:
                    answer = client.post(where, json={"inputs": TEXTS[number::8]})
                except httpx.HTTPError as error:
                    lost.append(repr(error))
                    return
                whole.append((answer.status_code, len(answer.json())))
                if answer.headers.get("connection") == "close":
                    last.append(number)
                    return
                if turn == 2:
                    ready.wait(30)

    with serving(workspace) as (where, server):
        threads = [threading.Thread(target=ask, args=(where, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        ready.wait(30)
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(30)
        assert lost == []
        assert sorted(last) == list(range(8))
        assert set(whole) == {(200, 25)}
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{where}/health")


def test_health_says_that_it_stops(workspace: Workspace) -> None:
    with serving(workspace) as (where, server), httpx.Client(timeout=30) as client:
        assert client.get(f"{where}/health").json()["status"] == "ok"
        server.send_signal(signal.SIGINT)
        states = []
        while "stopping" not in states:
            answer = client.get(f"{where}/health")
            states.append(answer.json()["status"])
            time.sleep(0.01)
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        assert server.wait(30) == 0


def test_it_can_be_told_to_stop_as_soon_as_it_says_where_it_is(workspace: Workspace) -> None:
    with serving(workspace) as (_, server):
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_the_stack_waits_long_enough() -> None:
    import yaml

    from tutelage.training.prediction.serving.stopping import GRACE_SECONDS, LINGER_SECONDS

    stack = yaml.safe_load(Path(ROOT / "docker-compose.yml").read_text("utf-8"))
    grace = stack["services"]["predict"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > GRACE_SECONDS + LINGER_SECONDS
