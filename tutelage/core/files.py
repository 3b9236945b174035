"""Atomic writes: a crash leaves either the old file or the new one, complete.

What is written is its owner's alone, from its first byte on and whatever the umask, unless ``let_group_read`` was told
otherwise of the task directory that it lies in.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tutelage.core.errors import TaskError

_WRITING = ".writing-"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
_LEFT_AFTER_S = 3600
"""Younger ones stay: their writer may not hold them yet, or be of an earlier version, which holds none."""
_OWNER_FILE, _OWNER_FOLDER, _GROUP_FILE, _GROUP_FOLDER = 0o600, 0o700, 0o040, 0o050
_group_reads: set[Path] = set()
"""Task directories whose files the group may read."""
_KEYS = ".env"  # holds keys: never for the group


def let_group_read(root: Path, *, allowed: bool) -> None:
    """Say whether the group may read what is written into a directory from now on."""
    (_group_reads.add if allowed else _group_reads.discard)(root.resolve())


def file_mode(path: Path) -> int:
    """The mode of a file that is written there."""
    return _OWNER_FILE | (_GROUP_FILE if _is_for_group(path) else 0)


def _folder_mode(path: Path) -> int:
    return _OWNER_FOLDER | (_GROUP_FOLDER if _is_for_group(path) else 0)


def _is_for_group(path: Path) -> bool:
    if not _group_reads or path.name == _KEYS:
        return False
    folder = path.parent.resolve()
    return bool(_group_reads & {folder, *folder.parents})


def close_to_others(paths: Iterable[Path]) -> None:
    """Give files and folders that are there the modes that they would be written with.

    What a symbolic link names is not ours to change; what another user owns cannot be changed and stays.
    """
    for path in paths:
        with suppress(FileNotFoundError, PermissionError):
            _close(path, path.lstat().st_mode)


def _close(path: Path, now: int) -> None:
    wanted = _folder_mode(path) if stat.S_ISDIR(now) else file_mode(path)
    is_ours = stat.S_ISDIR(now) or stat.S_ISREG(now)
    if is_ours and stat.S_IMODE(now) & 0o777 != wanted:
        path.chmod(stat.S_IMODE(now) & ~0o777 | wanted)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none."""
    if not path.is_dir():
        path.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
        close_to_others([path])


def make_file(path: Path) -> None:
    """Make an empty file where there is none, for a library that would make it with other modes."""
    with suppress(OSError):  # a file that is there; whatever else is wrong the library says
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_FILE))
        close_to_others([path])


@contextmanager
def replacing(path: Path, *, public: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block succeeds.

    ``public``: with the modes that the umask leaves, for what people asked to have written somewhere.
    """
    temporary = temporary_beside(path)
    if public:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    else:
        make_folder(path.parent)
        temporary.touch(_OWNER_FILE, exist_ok=False)
        close_to_others([temporary])
    try:
        with held(temporary):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, last: str) -> Iterator[Path]:
    """A temporary folder beside ``path`` that is renamed to it when the block succeeds.

    ``last`` names the file that marks a folder as complete. An existing folder without it is an
    interrupted copy and is removed; so are temporary folders of runs killed more than an hour ago.

    Raises
    ------
    OSError
        When another process has created the folder meanwhile; that one is kept.
    """
    make_folder(path.parent)
    remove_left(path.parent, path.name)
    if not (path / last).exists():
        shutil.rmtree(path, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=_WRITING, dir=path.parent))
    try:
        with held(temporary):
            yield temporary
        close_to_others([*temporary.rglob("*"), temporary])
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_beside(path: Path) -> Path:
    """A new name beside ``path`` that ``remove_left`` knows; nothing is made."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """While the block runs, ``remove_left`` leaves this temporary file or folder alone."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def remove_left(folder: Path, name: str = "") -> None:
    """Remove what killed writers left in a folder: temporary files and folders an hour old that no process holds.

    ``name`` restricts it to what was to become the file or folder of this name.
    """
    found = folder.glob(f".{glob.escape(name) or '*'}.*")
    left = [path for path in found if _TEMPORARY.fullmatch(path.name)] + list(folder.glob(f"{_WRITING}*"))
    for path in left:
        if _is_left(path):
            _remove(path)


def _is_left(path: Path) -> bool:
    try:
        if time.time() - path.lstat().st_mtime < _LEFT_AFTER_S:
            return False
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, a symbolic link, or another user's
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(file)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def open_itself(path: Path, flags: int) -> int:
    """A descriptor of the file, not of one that a symbolic link in its place names: that may be anybody's.

    Raises
    ------
    TaskError
        When the path is a symbolic link.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, file_mode(path))
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise TaskError(
            f"{path}: is a symbolic link, and what it names is not written to. Remove the link and run it again."
        ) from None


def write_text(path: Path, text: str, *, public: bool = False) -> None:
    """Write a small UTF-8 text file atomically; ``public`` as for ``replacing``."""
    with replacing(path, public=public) as temporary:
        temporary.write_text(text, encoding="utf-8")
