"""Starting, finding and stopping the embedded Argilla, whatever happened before."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tutelage.core.errors import ServerError
from tutelage.core.locks import is_locked
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.server import installation, lifecycle
from tutelage.feedback.server.lifecycle import Server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data directory that does not exist yet; what runs there is stopped afterwards."""
    directory = tmp_path / "argilla"
    yield directory
    lifecycle.down(directory)


def pid(directory: Path) -> int:
    return int(json.loads((directory / "server.lock").read_text())["pid"])


def me(running: Server, key: str) -> str:
    answer = httpx.get(f"{running.url}/api/v1/me", headers={"X-Argilla-Api-Key": key}, trust_env=False)
    return str(answer.raise_for_status().json()["username"])


def kill(directory: Path) -> None:
    number = pid(directory)
    os.kill(number, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while is_locked(directory / "server.lock") and time.monotonic() < deadline:
        time.sleep(0.01)
    lifecycle._started[number].wait()


def test_a_server_is_started_found_and_stopped(home: Path) -> None:
    assert lifecycle.find_server(home) is None
    assert lifecycle.down(home) is False
    running = lifecycle.up(home, port=0)
    assert lifecycle.find_server(home) == running
    assert running.url.startswith("http://127.0.0.1:")
    assert (me(running, running.api_key), me(running, running.annotator_api_key)) == ("owner", "annotator")
    assert lifecycle.up(home, port=0) == running
    assert lifecycle.down(home) is True
    assert lifecycle.find_server(home) is None
    assert (home / "server.lock").read_text() == ""


def test_users_and_keys_survive_a_restart(home: Path) -> None:
    first = lifecycle.up(home, port=0)
    lifecycle.down(home)
    messages: list[str] = []
    second = lifecycle.up(home, port=0, on_progress=messages.append)
    assert second.api_key == first.api_key
    assert second.owner_password == first.owner_password
    assert (me(second, first.api_key), me(second, first.annotator_api_key)) == ("owner", "annotator")
    assert not any("without being stopped" in message for message in messages)


def test_secrets_are_private_and_nowhere_else(home: Path) -> None:
    running = lifecycle.up(home, port=0)
    assert stat.S_IMODE((home / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "argilla.db").stat().st_mode) == 0o600
    command = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid(home))], capture_output=True, text=True, check=True
    )
    seen = command.stdout + (home / "server.log").read_text() + repr(running)
    for secret in (running.api_key, running.owner_password, running.annotator_api_key, running.annotator_password):
        assert len(secret) >= 16
        assert secret not in seen


def test_new_credentials_fit_an_old_database(home: Path) -> None:
    first = lifecycle.up(home, port=0)
    lifecycle.down(home)
    (home / "credentials.json").unlink()
    second = lifecycle.up(home, port=0)
    assert second.api_key != first.api_key
    assert me(second, second.api_key) == "owner"


def test_damaged_credentials_say_what_to_do(home: Path) -> None:
    home.mkdir()
    (home / "credentials.json").write_text('{"owner": ')
    with pytest.raises(ServerError, match=r"credentials\.json is missing or damaged.*remove the file"):
        lifecycle.up(home, port=0)


def test_a_port_in_use_is_told_from_other_trouble(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=f"Port {port} of 127.0.0.1 is in use by another program"):
            lifecycle.up(home, port=port)
    assert lifecycle.up(home, port=port).url.endswith(f":{port}")


def test_a_killed_server_is_noticed_and_nothing_that_was_saved_is_lost(home: Path) -> None:
    running = lifecycle.up(home, port=0)
    make_record(running, "unforgettable")
    kill(home)
    assert lifecycle.find_server(home) is None
    messages: list[str] = []
    running = lifecycle.up(home, port=0, on_progress=messages.append)
    assert "was killed or crashed" in messages[0]
    connection = sqlite3.connect(home / "argilla.db")
    found = connection.execute(
        "SELECT count(*) FROM search_matches WHERE search_matches MATCH 'unforgettable'"
    ).fetchone()
    connection.execute("INSERT INTO search_matches (search_matches, rank) VALUES ('integrity-check', 1)")
    connection.close()
    assert found == (1,)


def test_a_copy_of_the_database_of_a_stopped_server_lacks_nothing(home: Path, tmp_path: Path) -> None:
    make_record(lifecycle.up(home, port=0), "unforgettable")
    assert journal_size(home) > 0
    lifecycle.down(home)
    assert journal_size(home) == 0
    copy = tmp_path / "copy.db"
    copy.write_bytes((home / "argilla.db").read_bytes())
    assert texts(copy) == ["unforgettable"]


def test_somebody_who_has_the_database_open_does_not_keep_answers_out_of_it(home: Path) -> None:
    running = lifecycle.up(home, port=0)
    with closing(sqlite3.connect(home / "argilla.db")) as reader:
        reader.execute("SELECT count(*) FROM records").fetchone()
        make_record(running, "unforgettable")
        lifecycle.down(home)
        assert journal_size(home) == 0


def journal_size(directory: Path) -> int:
    journal = directory / "argilla.db-wal"
    return journal.stat().st_size if journal.exists() else 0


def texts(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [json.loads(fields)["text"] for (fields,) in connection.execute("SELECT fields FROM records")]


def make_record(running: Server, text: str) -> None:
    headers = {"X-Argilla-Api-Key": running.api_key}
    with httpx.Client(base_url=f"{running.url}/api/v1", headers=headers, trust_env=False) as http:
        workspace = http.get("/me/workspaces").json()["items"][0]["id"]
        dataset = http.post("/datasets", json={"name": "d", "workspace_id": workspace}).json()["id"]
        name = {"name": "text", "title": "text", "required": True}
        http.post(f"/datasets/{dataset}/fields", json={**name, "settings": {"type": "text"}})
        http.post(f"/datasets/{dataset}/questions", json={**name, "settings": {"type": "text"}})
        http.put(f"/datasets/{dataset}/publish").raise_for_status()
        record = {"fields": {"text": text}}
        http.put(f"/datasets/{dataset}/records/bulk", json={"items": [record]}).raise_for_status()


def test_a_pid_that_belongs_to_another_program_is_left_alone(home: Path) -> None:
    home.mkdir()
    with subprocess.Popen(["sleep", "60"]) as other:
        (home / "server.lock").write_text(json.dumps({"pid": other.pid, "url": "http://127.0.0.1:9"}))
        assert lifecycle.find_server(home) is None
        assert lifecycle.down(home) is False
        messages: list[str] = []
        lifecycle.up(home, port=0, on_progress=messages.append)
        assert "was killed or crashed" in messages[0]
        lifecycle.down(home)
        assert other.poll() is None
        other.kill()


def test_a_crash_at_the_start_shows_the_end_of_its_own_log(home: Path) -> None:
    home.mkdir()
    (home / "server.log").write_text("an older line\n")
    (home / "argilla.db").write_text("this is no database, but it is long enough to be looked at " * 20)
    with pytest.raises(ServerError) as caught:
        lifecycle.up(home, port=0)
    message = str(caught.value)
    assert "exited while starting" in message
    assert "file is not a database" in message
    assert str(home / "server.log") in message
    assert "an older line" not in message
    (home / "argilla.db").unlink()
    lifecycle.up(home, port=0)


def test_two_starts_at_once_give_one_server(home: Path) -> None:
    found: list[Server] = []
    threads = [threading.Thread(target=lambda: found.append(lifecycle.up(home, port=0))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]


def test_a_second_server_on_the_same_data_refuses(home: Path) -> None:
    running = lifecycle.up(home, port=0)
    python = installation.server_python(lambda _: None)
    command = [python, "-I", installation.EMBEDDED / "serve.py", "--data-dir", home, "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert f"Another server is already running on {home}" in result.stderr
    assert lifecycle.find_server(home) == running


def waiting(home: Path, messages: list[str]) -> tuple[threading.Thread, list[Server | None]]:
    """A step that looks for its server now."""
    found: list[Server | None] = []
    thread = threading.Thread(target=lambda: found.append(lifecycle.await_server(home, messages.append)))
    thread.start()
    return thread, found


@pytest.mark.parametrize("moment", ["starting", "stopped", "between"])
def test_a_step_waits_for_a_server_that_restarts_and_says_so(home: Path, moment: str) -> None:
    first, messages = lifecycle.up(home, port=0), list[str]()
    port = int(first.url.rpartition(":")[2])
    lifecycle.down(home)
    start = threading.Thread(target=lifecycle.up, args=[home, port])
    if moment == "starting":
        start.start()
        until(lambda: is_locked(home / "up.lock"))
    thread, found = waiting(home, messages)
    until(lambda: bool(messages))
    if moment != "starting":
        time.sleep(1 if moment == "between" else 0)
        start.start()
    start.join()
    thread.join()
    assert found == [first]
    assert messages == [f"The Argilla of {home} is not up; waiting up to 30 s while it restarts."]


def test_a_client_waits_while_its_address_refuses_and_says_so(home: Path) -> None:
    first, messages = lifecycle.up(home, port=0), list[str]()
    lifecycle.down(home)
    start = threading.Timer(3, lifecycle.up, args=[home, int(first.url.rpartition(":")[2])])
    start.start()
    with ArgillaClient(first.url, first.api_key, say=messages.append) as argilla:
        assert argilla.user["username"] == "owner"
    start.join()
    assert "does not answer" in messages[0]
    assert "waiting up to 29 s for it." in messages[0]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_step_does_not_wait_where_no_server_starts(home: Path) -> None:
    messages: list[str] = []
    assert lifecycle.await_server(home, messages.append) is None
    home.mkdir()
    (home / "server.lock").touch()
    os.utime(home / "server.lock", (0, time.time() - 60))
    assert lifecycle.await_server(home, messages.append) is None
    (home / "server.lock").write_text('{"pid": 1, "url": "http://127.0.0.1:9"}')  # it was killed
    assert lifecycle.await_server(home, messages.append) is None
    assert messages == []


def test_a_server_outlives_the_program_that_started_it(home: Path) -> None:
    script = (
        f"import pathlib; from tutelage.feedback.server.lifecycle import up; up(pathlib.Path({str(home)!r}), port=0)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=Path(__file__).parents[1])
    assert lifecycle.find_server(home) is not None
    assert os.getsid(pid(home)) == pid(home)


@pytest.fixture
def no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data home without the server's environment."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return installation.data_home() / f"argilla-env-{installation._fingerprint(installation._server_version())}"


def test_an_installation_that_fails_shows_why(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_environment: Path
) -> None:
    assert not no_environment.exists()
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("argilla-lifecycle==0.0.0.dev0\n")
    monkeypatch.setattr(installation, "REQUIREMENTS", requirements)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        ServerError, match=r"(?s)could not be installed.*argilla-lifecycle==0\.0\.0.*argilla-env-.*\.log"
    ):
        lifecycle.up(home, port=0)
    assert not list(installation.data_home().glob(f"*/{installation.COMPLETE}"))
    assert lifecycle.find_server(home) is None


def fake_installation(monkeypatch: pytest.MonkeyPatch, directory: Path) -> list[list[str]]:
    """Let the creation of an environment take no network and a moment of time."""
    commands: list[list[str]] = []

    def run(command: list[str], _log: Path) -> None:
        commands.append(command)
        time.sleep(0.1)
        (directory / "bin").mkdir(parents=True, exist_ok=True)
        (directory / "bin" / "python").touch()

    monkeypatch.setattr(installation, "_run", run)
    return commands


def test_an_interrupted_installation_is_made_anew(monkeypatch: pytest.MonkeyPatch, no_environment: Path) -> None:
    commands = fake_installation(monkeypatch, no_environment)
    (no_environment / "bin").mkdir(parents=True)
    (no_environment / "bin" / "python").touch()
    (no_environment / "half").touch()
    installation.server_python(lambda _: None)
    assert len(commands) == 2
    assert not (no_environment / "half").exists()
    installation.server_python(lambda _: None)
    assert len(commands) == 2


def test_uv_installs_where_it_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_environment: Path) -> None:
    commands = fake_installation(monkeypatch, no_environment)
    uv = tmp_path / "uv"
    uv.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(installation, "_pip_has_an_index", lambda: False)
    installation.server_python(lambda _: None)
    assert [command[0] for command in commands] == [str(uv), str(uv)]
    assert "--no-deps" in commands[1]


def test_pip_installs_where_uv_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_environment: Path) -> None:
    commands = fake_installation(monkeypatch, no_environment)
    monkeypatch.setattr(installation, "_uv", lambda: [str(tmp_path / "uv")])
    succeed = installation._run

    def run(command: list[str], log: Path) -> None:
        if command[0].endswith("uv"):
            raise ServerError("no connection")
        succeed(command, log)

    monkeypatch.setattr(installation, "_run", run)
    messages: list[str] = []
    installation.server_python(messages.append)
    assert "trying with pip" in messages[1]
    assert [command[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]


def test_uv_is_left_alone_where_pip_is_told_of_an_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "uv").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert installation._uv() == [str(tmp_path / "uv")]
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    assert installation._uv() is None


def test_a_python_that_the_server_does_not_run_with_takes_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_environment: Path
) -> None:
    monkeypatch.setattr(installation, "_uv", lambda: None)
    monkeypatch.setattr(installation, "VERSIONS", ((3, 8), (3, 9)))
    other = installation.data_home() / f"argilla-env-{installation._fingerprint((3, 8))}"
    commands = fake_installation(monkeypatch, other)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match=r"does not run with Python 3\.\d+: install Python 3\.9, or uv"):
        installation.server_python(lambda _: None)
    (tmp_path / "python3.8").touch(mode=0o755)
    assert installation.server_python(lambda _: None) == other / "bin" / "python"
    assert commands[0] == [str(tmp_path / "python3.8"), "-m", "venv", str(other)]
    assert not no_environment.exists()


def test_two_installations_at_once_wait_for_each_other(monkeypatch: pytest.MonkeyPatch, no_environment: Path) -> None:
    commands, messages = fake_installation(monkeypatch, no_environment), list[str]()
    threads = [threading.Thread(target=installation.server_python, args=[messages.append]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(commands) == 2  # one environment, one installation into it
    assert sorted(message.split()[0] for message in messages) == ["Installing", "Waiting"]
