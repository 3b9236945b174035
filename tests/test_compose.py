"""docker-compose.yml: pinned, on loopback only, healthy, and without a secret in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_every_image_has_a_full_version() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", service["image"]), name


def test_only_argilla_is_published_and_on_loopback() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "argilla": ["127.0.0.1:6900:6900"]
    }


def test_who_is_waited_for_can_tell_that_it_is_healthy() -> None:
    waited_for = {name for service in SERVICES.values() for name in service.get("depends_on", {})}
    assert waited_for == {"argilla", "postgres", "elasticsearch", "redis"}
    assert all("healthcheck" in SERVICES[name] for name in waited_for)


def test_every_secret_comes_from_the_generated_env(tmp_path: Path) -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text("utf-8")))
    subprocess.run(["make", "-f", ROOT / "Makefile", ".env"], cwd=tmp_path, check=True, capture_output=True)
    lines = (tmp_path / ".env").read_text("utf-8").splitlines()
    made = dict(line.split("=", 1) for line in lines)
    assert set(made) == needed
    assert len(set(made.values())) == len(made)
    assert all(len(secret) == 48 for secret in made.values())
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
