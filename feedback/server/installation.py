"""The virtual environment of the embedded Argilla: created once, shared by all data directories."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs

from tutelage.core.errors import ServerError
from tutelage.core.locks import locked

EMBEDDED = Path(__file__).parent.parent / "embedded"
REQUIREMENTS = EMBEDDED / "requirements.txt"
COMPLETE = "complete"  # written last into an environment
LOG_LINES = 15


def data_home() -> Path:
    """The user's data directory of tutelage."""
    return platformdirs.user_data_path("tutelage")


def server_python(on_progress: Callable[[str], None]) -> Path:
    """The Python of the server's environment, which is created first where it is missing.

    Raises
    ------
    ServerError
        When the environment cannot be created.
    """
    directory = data_home() / f"argilla-env-{_fingerprint()}"
    python = directory / "bin" / "python"
    if _is_complete(directory):
        return python
    directory.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"Waiting for another process that is creating {directory}."
    with locked(directory.with_name(directory.name + ".lock"), on_wait=lambda _holder: on_progress(waiting)):
        if not _is_complete(directory):
            _create(directory, python, on_progress)
    return python


def last_lines(log: Path, start: int = 0) -> str:
    """The last lines of a log after byte `start`, indented for a message."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:])


def _fingerprint() -> str:
    """Changes with the requirements and with the Python version."""
    version = f"python {sys.version_info.major}.{sys.version_info.minor}\n".encode()
    return hashlib.sha256(version + REQUIREMENTS.read_bytes()).hexdigest()[:12]


def _is_complete(directory: Path) -> bool:
    # Its Python is a link to the one that created it, which may be gone.
    return (directory / COMPLETE).exists() and (directory / "bin" / "python").exists()


def _create(directory: Path, python: Path, on_progress: Callable[[str], None]) -> None:
    shutil.rmtree(directory, ignore_errors=True)  # what an interrupted creation left
    on_progress(f"Installing the Argilla server into {directory} (once, about a minute).")
    log = directory.with_name(directory.name + ".log")
    log.unlink(missing_ok=True)
    _run([sys.executable, "-m", "venv", str(directory)], log)
    install = ["-m", "pip", "install", "--no-deps", "--no-input", "--disable-pip-version-check", "-r"]
    _run([str(python), *install, str(REQUIREMENTS)], log)
    (directory / COMPLETE).touch()


def _run(command: list[str], log: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("ab") as output:
        result = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False)
    if result.returncode:
        raise ServerError(
            f"The Argilla server could not be installed: `{' '.join(command)}` failed.\n{last_lines(log)}\n"
            f"The full log is {log}. Fix the cause (often the connection to the package index) and run it again."
        )
