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

import errno
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tutelage.core.errors import ServerError
from tutelage.core.locks import is_locked, locked
from tutelage.feedback.server.credentials import ensure_credentials, read_credentials
from tutelage.feedback.server.installation import EMBEDDED, data_home, last_lines, server_python

HOST = "127.0.0.1"
PORT = 6900
START_SECONDS = 180.0
STOP_SECONDS = 15.0
PROBE_SECONDS = 2.0
RESTART_SECONDS = 30.0
"""How long a step waits for a server that starts."""
STOPPED_SECONDS = 5.0
"""Between the stop and the start of a restart nothing is locked; a server stopped so recently may come again."""


class _Detached(subprocess.Popen[bytes]):
    """A process that outlives this one, without the warning that it still runs."""

    def __del__(self) -> None:
        pass


_started: dict[int, _Detached] = {}  # to collect their exit status when this process stops them


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


def up(data_dir: Path | None = None, port: int | None = None, on_progress: Callable[[str], None] = _ignore) -> Server:
    """The embedded Argilla of a data directory, started if it does not run.

    Parameters
    ----------
    data_dir
        Contains all of its state; by default one directory per user.
    port
        The port on 127.0.0.1 if it is started; 0 picks a free one. By default 6900.
    on_progress
        Called with a message about steps that take a while.

    Raises
    ------
    ServerError
        When the server cannot be installed or started, or the port is in use.
    """
    directory = _directory(data_dir)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    waiting = f"Waiting for another process that is starting the Argilla of {directory}."
    with locked(directory / "up.lock", on_wait=lambda _holder: on_progress(waiting)):
        holder = _holder(directory)
        if holder is not None:
            return _wait_for_running(directory, holder)
        _report_crash(directory, on_progress)
        ensure_credentials(directory)
        return _start(directory, PORT if port is None else port, on_progress)


def find_server(data_dir: Path | None = None) -> Server | None:
    """The running embedded Argilla of a data directory, or None if there is none that answers."""
    directory = _directory(data_dir)
    holder = _holder(directory)
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


def free_port(wanted: int = PORT) -> int:
    """The wanted port, or 0, which stands for any free one, where it is in use."""
    try:
        with _listener(wanted):
            return wanted
    except ServerError:
        return 0


def down(data_dir: Path | None = None) -> bool:
    """Stop the embedded Argilla of a data directory; False if none runs."""
    directory = _directory(data_dir)
    holder = _holder(directory)
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


def _holder(directory: Path) -> dict[str, Any] | None:
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


def _report_crash(directory: Path, on_progress: Callable[[str], None]) -> None:
    """Report a server that was killed: its lock file has its pid, that of a stopped one is empty."""
    lock = directory / "server.lock"
    if lock.exists() and lock.stat().st_size:
        on_progress(
            f"The Argilla of {directory} was killed or crashed "
            f"(its log: {directory / 'server.log'}). Starting it again; no saved data is lost."
        )


def _start(directory: Path, port: int, on_progress: Callable[[str], None]) -> Server:
    log = directory / "server.log"
    with _listener(port) as listener:
        python = server_python(on_progress)
        on_progress(f"Starting Argilla on {_url(listener)}.")
        server, start = _server(directory, _url(listener)), _size(log)
        process = _spawn(python, directory, listener, log)
    try:
        _wait_for_start(server, process, log, start)
    except BaseException:
        process.kill()  # also when interrupted: nothing else would stop it
        process.wait()
        raise
    _started[process.pid] = process
    return server


def _listener(port: int) -> socket.socket:
    """A listening socket, bound here so that a port in use is reported at once."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise ServerError(
                f"Argilla cannot listen on {HOST}:{port}: {error.strerror}. Choose another port."
            ) from error
        raise ServerError(
            f"Port {port} of {HOST} is in use by another program, so Argilla cannot listen there. "
            "Stop that program or choose another port (0 picks a free one)."
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}"


def _spawn(python: Path, directory: Path, listener: socket.socket, log: Path) -> _Detached:
    """Start the server in a session of its own, so that it outlives this process and its terminal."""
    number = listener.fileno()
    command = [str(python), "-I", str(EMBEDDED / "serve.py"), "--data-dir", str(directory), "--socket", str(number)]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
        return _Detached(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[number],
            start_new_session=True,
        )


def _wait_for_start(server: Server, process: _Detached, log: Path, start: int) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not _answers(server):
        if process.poll() is not None:
            raise ServerError(
                f"Argilla exited while starting (exit status {process.returncode}). The end of {log}:\n"
                f"{last_lines(log, start)}"
            )
        if time.monotonic() > give_up:
            raise ServerError(
                f"Argilla did not answer on {server.url} within {START_SECONDS:.0f} s and was stopped. "
                f"The end of {log}:\n{last_lines(log, start)}"
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
