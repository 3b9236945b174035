"""What Argilla reads from the environment; set before any of its modules is imported."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

ENGINE = "sql"
BUSY_SECONDS = 60  # how long one request waits for another one's write

TEMPORARY = "tmp"
"""The folder of the data directory that serves as temporary directory, Argilla's copy of its pages in it."""


def configure(data_dir: Path, auth_secret: str) -> None:
    """Point Argilla at `data_dir` and keep it to itself."""
    os.umask(0o077)  # the database holds API keys in clear
    os.chdir(data_dir)
    for name in [name for name in os.environ if name.startswith("ARGILLA_")]:
        del os.environ[name]  # meant for a client or for another server
    os.environ.update(
        ARGILLA_HOME_PATH=str(data_dir),
        # Relative to the data directory, so that no character of its name needs escaping.
        ARGILLA_DATABASE_URL="sqlite+aiosqlite:///argilla.db?check_same_thread=False",
        ARGILLA_DATABASE_SQLITE_TIMEOUT=str(BUSY_SECONDS),
        ARGILLA_SEARCH_ENGINE=ENGINE,
        ARGILLA_AUTH_SECRET_KEY=auth_secret,
        ARGILLA_CORS_ORIGINS="[]",  # its own pages need none
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_OFFLINE="1",
    )
    _own_temporary_directory(data_dir / TEMPORARY)


def _own_temporary_directory(directory: Path) -> None:
    """Argilla copies its web pages to a temporary directory at each start and never removes them."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    tempfile.tempdir = str(directory)
