"""Locks between processes: released when the process that holds them ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.core.files import open_itself


@contextmanager
def locked(path: Path, *, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a file.

    ``on_wait`` is called with the id of the process that holds it ('unknown' where that cannot be
    read); when it returns, the call waits for the lock.
    """
    file = _locked_file(path, on_wait)
    while not _is_of(file, path):  # it was removed while this waited: others lock the one that is there now
        os.close(file)
        file = _locked_file(path, on_wait)
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)


def _locked_file(path: Path, on_wait: Callable[[str], None]) -> int:
    """A descriptor of the file that holds its lock."""
    file = open_itself(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            on_wait(os.pread(file, 20, 0).decode("ascii", "replace").strip() or "unknown")
            fcntl.flock(file, fcntl.LOCK_EX)
        except BaseException:
            os.close(file)
            raise
    return file


def _is_of(file: int, path: Path) -> bool:
    """Whether this is the descriptor of the file that has this path now."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; False when there is no such file."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """While the block runs, ``unused`` of this file says False in other processes.

    Raises
    ------
    FileNotFoundError
        When there is no such file, or it was deleted while this waited.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        path.stat()
        yield
    finally:
        os.close(file)


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Whether no process uses this file; none can begin to while the block runs."""
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(file)
