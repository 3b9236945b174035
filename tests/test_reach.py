"""The embedded Argilla for other machines: with credentials of one's own only, in the foreground, until a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest
from conftest import ROOT
from data_home import own_data_home

from tutelage.core.errors import ServerError, TaskError
from tutelage.core.settings import load_settings
from tutelage.feedback.server.credentials import GivenCredentials
from tutelage.feedback.server.listening import check_reach

EVERYWHERE = "0.0.0.0"
PASSWORD, KEY = "a password of one's own", "a-key-of-one's-own"


class Foreground:
    """``tutelage up --foreground`` in a process of its own."""

    def __init__(self, env: dict[str, str], *words: str) -> None:
        command = [sys.executable, "-m", "tutelage", "up", "--foreground", "--port", "0", "--json", *words]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.said = json.loads(self.process.stdout.readline())
        self.port = int(self.said["url"].rsplit(":", 1)[1])

    def stop(self, number: int = signal.SIGTERM) -> str:
        """What it wrote to standard error."""
        self.process.send_signal(number)
        _, words = self.process.communicate(timeout=30)
        return words

    def signs_in(self, password: str) -> bool:
        form = {"username": "owner", "password": password}
        return httpx.post(f"{self.said['url']}/api/v1/token", data=form, trust_env=False, timeout=30).is_success


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return own_data_home(tmp_path)


@pytest.fixture
def foreground(home: dict[str, str]) -> Iterator[Callable[..., Foreground]]:
    running: list[Foreground] = []

    def start(*words: str, **env: str) -> Foreground:
        running.append(Foreground(home | env, *words))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.stop()


def test_it_answers_other_machines_with_the_given_credentials(
    foreground: Callable[..., Foreground],
    home: dict[str, str],
    tmp_path: Path,
    tutelage: Callable[..., CompletedProcess[str]],
) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    given = {"ARGILLA_PASSWORD": PASSWORD, "ARGILLA_API_KEY_FILE": str(tmp_path / "key")}
    first = foreground("--host", EVERYWHERE, **given)
    assert first.said == {"url": f"http://127.0.0.1:{first.port}", "annotator": "annotator", "owner": "owner"}
    me = httpx.get(f"http://127.0.0.2:{first.port}/api/v1/me", headers={"X-Argilla-Api-Key": KEY}, trust_env=False)
    assert me.json()["role"] == "owner"
    assert first.signs_in(PASSWORD)
    second = tutelage("up", "--foreground", env=home, ok=False)
    assert "runs already" in second.stderr

    log = first.stop()
    assert first.process.returncode == 0
    assert "Application shutdown complete" in log
    assert PASSWORD not in log
    assert KEY not in log
    assert (tmp_path / "data" / "tutelage" / "argilla" / "server.lock").read_text() == ""

    again = foreground("--host", EVERYWHERE, **given | {"ARGILLA_PASSWORD": "another password"})
    assert again.signs_in("another password")
    assert not again.signs_in(PASSWORD)
    again.stop(signal.SIGINT)
    assert again.process.returncode == 0


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "server.example"])
def test_others_are_let_in_with_credentials_only(host: str) -> None:
    with pytest.raises(ServerError, match="set ARGILLA_PASSWORD and ARGILLA_API_KEY"):
        check_reach(host, None)
    check_reach(host, GivenCredentials(PASSWORD, KEY))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_alone_needs_none(host: str) -> None:
    check_reach(host, None)


@pytest.mark.parametrize(("password", "key", "name"), [("12345678", KEY, "PASSWORD"), (PASSWORD, "k", "API_KEY")])
def test_credentials_that_can_be_guessed_are_refused(password: str, key: str, name: str) -> None:
    with pytest.raises(ServerError, match=f"ARGILLA_{name} has {len(password if name == 'PASSWORD' else key)} char"):
        GivenCredentials(password, key)


def test_the_command_refuses_before_it_installs_or_starts_anything(
    tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    done = tutelage("up", "--host", EVERYWHERE, env={"XDG_DATA_HOME": str(tmp_path)}, ok=False)
    assert done.returncode == 1
    assert "Other machines can reach 0.0.0.0" in done.stderr
    assert not list(tmp_path.iterdir())


# Secrets in files


def test_a_secret_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("ARGILLA_API_KEY_FILE", str(tmp_path / "key"))
    key = load_settings(tmp_path).argilla_api_key
    assert key
    assert key.get_secret_value() == "from the file"
    assert "from the file" not in repr(load_settings(tmp_path))
    monkeypatch.setenv("ARGILLA_API_KEY", "from the environment")
    key = load_settings(tmp_path).argilla_api_key
    assert key
    assert key.get_secret_value() == "from the environment"


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (" \n", "is empty")])
def test_a_file_without_a_secret_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    monkeypatch.setenv("ARGILLA_PASSWORD_FILE", str(tmp_path / "key"))
    with pytest.raises(TaskError, match=f"ARGILLA_PASSWORD_FILE names .*key, which {words}"):
        load_settings(tmp_path)
