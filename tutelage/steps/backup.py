"""Safety copies: the task directory and the embedded Argilla in one archive, taken while people work."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from tutelage.core import __version__
from tutelage.core.errors import TaskError, TutelageError
from tutelage.core.files import replacing
from tutelage.core.locks import is_locked
from tutelage.core.task import FILE_NAME
from tutelage.core.workspace import Workspace

ABOUT, TASK, ARGILLA = "backup.json", "task", "argilla"
_TASK_DB, _ARGILLA_DB, _CREDENTIALS = "task.db", "argilla.db", "credentials.json"
_POINTERS = ("snapshots/latest", "students/history.json", "students/champion")
"""Copied before what they name, which is then there: a snapshot or a student is complete before it is pointed to."""
_BY_SQLITE = {_TASK_DB, f"{_TASK_DB}-wal", f"{_TASK_DB}-shm"}


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A safety copy.

    Parameters
    ----------
    file
        The archive; it holds passwords and keys, and only its owner can read it.
    task, created_at, tutelage
        The task's name, when it was taken in ISO 8601, and the version that took it.
    files, bytes
        How many files of the task it holds, and how large it is.
    argilla
        Whether it holds the data of the embedded Argilla too.
    """

    file: str
    task: str
    created_at: str
    tutelage: str
    files: int
    bytes: int
    argilla: bool


@dataclass(frozen=True)
class Restored:
    """What ``restore`` wrote: the task directory, and whether the embedded Argilla's data, which never replace any."""

    directory: str
    argilla: bool
    argilla_kept: bool


def backup(workspace: Workspace, file: Path, argilla: Path | None, *, force: bool = False) -> Backup:
    """Write the task directory, and the embedded Argilla's data directory ``argilla`` if there is one, to an archive.

    Databases are copied as of one moment each, the task's first: answers that come later are in Argilla's copy and
    are fetched by the next ``pull``, and nothing that the task's copy says it has sent is missing in Argilla's.

    Raises
    ------
    TaskError
        When the archive's name does not end in .tar.gz, or the file is there and ``force`` is not given.
    """
    if not file.name.endswith(".tar.gz"):
        raise TaskError(f"{file}: a backup is a .tar.gz file; give it such a name")
    if file.exists() and not force:
        raise TaskError(f"{file}: is there already; name another file, or replace it with --force")
    task, at = workspace.task.name, datetime.now(UTC).isoformat(timespec="seconds")
    with replacing(file) as unfinished:
        unfinished.chmod(0o600)  # also where the group may read the task: it holds keys
        with (
            tarfile.open(unfinished, "w:gz", compresslevel=1, dereference=True) as archive,
            tempfile.TemporaryDirectory() as folder,
        ):
            about = {"task": task, "created_at": at, "tutelage": __version__}
            (Path(folder) / ABOUT).write_text(json.dumps(about), "utf-8")
            archive.add(Path(folder) / ABOUT, ABOUT)  # first: a later backup leaves out what begins with it
            files = _add_task(archive, workspace, Path(folder))
            has_argilla = argilla is not None and _add_argilla(archive, argilla, Path(folder))
        _sync(unfinished)
    return Backup(file=str(file), **about, files=files, bytes=file.stat().st_size, argilla=has_argilla)


def _add_task(archive: tarfile.TarFile, workspace: Workspace, folder: Path) -> int:
    names = [name for name in _POINTERS if (workspace.root / name).exists()]
    if workspace.db.exists():
        copy_database(workspace.db, folder / _TASK_DB)
        archive.add(folder / _TASK_DB, f"{TASK}/{_TASK_DB}")
    for name in names:
        archive.add(workspace.root / name, f"{TASK}/{name}")
    count = len(names) + workspace.db.exists()
    for path in _lasting(workspace.root):
        name = path.relative_to(workspace.root).as_posix()
        if name not in names and name not in _BY_SQLITE:
            count += _add(archive, path, f"{TASK}/{name}")
    return count


def _add(archive: tarfile.TarFile, path: Path, name: str) -> bool:
    """Add a file; False where it was a temporary one that is gone."""
    try:
        archive.add(path, name, recursive=False)
    except FileNotFoundError:
        return False
    return True


def _lasting(root: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The files in a directory that are neither backups nor just being written: those have a dot before their name.

    A folder that a link names is one of the task's, such as students on another disk; one that leads back to
    where it lies (``above``) is left out, and so is what is no file.
    """
    above |= {root.resolve()}
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") and path.name not in {".env", ".env.example", ".gitignore"}:
            continue
        if path.is_dir():
            yield from () if path.resolve() in above else _lasting(path, above)
        elif path.is_file() and not _is_backup(path):
            yield path


def _is_backup(path: Path) -> bool:
    """Whether a file is itself an archive that ``backup`` wrote."""
    if not path.name.endswith(".tar.gz"):
        return False
    try:
        with tarfile.open(path, "r:gz") as archive:
            first = archive.next()
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return False
    return first is not None and first.name == ABOUT


def _add_argilla(archive: tarfile.TarFile, directory: Path, folder: Path) -> bool:
    if not (directory / _ARGILLA_DB).exists():
        return False
    copy_database(directory / _ARGILLA_DB, folder / _ARGILLA_DB)
    archive.add(folder / _ARGILLA_DB, f"{ARGILLA}/{_ARGILLA_DB}")
    archive.add(directory / _CREDENTIALS, f"{ARGILLA}/{_CREDENTIALS}")
    return True


def copy_database(source: Path, target: Path) -> None:
    """A copy as of one moment, while others read and write; one that may only read would leave its files behind."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=60)) as there,
            closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here)
    except sqlite3.Error as error:
        raise TaskError(f"{source}: cannot be copied: {error}; is it damaged, or the disk full?") from None


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def restore(file: Path, root: Path, argilla: Path) -> Restored:
    """Write a task directory from an archive, and the embedded Argilla's data where ``argilla`` has none yet.

    Raises
    ------
    TaskError
        When the archive cannot be read or is damaged, or there is something in ``root`` already. Nothing is
        written then.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise TaskError(f"{root}: is not empty; name a new directory with --task")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=root.parent) as folder:
        _extract(file, Path(folder))
        has_argilla = (Path(folder) / ARGILLA).exists()
        kept = has_argilla and (argilla / _ARGILLA_DB).exists()
        if has_argilla and not kept:
            _restore_argilla(Path(folder) / ARGILLA, argilla)
        Workspace(Path(folder) / TASK).close()
        if root.exists():
            root.rmdir()
        (Path(folder) / TASK).rename(root)
    return Restored(directory=str(root), argilla=has_argilla and not kept, argilla_kept=kept)


def _extract(file: Path, folder: Path) -> None:
    with _readable(file):
        with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                _write(archive, member, folder)
            while stream.read(2**20):  # to the end, where the checksum is
                pass
        json.loads((folder / ABOUT).read_text("utf-8"))
        (folder / TASK / FILE_NAME).stat()
        for database in folder.glob("*/*.db"):
            with closing(sqlite3.connect(database)) as db:
                if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
                    raise ValueError(f"{database.name} is damaged")


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write a regular file below ``folder``; a backup holds nothing else."""
    content = archive.extractfile(member) if member.isreg() else None
    name, path = PurePosixPath(member.name), folder / member.name  # the folder's own path may hold ..
    if content is None or ".." in name.parts or name.is_absolute():
        raise ValueError(f"{member.name!r} is not a file of a backup")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(member.mode & 0o755)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        missing = "does not exist" if not file.exists() else f"holds no {Path(error.filename).name}"
        raise TaskError(f"{file}: {missing}; give a file that tutelage backup wrote") from None
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, sqlite3.Error, ValueError) as error:
        raise TaskError(f"{file}: is no backup, or damaged or cut short ({error}); give another one") from None


def _restore_argilla(source: Path, directory: Path) -> None:
    if is_locked(directory / "server.lock"):
        raise TutelageError(f"{directory}: an Argilla runs there; stop it with: tutelage down")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (_CREDENTIALS, _ARGILLA_DB):  # the data last: where they are, the keys are
        with replacing(directory / name) as target:
            shutil.copyfile(source / name, target)
