"""Podman and docker-compose.yml for tests: images built, a project of its own started, killed and removed.

TUTELAGE_BUILD_OPTIONS holds what this machine needs for `podman build`, such as `--network host`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from conftest import ROOT

PODMAN = shutil.which("podman")
REASON = "needs podman as root and the base images: apt-get install podman buildah"


def run(*words: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None, ok: bool = True) -> str:
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    assert not ok or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def build(context: Path, target: str, name: str, dockerfile: str = "Dockerfile") -> str:
    """Build a target of a Dockerfile; layers that are there already are used."""
    options = shlex.split(os.environ.get("TUTELAGE_BUILD_OPTIONS", ""))
    run(PODMAN, "build", *options, "--file", context / dockerfile, "--target", target, "--tag", name, context)
    return name


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(wanted: Callable[[], Any], seconds: float, what: str) -> Any:
    """What ``wanted`` gives as soon as it gives something."""
    give_up = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < give_up, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
    return found


class Stack:
    """docker-compose.yml as it is, but for the published ports, with secrets and volumes of its own."""

    def __init__(self, directory: Path, *overrides: Path, **env: str) -> None:
        self.directory, self.name = directory, f"tutelage-test-{uuid4().hex[:8]}"
        self.argilla_port, self.predict_port = free_ports(2)
        text = (ROOT / "docker-compose.yml").read_text("utf-8")
        text = text.replace(":6900:6900", f":{self.argilla_port}:6900").replace(":8080:", f":{self.predict_port}:")
        (directory / "docker-compose.yml").write_text(text, "utf-8")
        run("make", "-f", ROOT / "Makefile", ".env", cwd=directory)
        (directory / ".env").write_text("", "utf-8")  # each call names its profiles
        self.task = directory / "task"
        self.task.mkdir()
        os.chown(self.task, 1000, 1000)
        self._files = [word for path in (directory / "docker-compose.yml", *overrides) for word in ("--file", path)]
        self._env = {"TUTELAGE_TARGET": "core", "TUTELAGE_TASK": str(self.task), **env}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.argilla_port}"

    def secret(self, name: str) -> str:
        return (self.directory / "secrets" / name).read_text("utf-8").strip()

    def compose(self, profile: str, *words: object, ok: bool = True) -> str:
        command = [Path(sys.executable).parent / "podman-compose", "--project-name", self.name, *self._files]
        return run(*command, "--profile", profile, *words, cwd=self.directory, env=self._env, ok=ok)

    def up(self, profile: str, *services: str) -> None:
        """Start services, and wait until each is healthy: older versions of podman do not wait by themselves."""
        for service in services or (profile,):
            self.compose(profile, "up", "--detach", "--no-deps", service)
            self.await_health(service)

    def await_health(self, service: str, seconds: float = 400) -> None:
        if self.inspect(service, "{{.Config.Healthcheck}}") == "<nil>":
            return

        def is_healthy() -> bool:
            words = (PODMAN, "healthcheck", "run", self.container(service))
            return subprocess.run([*map(str, words)], capture_output=True, check=False).returncode == 0

        try:
            until(is_healthy, seconds, f"{service} is healthy")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs(service)}") from None

    def container(self, service: str) -> str:
        return f"{self.name}_{service}_1"

    def inspect(self, service: str, what: str) -> str:
        return run(PODMAN, "inspect", "--format", what, self.container(service)).strip()

    def logs(self, service: str) -> str:
        done = subprocess.run(
            [str(PODMAN), "logs", self.container(service)], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def kill(self, service: str) -> None:
        """As a crash does, which the engine did not ask for."""
        os.kill(int(self.inspect(service, "{{.State.Pid}}")), signal.SIGKILL)

    def recreate(self, profile: str, service: str) -> None:
        """Kill a container, remove it and start another one: what was in it alone is lost."""
        run(PODMAN, "rm", "--force", "--time", "0", self.container(service))
        self.compose(profile, "up", "--detach", "--no-deps", service)
        self.await_health(service)

    def tutelage(self, *words: object) -> str:
        """A command in a container of the service ``retrain``."""
        return self.compose("retrain", "run", "--rm", "-T", "--no-deps", "retrain", *words)

    def remove(self) -> None:
        for profile in ("predict", "retrain", "embedded", "full"):
            self.compose(profile, "down", "--volumes", "--timeout", "1", ok=False)
