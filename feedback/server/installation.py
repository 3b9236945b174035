"""The virtual environment of the embedded Argilla: created once, shared by all data directories."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
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
VERSIONS = ((3, 11), (3, 12), (3, 13), (3, 14))  # of Python, that the requirements have wheels for

Version = tuple[int, int]


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
    version = _server_version()
    directory = data_home() / f"argilla-env-{_fingerprint(version)}"
    python = directory / "bin" / "python"
    if _is_complete(directory):
        return python
    directory.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"Waiting for another process that is creating {directory}."
    with locked(directory.with_name(directory.name + ".lock"), on_wait=lambda _holder: on_progress(waiting)):
        if not _is_complete(directory):
            _create(directory, version, on_progress)
    return python


def last_lines(log: Path, start: int = 0) -> str:
    """The last lines of a log after byte `start`, indented for a message."""
    with log.open("rb") as file:
        file.seek(start if start <= log.stat().st_size else 0)  # a new log is shorter than the one before it
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:])


def _server_version() -> Version:
    """The Python that the server runs with: this one, else another on this machine, else one that uv brings."""
    running = sys.version_info[:2]
    if running in VERSIONS:
        return running
    return next((version for version in VERSIONS[::-1] if shutil.which(f"python{_words(version)}")), VERSIONS[-1])


def _fingerprint(version: Version) -> str:
    """Changes with the requirements and with the Python version."""
    return hashlib.sha256(f"python {_words(version)}\n".encode() + REQUIREMENTS.read_bytes()).hexdigest()[:12]


def _words(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _is_complete(directory: Path) -> bool:
    # Its Python is a link to the one that created it, which may be gone.
    return (directory / COMPLETE).exists() and (directory / "bin" / "python").exists()


def _create(directory: Path, version: Version, on_progress: Callable[[str], None]) -> None:
    log = directory.with_name(directory.name + ".log")
    log.unlink(missing_ok=True)
    uv = _uv()
    on_progress(f"Installing the Argilla server into {directory} (once, {'with uv' if uv else 'about a minute'}).")
    if not uv:
        _create_with_pip(directory, version, log)
    else:
        try:
            _create_with_uv(uv, directory, version, log)
        except ServerError:
            on_progress(f"uv could not install it ({log} says why); trying with pip.")
            _create_with_pip(directory, version, log)
    (directory / COMPLETE).touch()


def _uv() -> list[str] | None:
    """The command of uv, on the path or beside this Python; None where there is none or pip knows better."""
    if found := shutil.which("uv"):
        command = [found]
    elif importlib.util.find_spec("uv"):
        command = [sys.executable, "-m", "uv"]
    else:
        return None
    return None if _pip_has_an_index() else command


def _pip_has_an_index() -> bool:
    """Whether pip's settings name an index, or forbid any: uv does not read them."""
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    return bool(re.search(r"\.(index-url|no-index)=", settings.stdout))


def _create_with_uv(uv: list[str], directory: Path, version: Version, log: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)  # what an interrupted creation left
    python = sys.executable if version == sys.version_info[:2] else _words(version)
    uv = [*uv, "--directory", str(directory.parent)]  # not the caller's, whose project may have settings for uv
    _run([*uv, "venv", "--python", python, str(directory)], log)
    install = ["pip", "install", "--no-deps", "--python", str(directory / "bin" / "python"), "-r"]
    _run([*uv, *install, str(REQUIREMENTS)], log)


def _create_with_pip(directory: Path, version: Version, log: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    python = sys.executable if version == sys.version_info[:2] else _other_python(version)
    _run([python, "-m", "venv", str(directory)], log)
    install = ["-m", "pip", "install", "--no-deps", "--no-input", "--disable-pip-version-check", "-r"]
    _run([str(directory / "bin" / "python"), *install, str(REQUIREMENTS)], log)


def _other_python(version: Version) -> str:
    """A Python of that version on this machine."""
    if found := shutil.which(f"python{_words(version)}"):
        return found
    raise ServerError(
        f"The Argilla server does not run with Python {_words(sys.version_info[:2])}: "
        f"install Python {_words(version)}, or uv, which brings it, and run the command again."
    )


def _run(command: list[str], log: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("ab") as output:
        result = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False)
    if result.returncode:
        raise ServerError(
            f"The Argilla server could not be installed: `{' '.join(command)}` failed.\n{last_lines(log)}\n"
            f"The full log is {log}. Fix the cause (often the connection to the package index) and run it again."
        )
