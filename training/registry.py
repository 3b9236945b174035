"""``students/``: one folder per student, the ``champion`` pointer, and its history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutelage.core.errors import StudentError
from tutelage.core.files import new_folder, write_text
from tutelage.training.manifest import FILE, StudentManifest, read_manifest
from tutelage.training.students.fit import load_student
from tutelage.training.students.student import Student

CHAMPION, HISTORY = "champion", "history.json"
SEEN, VALIDATED = "seen.json", "validated.json"


@dataclass(frozen=True)
class Entry:
    """A finished student on disk."""

    id: str
    path: Path
    manifest: StudentManifest

    def load(self) -> Student:
        """Load the student."""
        windows = self.manifest.recipe.windows
        return load_student(self.path, self.manifest.kind, self.manifest.labels, windows=windows)

    def seen(self) -> frozenset[str]:
        """The keys of all its training texts, validation rows included.

        Raises
        ------
        StudentError
            When they cannot be read.
        """
        try:
            content = (self.path / SEEN).read_bytes()
            keys = [str(key) for key in json.loads(content)]
        except (OSError, ValueError, TypeError):
            raise self._unknown_texts("cannot be read") from None
        if len(keys) != self.manifest.rows:
            raise self._unknown_texts(f"lists {len(keys)} texts, but {FILE} says {self.manifest.rows}")
        if self.manifest.seen_digest not in {"", digest_of(content)}:
            raise self._unknown_texts(f"is not the file that {FILE} was written with")
        return frozenset(keys)

    def _unknown_texts(self, what: str) -> StudentError:
        return StudentError(
            f"{self.path / SEEN}: {what}, so the training texts of {self.id} are unknown;"
            " copy the file from where the student was trained, or train a student here"
        )

    def validated(self) -> frozenset[str]:
        """The keys of the validation rows among them; empty where they are not known."""
        try:
            return frozenset(json.loads((self.path / VALIDATED).read_text("utf-8")))
        except (OSError, ValueError):
            return frozenset()


def digest_of(content: bytes) -> str:
    """SHA-256, as the manifest has it of ``seen.json``."""
    return hashlib.sha256(content).hexdigest()


def list_students(students: Path) -> list[Entry]:
    """All finished students, the newest last; of the seeds of a recipe the first is the newest, as it is the one used.

    The best of several seeds would be chosen by luck.
    """
    known = {
        path.parent.name: Entry(path.parent.name, path.parent, read_manifest(path.parent))
        for path in students.glob(f"[!.]*/{FILE}")
    }

    def age(entry: Entry) -> tuple[str, int, str]:
        group = _siblings(known, entry.id)
        return max(known[one].manifest.created_at for one in group), -group.index(entry.id), entry.id

    return sorted(known.values(), key=age)


def find_student(students: Path, name: str = "") -> Entry:
    """The student with this id or ``champion``; without a name the champion, else the newest.

    Raises
    ------
    StudentError
        When there is none.
    """
    known = {entry.id: entry for entry in list_students(students)}
    if not known:
        raise StudentError(f"{students}: no student yet; create one with: tutelage train")
    if name in known:
        return known[name]
    if name not in {"", CHAMPION}:
        raise StudentError(f"no student {name!r}; available: {', '.join(known)}")
    return _champion(students, known, needed=name == CHAMPION)


def siblings_of(students: Path, name: str) -> list[Entry]:
    """The students that differ from this one by their seed only, itself among them, the first seed's first.

    Those that ``train --seeds`` trained together, as far as they are still there; otherwise this one alone.
    """
    known = {entry.id: entry for entry in list_students(students)}
    return [known[one] for one in _siblings(known, name)]


def _siblings(known: Mapping[str, Entry], name: str) -> list[str]:
    groups = [entry.manifest.siblings for entry in known.values() if name in entry.manifest.siblings]
    return [one for one in max(groups, key=len, default=(name,)) if one in known]


def _champion(students: Path, known: dict[str, Entry], *, needed: bool) -> Entry:
    chosen = champion_id(students)
    if chosen is None:
        if needed:
            raise StudentError(
                f"{students}: no champion yet; choose one with: tutelage promote {next(reversed(known))}"
            )
        return next(reversed(known.values()))
    if chosen not in known:
        raise StudentError(f"the champion {chosen} no longer exists; {_way_out(students, known)}")
    return known[chosen]


def _way_out(students: Path, known: dict[str, Entry]) -> str:
    """What to do without the champion: the newest student may be one that the periodic job refused."""
    before = previous_champion(students)
    if before in known:
        return f"go back to {before}, the champion before it, with: tutelage rollback"
    return "measure another with tutelage evaluate, and choose it with tutelage promote ID"


def champion_id(students: Path) -> str | None:
    """The id of the champion; None without one."""
    pointer = students / CHAMPION
    return pointer.read_text("utf-8").strip() if pointer.exists() else None


def write_student(students: Path, name: str, fill: Callable[[Path], StudentManifest]) -> Entry:
    """Create a student's folder atomically: ``fill`` writes its files and returns its manifest."""
    with new_folder(students / name, FILE) as temporary:
        manifest = fill(temporary)
        write_text(temporary / FILE, manifest.to_json())
    return find_student(students, name)


def promote_student(students: Path, name: str, *, why: str = "") -> Entry:
    """Make this student the champion; no change where it is already."""
    entry = find_student(students, name)
    if entry.id != champion_id(students):
        _move(students, entry.id, why=why, back=False)
    return entry


def rollback_champion(students: Path) -> Entry:
    """Restore the previous champion; a second rollback goes one further back.

    Raises
    ------
    StudentError
        When there was none.
    """
    before = previous_champion(students)
    if before is None:
        raise StudentError(f"{students}: no champion to roll back to; choose a student with: tutelage promote ID")
    entry = find_student(students, before)
    _move(students, entry.id, why=f"rollback from {champion_id(students)}", back=True)
    return entry


def previous_champion(students: Path) -> str | None:
    """The id of the student that a rollback makes the champion again; None without one."""
    earlier = _stack(champion_history(students))
    if earlier and earlier[-1] == champion_id(students):
        earlier.pop()
    return earlier[-1] if earlier else None


def champion_history(students: Path) -> list[dict[str, Any]]:
    """All changes of the champion, the oldest first: champion, before, why, back, at."""
    path = students / HISTORY
    moves = _read_moves(path) if path.exists() else []
    if moves and moves[-1]["before"] == champion_id(students):
        moves.pop()  # written just before a kill, so that the pointer never moved
    return moves


def _read_moves(path: Path) -> list[dict[str, Any]]:
    try:
        moves = [dict(move) for move in json.loads(path.read_text("utf-8"))]
        complete = all({"champion", "before", "back"} <= move.keys() for move in moves)
    except (ValueError, TypeError):
        complete = False
    if not complete:
        raise StudentError(
            f"{path}: is damaged; put a copy of it back, or remove it: the champion stays, and rollback begins anew"
        )
    return moves


def _stack(moves: Sequence[Mapping[str, Any]]) -> list[str]:
    """The champions that rollbacks restore, the current one last."""
    stack: list[str] = []
    for move in moves:
        if move["back"]:
            while stack and stack[-1] != move["champion"]:
                stack.pop()
        if stack[-1:] != [move["champion"]]:
            stack.append(move["champion"])
    return stack


def _move(students: Path, name: str, *, why: str, back: bool) -> None:
    """Write the history first: a surplus entry is dropped when read, a missing one would be lost."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    move = {"champion": name, "before": champion_id(students), "why": why, "back": back, "at": at}
    moves = json.dumps([*champion_history(students), move], ensure_ascii=False, indent=1)
    write_text(students / HISTORY, moves + "\n")
    write_text(students / CHAMPION, name + "\n")
