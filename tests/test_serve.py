from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import ROOT
from training_data import WORDS, sentences, small_task, tiny_roberta

from tutelage.core.arrays import Floats
from tutelage.core.workspace import Workspace
from tutelage.training.measures.calibration import with_temperature
from tutelage.training.prediction.serving.batching import WAITING, BatchQueue, QueueFullError, ready_student
from tutelage.training.prediction.serving.following import LOOK_SECONDS, Following, ServedStudent
from tutelage.training.prediction.serving.pipeline_request import (
    RequestError,
    RequestLimits,
    parse_request,
    ranked_labels,
)
from tutelage.training.registry import find_student, promote_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

TEXTS = [text for text, _ in sentences(30, seed=4)]

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("serve")
    tiny = tiny_roberta(root / "tiny", [text for text, _ in sentences(240)])
    made = small_task(root / "task")
    train(made, parse_student(str(tiny), learning_rate=5e-3, epochs=6, max_length=40))
    return made


@pytest.fixture(scope="module")
def url(workspace: Workspace) -> Iterator[str]:
    """The command itself, on a free port."""
    command = [sys.executable, "-m", "tutelage", "serve-student", "--task", str(workspace.root), "--json"]
    limits = ["--port", "0", "--engine", "torch", "--max-body", "20000", "--max-texts", "40", "--max-length", "500"]
    with subprocess.Popen([*command, *limits], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            where = json.loads(server.stdout.readline())
            assert (where["student"], where["engine"]) == (find_student(workspace.students).id, "torch fp32")
            yield where["url"]
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0


def ask(url: str, body: Any, **options: Any) -> httpx.Response:
    return httpx.post(url, json=body, timeout=60, **options)


def test_it_answers_like_the_pipeline(url: str, workspace: Workspace) -> None:
    from transformers import pipeline

    pipe = pipeline("text-classification", model=str(find_student(workspace.students).path), device="cpu", top_k=None)
    pipes = pipe(TEXTS)
    ours = ask(url, {"inputs": TEXTS}).json()
    assert [[one["label"] for one in labels] for labels in ours] == [[one["label"] for one in said] for said in pipes]
    temperature = find_student(workspace.students).manifest.applied_temperature
    given = with_temperature(np.array([[one["score"] for one in said] for said in pipes]), temperature)
    for mine, its in zip(ours, given, strict=True):
        assert [one["score"] for one in mine] == pytest.approx(its, abs=1e-4)


def test_one_text_and_top_k(url: str) -> None:
    whole = ask(url, {"inputs": TEXTS[0]}).json()
    assert len(whole) == 1
    assert {one["label"] for one in whole[0]} == set(WORDS)
    assert sum(one["score"] for one in whole[0]) == pytest.approx(1)
    best = ask(url, {"inputs": TEXTS[0], "parameters": {"top_k": 1, "function_to_apply": None}}).json()
    assert [one["label"] for one in best[0]] == [whole[0][0]["label"]]


def test_the_hubs_own_client_reads_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import InferenceClient, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    said = InferenceClient(url).text_classification(TEXTS[1], top_k=2)
    ours = ask(url, {"inputs": TEXTS[1], "parameters": {"top_k": 2}}).json()[0]
    assert [(one.label, one.score) for one in said] == [(one["label"], one["score"]) for one in ours]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 15000, 400, "not JSON"),
        (b"[]", 422, "expected"),
        (b'{"inputs": "a", "inputs": "b"}', 422, "the body has the key 'inputs' twice; send it once"),
        (b'{"inputs": 3}', 422, "must be a text or a list"),
        (b'{"inputs": []}', 422, "must be a text or a list"),
        (b'{"inputs": ["a", 1]}', 422, "must be a text or a list"),
        (json.dumps({"inputs": ["a"] * 41}).encode(), 422, "at most 40"),
        (json.dumps({"inputs": ["a", "b" * 501]}).encode(), 422, "text 1 has 501 characters; at most 500"),
        (b'{"inputs": "\\ud800"}', 422, "a lone surrogate"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', 422, "top_k"),
        (b'{"inputs": "a", "parameters": {"top_k": true}}', 422, "top_k"),
        (b'{"inputs": "a", "parameters": {"colour": "red"}}', 422, "holds colour"),
        (b'{"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}', 422, "softmax"),
        (b" " * 20001, 413, "more than 20000 bytes"),
    ],
)
def test_what_it_refuses(url: str, body: bytes, status: int, words: str) -> None:
    said = httpx.post(url, content=body, headers=JSON, timeout=60)
    assert said.status_code == status
    assert words in said.json()["error"]
    assert ask(url, {"inputs": "profit rose"}).status_code == 200


def test_a_body_without_a_stated_length_is_limited_too(url: str) -> None:
    said = httpx.post(url, content=(b" " * 1000 for _ in range(50)), headers=JSON, timeout=60)
    assert said.status_code == 413


def test_health_and_other_addresses(url: str, workspace: Workspace) -> None:
    health = httpx.get(f"{url}/health").json()
    entry = find_student(workspace.students)
    labels = list(workspace.task.label_names)
    about = {"status": "ok", "student": entry.id, "engine": "torch fp32", "labels": labels}
    assert health == {**about, "probabilities": entry.manifest.probabilities}
    assert httpx.get(url).status_code == 405
    assert httpx.get(f"{url}/nowhere").status_code == 404
    assert httpx.get(f"{url}/nowhere").json() == {"error": "Not Found"}


def test_many_at_once_get_their_own_answers(url: str) -> None:
    whole = ask(url, {"inputs": TEXTS}).json()
    found: dict[int, Any] = {}

    def one(number: int) -> None:
        found[number] = ask(url, {"inputs": TEXTS[number]}).json()[0]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(TEXTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, said in found.items():
        assert [one["label"] for one in said] == [one["label"] for one in whole[number]]
        assert said[0]["score"] == pytest.approx(whole[number][0]["score"], abs=1e-5)


def test_a_port_in_use(workspace: Workspace, tutelage: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ("serve-student", "--task", workspace.root, "--engine", "torch", "--port", port)
        done = tutelage(*words, ok=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


class Counting:
    """A classifier that tells how many texts it got at once, and is slow or fails where it is told to."""

    name = "counting"

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = threading.Event()

    def prepare(self, texts: list[str]) -> list[str]:
        return texts

    def compute(self, prepared: list[str]) -> Floats:
        self.go.wait(10)
        self.sizes.append(len(prepared))
        if "fail" in prepared:
            raise ValueError("no")
        return np.array([[float(text), 0.0] for text in prepared])


def test_what_waits_is_answered_together() -> None:
    classifier = Counting()

    async def work() -> list[Floats]:
        batches = BatchQueue(classifier)
        async with batches.running():
            first = asyncio.create_task(batches.answer(["0"]))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(batches.answer([str(i), str(i + 0.5)])) for i in range(1, 9)]
            await asyncio.sleep(0.05)
            rest[2].cancel()  # a client that went away
            classifier.go.set()
            return [await task for task in (first, *rest[:2], *rest[3:])]

    found = asyncio.run(work())
    assert classifier.sizes == [1, 14]
    assert [probs[:, 0].tolist() for probs in found[1:3]] == [[1.0, 1.5], [2.0, 2.5]]
    assert found[3][:, 0].tolist() == [4.0, 4.5]


def test_too_much_waiting_is_refused_and_a_failure_is_not_the_end() -> None:
    classifier = Counting()

    async def work() -> Floats:
        batches = BatchQueue(classifier)
        async with batches.running():
            waiting = asyncio.create_task(batches.answer(["fail"] * (WAITING + 1)))  # nothing waits: it is taken
            await asyncio.sleep(0.05)
            with pytest.raises(QueueFullError):
                await batches.answer(["1"])
            classifier.go.set()
            with pytest.raises(ValueError, match="no"):
                await waiting
            return await batches.answer(["1"])

    assert asyncio.run(work())[0, 0] == 1.0


def test_reading_and_answering_by_themselves() -> None:
    assert parse_request(b'{"inputs": "a"}', RequestLimits()).texts == ["a"]
    with pytest.raises(RequestError) as refused:
        parse_request(b"null", RequestLimits())
    assert refused.value.status == 422
    said = ranked_labels(np.array([[0.2, 0.8, 0.0]]), ["a", "b", "c"], 2)
    assert said == [[{"label": "b", "score": 0.8}, {"label": "a", "score": 0.2}]]


def test_uvicorn_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from tutelage.core.errors import StudentError
    from tutelage.training.prediction.serving import serve

    monkeypatch.setattr(serve, "find_spec", lambda _name: None)
    with pytest.raises(StudentError, match=r"tutelage\[serve\]"):
        serve.check_installed()


def test_the_page_names_every_option() -> None:
    from tutelage.commands import predict

    page = (ROOT / "docs/predict.md").read_text("utf-8")
    for command in (predict.predict_command, predict.serve_student_command):
        for parameter in command.params:
            for option in (name for name in parameter.opts if name.startswith("--")):
                assert option in {"--task", "--json"} or option in page, option


# A new champion


@contextmanager
def serving(root: Path, *words: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tutelage", "serve-student", "--task", str(root), "--json", "--port", "0", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield str(json.loads(server.stdout.readline())["url"])
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0


def serves(url: str) -> str:
    return str(httpx.get(f"{url}/health", timeout=60).json()["student"])


def test_a_new_champion_takes_over_and_no_request_fails(tmp_path: Path) -> None:
    made = small_task(tmp_path / "task")
    first, second = (train(made, parse_student("linear", human_weight=weight)).id for weight in (1, 5))
    promote_student(made.students, first, why="test")
    with serving(made.root) as follows, serving(made.root, "--student", first) as stays:
        before = ask(follows, {"inputs": TEXTS}).json()
        (made.students / "champion").write_text("gone")  # cannot answer: the first goes on
        time.sleep(LOOK_SECONDS + 1)
        answers = [ask(follows, {"inputs": TEXTS})]
        assert serves(follows) == first
        promote_student(made.students, second, why="test")
        give_up = time.monotonic() + 60
        while serves(follows) != second and time.monotonic() < give_up:
            answers.append(ask(follows, {"inputs": TEXTS}))
        assert all(answer.status_code == 200 for answer in answers)
        assert answers[0].json() == before
        assert (serves(follows), serves(stays)) == (second, first)
        assert ask(stays, {"inputs": TEXTS}).json() == before


def test_the_student_that_was_champion_leaves_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.training.prediction.serving.following.LOOK_SECONDS", 0.01)
    made = small_task(tmp_path / "task")
    ids = [train(made, parse_student("linear", human_weight=weight)).id for weight in (1, 5)]

    def load(name: str) -> ServedStudent:
        entry = find_student(made.students, name)
        chosen, classifier = ready_student(made, entry, "torch", lambda _words: None)
        return ServedStudent(entry, chosen, BatchQueue(classifier))

    async def follow() -> bool:
        following = Following(load(ids[0]), lambda: ids[1], load, lambda _words: None)
        first = weakref.ref(following.now)
        async with following.running():
            for _ in range(500):
                if following.now.entry.id == ids[1]:
                    break
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            gc.collect()
            return following.now.entry.id == ids[1] and first() is None

    assert asyncio.run(follow())
