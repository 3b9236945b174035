"""Atomic writes: a crash leaves either the old file or the new one, complete."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.core.errors import TaskError

_WRITING = ".writing-"
_LEFT_AFTER_S = 86_400


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    temporary.touch(exist_ok=False)  # with the modes that the umask leaves, unlike mkstemp's
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, last: str) -> Iterator[Path]:
    """A temporary folder beside ``path`` that is renamed to it when the block succeeds.

    ``last`` names the file that marks a folder as complete. An existing folder without it is an
    interrupted copy and is removed; so are temporary folders of runs killed more than a day ago.

    Raises
    ------
    OSError
        When another process has created the folder meanwhile; that one is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{_WRITING}*"):
        if time.time() - left.stat().st_mtime > _LEFT_AFTER_S:
            shutil.rmtree(left, ignore_errors=True)
    if not (path / last).exists():
        shutil.rmtree(path, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=_WRITING, dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_itself(path: Path, flags: int, mode: int = 0o666) -> int:
    """A descriptor of the file, not of one that a symbolic link in its place names: that may be anybody's.

    Raises
    ------
    TaskError
        When the path is a symbolic link.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise TaskError(
            f"{path}: is a symbolic link, and what it names is not written to. Remove the link and run it again."
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
