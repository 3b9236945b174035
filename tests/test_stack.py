"""The image, and docker-compose.yml with it, really started: the loop goes round, and kills lose nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from containers import PODMAN, REASON, Stack, build, run, until

import tutelage
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.views.history import read_history

pytestmark = [pytest.mark.long, pytest.mark.skipif(PODMAN is None, reason=REASON)]

SAMPLE = ROOT / "tutelage" / "sample"
VOTES = [word for n in range(1, 5) for word in ("--vote", f"vote_{n}:reason_{n}")]
STAND_IN = "localhost/tutelage-stand-in"
CONFINED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")


@pytest.fixture(scope="module")
def core() -> str:
    return build(ROOT, "core", "localhost/tutelage:core")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The override file, its images built."""
    context = tmp_path_factory.mktemp("stand-ins")
    shutil.copytree(ROOT / "tests" / "stack", context, dirs_exist_ok=True)
    shutil.copytree(ROOT / "feedback" / "embedded", context / "embedded")
    for name in ("postgres", "redis", "elasticsearch", "argilla"):
        build(context, name, f"{STAND_IN}:{name}", "stand-ins.Dockerfile")
    return context / "stand-ins.yml"


@pytest.fixture
def stacks(core: str, tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    running: list[Stack] = []

    def make(*overrides: Path, **env: str) -> Stack:
        assert core
        running.append(Stack(tmp_path, *overrides, **env))
        return running[-1]

    yield make
    for one in running:
        one.remove()


# The image


def in_container(image: str, *words: object, options: tuple[str, ...] = CONFINED) -> str:
    return run(PODMAN, "run", "--rm", "--network", "none", *options, image, *words)


def test_the_image_runs_as_nobody_in_particular_and_needs_no_network(core: str) -> None:
    assert in_container(core, "--version").strip() == f"tutelage, version {tutelage.__version__}"
    assert in_container(core, "-u", options=(*CONFINED, "--entrypoint", "id")).strip() == "1000"
    another = (*CONFINED, "--user", "4711:4711", "--tmpfs", "/task")
    made = in_container(core, "init", "/task/news", "--labels", "good,bad", "--json", options=another)
    assert "/task/news/task.yaml" in json.loads(made)["written"]
    listed = in_container(core, "/", "/opt", "/task", options=(*CONFINED, "--entrypoint", "ls"))
    assert "tutelage" in listed.split()
    assert not {"code", "source", "wheels", "uv"} & set(listed.split())


@pytest.mark.parametrize("target", ["cuda", "cpu"])
def test_the_image_with_torch_has_what_networks_need(target: str) -> None:
    """Without a card. The target cpu takes torch from an index that some networks do not let through."""
    try:
        image = build(ROOT, target, f"localhost/tutelage:{target}")
    except AssertionError as error:
        if target == "cpu" and "Failed to fetch" in str(error):
            pytest.skip("torch's builds for processors cannot be fetched from here")
        raise
    script = "import torch, transformers, setfit, openvino, onnxruntime; print(torch.ones(2).sum().item())"
    done = in_container(image, "-c", script, options=(*CONFINED, "--entrypoint", "python"))
    assert done.strip() == "2.0"


# The embedded Argilla, the job at night, the champion over HTTP


class Annotator:
    """Answers rightly, through REST."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        sample = pd.read_csv(SAMPLE / "sample.csv")
        self._gold = dict(zip(sample["id"], sample["gold"], strict=True))
        self.given: dict[str, str] = {}

    def answer(self, count: int) -> None:
        with ArgillaClient(self._stack.url, self._stack.secret("ARGILLA_API_KEY")) as signed_in:
            dataset = signed_in.dataset(Workspace(self._stack.task).task)
            assert dataset
            person = ScriptedAnnotator(signed_in.remote, dataset)
            for record in person.queue(count):
                name = record["external_id"]
                person.submit(record, self._gold[name])
                self.given[name] = self._gold[name]

    def kept(self) -> dict[str, str]:
        """What the newest snapshot has of it."""
        newest = max((self._stack.task / "snapshots").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
        frame = pd.read_parquet(next(newest.parent.glob("*.parquet")))
        return {
            name: one["label"]
            for name, responses in zip(frame["id"], frame["responses"], strict=True)
            for one in responses
            if one["status"] == "submitted"
        }


def prepare(stack: Stack) -> None:
    """The sample's task, loaded and in the queue, by commands in containers."""
    task = yaml.safe_load((SAMPLE / "task.yaml").read_text("utf-8")) | {"retrain": {"min_new": 10}}
    (stack.task / "task.yaml").write_text(yaml.safe_dump(task), "utf-8")
    shutil.copy(SAMPLE / "sample.csv", stack.task)
    columns = ("--text", "text", "--id", "id", "--gold", "gold", *VOTES)
    stack.tutelage("import", "sample.csv", *columns)
    stack.tutelage("push")
    stack.tutelage("rank")


def ends_of(stack: Stack, count: int) -> list[dict[str, Any]]:
    """The lines of the job's history, as soon as there are so many."""

    def lines() -> list[dict[str, Any]]:
        found = read_history(stack.task)
        return found if len(found) >= count else []

    return list(until(lines, 240, f"run {count} of the job\n{stack.logs('retrain')}"))


def test_the_loop_over_containers_that_are_killed(stacks: Callable[..., Stack]) -> None:
    stack = stacks(TUTELAGE_EVERY="8s")
    stack.up("embedded")
    prepare(stack)
    annotator = Annotator(stack)
    annotator.answer(20)

    stack.recreate("embedded", "embedded")
    annotator.answer(20)  # the key, the queue and the answers are there again

    stack.compose("retrain", "up", "--detach", "--no-deps", "retrain")
    until((stack.task / "retrain.lock").exists, 60, "the job began")
    stack.recreate("retrain", "retrain")
    first = ends_of(stack, 1)[-1]
    assert (first["outcome"], first["server"]) == ("promoted", "http://argilla:6900"), first
    assert annotator.kept() == annotator.given
    stack.await_health("retrain")

    stack.up("predict")
    asked = httpx.post(f"http://127.0.0.1:{stack.predict_port}", json={"inputs": "Operating profit rose."}, timeout=60)
    assert {one["label"] for one in asked.json()[0]} == {"positive", "neutral", "negative"}
    health = httpx.get(f"http://127.0.0.1:{stack.predict_port}/health").json()
    assert health["student"] == first["champion"]

    stack.kill("embedded")
    until(lambda: int(stack.inspect("embedded", "{{.RestartCount}}")) > 0, 60, "the engine restarts what crashed")
    stack.await_health("embedded")
    annotator.answer(120)
    until(lambda: annotator.kept() == annotator.given, 240, "a run took the answers in")
    serves = f"http://127.0.0.1:{stack.predict_port}/health"

    def follows() -> bool:
        champion = read_history(stack.task)[-1]["champion"]
        return bool(champion != first["champion"] and httpx.get(serves).json()["student"] == champion)

    until(follows, 120, "a better student is the champion, and predict answers with it")
    for service in ("embedded", "retrain", "predict"):
        for secret in ("ARGILLA_API_KEY", "ARGILLA_PASSWORD"):
            assert stack.secret(secret) not in stack.logs(service) + run(PODMAN, "inspect", stack.container(service))
        assert stack.inspect(service, "{{.HostConfig.ReadonlyRootfs}} {{.EffectiveCaps}}") == "true []"


# The five


def test_the_five_with_stand_ins(stacks: Callable[..., Stack], stand_ins: Path) -> None:
    """Wiring, health, secrets, restarts; stand-ins.yml says what it does not show."""
    stack = stacks(stand_ins)
    stack.up("full", "postgres", "redis", "elasticsearch", "argilla", "worker")
    prepare(stack)
    annotator = Annotator(stack)
    annotator.answer(20)

    for service in ("postgres", "redis", "elasticsearch", "argilla"):
        stack.recreate("full", service)
    for service in ("argilla", "worker"):
        stack.kill(service)
        until(lambda name=service: int(stack.inspect(name, "{{.RestartCount}}")) > 0, 60, f"{service} is restarted")
    stack.await_health("argilla")
    annotator.answer(20)
    stack.tutelage("pull")
    assert annotator.kept() == annotator.given
    until(lambda: "Listening on" in stack.logs("worker"), 120, "Redis takes the worker's password")

    refused = subprocess.run(
        [str(PODMAN), "exec", stack.container("redis"), "redis-cli", "ping"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "NOAUTH" in refused.stdout
    for service in ("argilla", "worker", "postgres", "elasticsearch", "redis"):
        said = run(PODMAN, "inspect", stack.container(service))
        for path in (stack.directory / "secrets").iterdir():
            assert path.read_text("utf-8").strip() not in said, f"{path.name} stands in the settings of {service}"
        assert stack.inspect(service, "{{.EffectiveCaps}}") == "[]"
