"""The embedded server's log: kept short, its owner's alone, and without secrets."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tutelage.feedback.server.lifecycle import Server

LARGE = 5_100_000


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def failing_request(server: Server, path: str) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get(f"/api/v1/{path}").status_code in {401, 404}


def test_a_large_log_is_moved_on_and_the_oldest_goes(server: Server) -> None:
    log = server.data_dir / "server.log"
    old = [log.with_name(f"server.log.{number}") for number in (1, 2, 3)]
    for number in range(5):
        with log.open("ab") as file:
            file.write(f"round {number} ".encode().ljust(LARGE, b"x") + b"\n")
        failing_request(server, f"nothing-{number}")
        until(lambda: log.stat().st_size < LARGE)
    failing_request(server, "nothing-more")
    until(lambda: "nothing-more" in log.read_text("utf-8"))
    assert sorted(path.name for path in log.parent.glob("server.log*")) == ["server.log", *(path.name for path in old)]
    held = [next(n for n in range(5) if f"round {n} " in path.read_text("utf-8")) for path in old]
    assert held == [4, 3, 2]
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in (log, *old)} == {"0o600"}


def test_no_secret_is_in_the_log(server: Server) -> None:
    wrong, key = "a-wrong-password-7h2", "a-wrong-key-81x"
    with httpx.Client(base_url=f"{server.url}/api/v1", trust_env=False) as client:
        given = {"username": server.annotator, "password": server.annotator_password}
        token = client.post("/token", data=given).json()["access_token"]
        assert client.post("/token", data={"username": "somebody", "password": wrong}).status_code == 401
        assert client.get("/me", headers={"X-Argilla-Api-Key": key}).status_code == 401
        assert client.get("/nothing", headers={"Authorization": f"Bearer {token}"}).status_code == 404
        assert client.post("/token", json=given).status_code == 422
        made = {"username": "x", "first_name": "x", "password": wrong, "role": "king"}
        headers = {"X-Argilla-Api-Key": server.api_key}
        assert client.post("/users", json=made, headers=headers).status_code == 422
    log = server.data_dir / "server.log"
    until(lambda: "nothing" in log.read_text("utf-8"))
    said = "".join(path.read_text("utf-8") for path in log.parent.glob("server.log*"))
    assert said.count("/api/v1/token") >= 2, "what fails is logged"
    secrets = _strings(json.loads(_credentials(server).read_text("utf-8"))) - {server.owner, server.annotator}
    assert len(secrets) == 5
    assert [secret for secret in (*secrets, wrong, key, token) if secret in said] == []


def _credentials(server: Server) -> Path:
    return server.data_dir / "credentials.json"


def _strings(found: object) -> set[str]:
    """The words of a JSON object but the workspace's name."""
    if isinstance(found, dict):
        return set().union(*(_strings(value) for key, value in found.items() if key != "workspace"))
    return {str(found)}
