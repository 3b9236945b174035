"""``rejects.jsonl``: rows that could not be used, and why, one JSON object per line.

Every line has the same keys: source, row, id, reason, values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from tutelage.core.files import open_itself, replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row, record or answer that could not be used.

    ``source`` is a file or a dataset, ``push``, or a teacher with its prompt; ``row`` counts from 1
    within a file; ``id`` is the record's, where it has one; ``values`` are the row's, never gold labels.
    """

    source: str
    reason: str
    row: int | None = None
    id: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)


class Rejects:
    """Appends to ``path``, without the lines that are there already."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[int] = set()  # hashes: the lines themselves would fill the memory
        with suppress(FileNotFoundError), os.fdopen(open_itself(path, os.O_RDONLY), "rb") as file:
            self._read(file)

    def _read(self, file: IO[bytes]) -> None:
        whole = 0
        for line in file:
            if line.endswith(b"\n"):
                self._known.add(hash(_line(_read(line))))
                whole += len(line)
        if whole < file.tell():  # a run was killed while it wrote its last line
            with os.fdopen(open_itself(self._path, os.O_WRONLY), "ab") as cut:
                cut.truncate(whole)

    def add(self, rejects: Iterable[Reject]) -> None:
        """Append these."""
        lines = [_line(asdict(reject)) for reject in rejects]
        new = [line for line in lines if hash(line) not in self._known]
        if new:
            with os.fdopen(open_itself(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
                file.writelines(new)
        self._known.update(map(hash, new))


def withdraw_rejects(path: Path, source: str, after: int) -> int:
    """Remove a source's lines from a byte on; returns how many those were."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    starts = accumulate(map(len, lines), initial=0)
    left = [
        line for start, line in zip(starts, lines, strict=False) if start < after or _read(line).get("source") != source
    ]
    if len(left) < len(lines):
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(left))
    return len(lines) - len(left)


def _line(reject: Mapping[str, Any]) -> bytes:
    """One line; JSON in ASCII, so that a row in a foreign encoding can be shown too."""
    keys = ("source", "row", "id", "reason", "values")
    return f"{json.dumps({key: reject.get(key) for key in keys})}\n".encode("ascii")


def _read(line: bytes) -> dict[str, Any]:
    """A line, with the current keys: version 0.1.0 wrote others for rejects of a teacher or Argilla."""
    try:
        reject = dict(json.loads(line))
    except (ValueError, TypeError):
        return {}
    if "record" in reject:
        reject |= {"id": reject["record"], "source": f"{reject['teacher']} {reject['prompt']}"}
    return {"values": {}, **reject}
