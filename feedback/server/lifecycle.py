"""The embedded Argilla: start, find and stop it.

A server belongs to a data directory:

    credentials.json   names, passwords, keys (credentials.py)
    server.lock        locked by the server as long as it runs; contains its pid and address
    server.log         its log
    argilla.db         all data of Argilla

The lock, not the pid, says whether a server runs: it is released with the process, so a reused pid is
never mistaken for the server's.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tutelage.core.errors import ServerError
from tutelage.core.locks import is_locked, locked
from tutelage.feedback.server.credentials import GivenCredentials, ensure_credentials, read_credentials
from tutelage.feedback.server.installation import EMBEDDED, data_home, last_lines, server_python
from tutelage.feedback.server.listening import HOST, PORT, check_reach, listener_on, url_of_listener

START_SECONDS = 180.0
STOP_SECONDS = 15.0
PROBE_SECONDS = 2.0
STDERR = 2
RESTART_SECONDS = 30.0
"""How long a step waits for a server that starts."""
STOPPED_SECONDS = 5.0
"""Between the stop and the start of a restart nothing is locked; a server stopped so recently may come again."""


class DetachedProcess(subprocess.Popen[bytes]):
    """A process that outlives this one, without the warning that it still runs."""

    def __del__(self) -> None:
        pass


_started: dict[int, DetachedProcess] = {}  # to collect their exit status when this process stops them


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running embedded Argilla, and its accounts."""

    url: str
    owner: str
    owner_password: str = field(repr=False)
    api_key: str = field(repr=False)  # the owner's
    annotator: str
    annotator_password: str = field(repr=False)
    annotator_api_key: str = field(repr=False)
    workspace: str  # of which the annotator is a member
    data_dir: Path


def _ignore(_message: str) -> None:
    pass


def up(
    data_dir: Path | None = None,
    port: int | None = None,
    on_progress: Callable[[str], None] = _ignore,
    *,
    host: str = HOST,
    given: GivenCredentials | None = None,
) -> Server:
    """The embedded Argilla of a data directory, started if it does not run.

    Parameters
    ----------
    data_dir
        Contains all of its state; by default one directory per user.
    port
        Where it listens if it is started; 0 picks a free one. By default 6900.
    on_progress
        Called with a message about steps that take a while.
    host
        The address that it listens on if it is started.
    given
        The owner's password and API key; an address that other machines reach needs them.

    Raises
    ------
    ServerError
        When the server cannot be installed or started, or the port is in use.
    """
    check_reach(host, given)
    with alone_in(data_dir, on_progress) as directory:
        holder = holder_of(directory)
        if holder is not None:
            return _wait_for_running(directory, holder)
        report_crash(directory, on_progress)
        ensure_credentials(directory, given)
        log = directory / "server.log"
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
            server, process = start_process(directory, (host, port), output.fileno(), on_progress)
        _started[process.pid] = process
        return server


@contextmanager
def alone_in(data_dir: Path | None, on_progress: Callable[[str], None]) -> Iterator[Path]:
    """The data directory, made where it is missing, while no other process starts a server there."""
    directory = _directory(data_dir)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    waiting = f"Waiting for another process that is starting the Argilla of {directory}."
    with locked(directory / "up.lock", on_wait=lambda _holder: on_progress(waiting)):
        yield directory


def find_server(data_dir: Path | None = None) -> Server | None:
    """The running embedded Argilla of a data directory, or None if there is none that answers."""
    directory = _directory(data_dir)
    holder = holder_of(directory)
    server = _server(directory, holder["url"]) if holder else None
    return server if server and _answers(server) else None


def await_server(data_dir: Path | None = None, on_progress: Callable[[str], None] = _ignore) -> Server | None:
    """The running embedded Argilla, waited for while it starts or was stopped a moment ago; None if there is none."""
    directory, give_up = _directory(data_dir), time.monotonic() + RESTART_SECONDS
    server = find_server(directory)
    if server is None and _may_come(directory):
        on_progress(f"The Argilla of {directory} is not up; waiting up to {RESTART_SECONDS:.0f} s while it restarts.")
    while server is None and _may_come(directory) and time.monotonic() < give_up:
        time.sleep(0.2)
        server = find_server(directory)
    return server


def _may_come(directory: Path) -> bool:
    """Whether a server starts, or stops, or was stopped a moment ago."""
    if is_locked(directory / "up.lock") or is_locked(directory / "server.lock"):
        return True
    try:
        stopped = (directory / "server.lock").stat()
    except FileNotFoundError:
        return False
    return stopped.st_size == 0 and 0 <= time.time() - stopped.st_mtime < STOPPED_SECONDS


def down(data_dir: Path | None = None) -> bool:
    """Stop the embedded Argilla of a data directory; False if none runs."""
    directory = _directory(data_dir)
    holder = holder_of(directory)
    if holder is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(holder["pid"], number)
        if _wait_for_end(directory, holder["pid"]):
            return True
    raise ServerError(
        f"The Argilla of {directory} (process {holder['pid']}) did not stop. "
        f"Check whether its disk hangs, then stop it with `kill -9 {holder['pid']}`."
    )


def _directory(data_dir: Path | None) -> Path:
    return (data_home() / "argilla" if data_dir is None else data_dir).resolve()


def holder_of(directory: Path) -> dict[str, Any] | None:
    """Pid and address of the server that holds the lock of `directory`; None without one."""
    give_up = time.monotonic() + PROBE_SECONDS
    while is_locked(directory / "server.lock"):
        try:
            return dict(json.loads((directory / "server.lock").read_text(encoding="utf-8")))
        except ValueError:  # it has just taken the lock and not written yet, or is about to stop
            if time.monotonic() > give_up:
                raise ServerError(
                    f"{directory / 'server.lock'} is locked by a program that is not the embedded Argilla. "
                    "Close the program that uses the file and run the command again."
                ) from None
            time.sleep(0.05)
    return None


def report_crash(directory: Path, on_progress: Callable[[str], None]) -> None:
    """Report a server that was killed: its lock file has its pid, that of a stopped one is empty."""
    lock = directory / "server.lock"
    if lock.exists() and lock.stat().st_size:
        on_progress(
            f"The Argilla of {directory} was killed or crashed "
            f"(its log: {directory / 'server.log'}). Starting it again; no saved data is lost."
        )


def start_process(
    directory: Path, where: tuple[str, int | None], output: int, on_progress: Callable[[str], None]
) -> tuple[Server, DetachedProcess]:
    """A server that answers, and its process, which writes its log to ``output``."""
    log = directory / "server.log"
    with listener_on(where[0], PORT if where[1] is None else where[1]) as listener:
        python, url = server_python(on_progress), url_of_listener(listener)
        on_progress(f"Starting Argilla on {url}.")
        server, start = _server(directory, url), _size(log)
        process = _spawn(python, directory, listener, output)
    try:
        _wait_for_start(server, process, lambda: "" if output == STDERR else _end_of(log, start))
    except BaseException:
        process.kill()  # also when interrupted: nothing else would stop it
        process.wait()
        raise
    return server, process


def _end_of(log: Path, start: int) -> str:
    return f" The end of {log}:\n{last_lines(log, start)}"


def _spawn(python: Path, directory: Path, listener: socket.socket, output: int) -> DetachedProcess:
    """Start the server in a session of its own, so that it outlives this process and its terminal."""
    number = listener.fileno()
    command = [str(python), "-I", str(EMBEDDED / "serve.py"), "--data-dir", str(directory), "--socket", str(number)]
    return DetachedProcess(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=[number],
        start_new_session=True,
    )


def _wait_for_start(server: Server, process: DetachedProcess, end_of_log: Callable[[], str]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not _answers(server):
        if process.poll() is not None:
            raise ServerError(f"Argilla exited while starting (exit status {process.returncode}).{end_of_log()}")
        if time.monotonic() > give_up:
            raise ServerError(
                f"Argilla did not answer on {server.url} within {START_SECONDS:.0f} s and was stopped.{end_of_log()}"
            )
        time.sleep(0.05)


def _wait_for_running(directory: Path, holder: dict[str, Any]) -> Server:
    server = _server(directory, holder["url"])
    give_up = time.monotonic() + STOP_SECONDS
    while not _answers(server):
        if time.monotonic() > give_up:
            raise ServerError(
                f"The Argilla of {directory} runs (process {holder['pid']}) but does not answer on {server.url}. "
                f"See {directory / 'server.log'}, then stop it with `tutelage down` and start it again."
            )
        time.sleep(0.2)
    return server


def _wait_for_end(directory: Path, pid: int) -> bool:
    give_up = time.monotonic() + STOP_SECONDS
    while time.monotonic() < give_up:
        if pid in _started and _started[pid].poll() is not None:
            del _started[pid]
        if not is_locked(directory / "server.lock"):
            return True
        time.sleep(0.05)
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has just ended by itself
    except PermissionError as error:
        raise ServerError(
            f"The embedded Argilla (process {pid}) belongs to another user: stop it as that user."
        ) from error


def _answers(server: Server) -> bool:
    """Whether it answers, and accepts our API key."""
    try:
        with httpx.Client(trust_env=False, timeout=PROBE_SECONDS) as client:  # no proxy to this machine
            answer = client.get(f"{server.url}/api/v1/me", headers={"X-Argilla-Api-Key": server.api_key})
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def _server(directory: Path, url: str) -> Server:
    credentials = read_credentials(directory)
    return Server(
        url=url,
        owner=credentials["owner"]["username"],
        owner_password=credentials["owner"]["password"],
        api_key=credentials["owner"]["api_key"],
        annotator=credentials["annotator"]["username"],
        annotator_password=credentials["annotator"]["password"],
        annotator_api_key=credentials["annotator"]["api_key"],
        workspace=credentials["workspace"],
        data_dir=directory,
    )


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
