"""Snapshots: frozen curated sets, ``snapshots/ID/`` with ``records.parquet`` and ``manifest.json``.

A snapshot is written into a temporary folder that is renamed when it is complete; the manifest has
the hash of the data, so that a folder that was changed or cut short is never read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.core import __version__
from tutelage.core.errors import SnapshotError
from tutelage.core.files import new_folder, write_text
from tutelage.core.records import Response, Vote
from tutelage.core.task import Task
from tutelage.feedback.curate import Curated

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DATA, MANIFEST, LATEST = "records.parquet", "manifest.json", "latest"
_AT_ONCE = 10_000
_PUBLIC = ("by_status", "withdrawn", "unknown_records")


@dataclass(frozen=True)
class Snapshot:
    """A curated data set on disk; ``id`` is a hash of its content."""

    id: str
    path: Path
    manifest: Mapping[str, Any]

    def frame(self) -> pd.DataFrame:
        """One row per record.

        Columns: id, text, label (missing: not to be trained on), source (human, given, teacher, student),
        status (pending, reviewed, discarded, tied), suggestion, agreement (0 to 1 or NaN),
        label_quality (0 to 1 or NaN), suspect_rank (or NaN), votes and responses (lists of dicts).
        """
        import pandas as pd

        return pd.read_parquet(self.path / DATA)

    def labels(self) -> dict[str, tuple[str | None, str]]:
        """Each record's label, None where it is not to be trained on, and its status, by record id."""
        import pyarrow.parquet as pq

        table = pq.read_table(self.path / DATA, columns=["id", "label", "status"])
        ids, labels, states = (table[name].to_pylist() for name in ("id", "label", "status"))
        return dict(zip(ids, zip(labels, states, strict=True), strict=True))

    @property
    def public_manifest(self) -> dict[str, Any]:
        """The manifest without annotators' names and the server's address."""
        origin = self.manifest["origin"]
        return {**self.manifest, "origin": {key: origin[key] for key in _PUBLIC if key in origin}}


def snapshot_id(task: Task, curated: Sequence[Curated]) -> str:
    """First 12 hex digits of a SHA-256 over the task and each record's row.

    Without the responses, which decided label and status, and the suspect rank, whose ties are
    broken by a seed.
    """
    return _digest(task, curated, {"responses", "suspect_rank"})[:12]


def frozen_id(snapshots: Path, task: Task, curated: Sequence[Curated]) -> str:
    """The id of the snapshot that holds this: the latest where that differs in its ranking alone, else a new one.

    So ranking again, which changes no label, leads to no new snapshot and no new student.
    """
    content = _content(task, curated)
    try:
        latest = load_snapshot(snapshots)
    except SnapshotError:
        latest = None
    if latest and latest.manifest.get("content") == content:
        return latest.id
    return snapshot_id(task, curated)


def _content(task: Task, curated: Sequence[Curated]) -> str:
    """A hash of all but the responses and the ranking, of which only counts whether there is one."""
    is_ranked = any(item.rank for item in curated) or all(item.status != "pending" for item in curated)
    digest = _digest(task, curated, {"responses", "label_quality", "suspect_rank"})
    return f"{digest[:16]}{'-ranked' * is_ranked}"


def _digest(task: Task, curated: Sequence[Curated], without: set[str]) -> str:
    digest = hashlib.sha256(task.id.encode())
    for item in sorted(curated, key=lambda item: item.record.id):
        row = {name: value for name, value in _row(item).items() if name not in without}
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()


def write_snapshot(
    snapshots: Path, task: Task, curated: Sequence[Curated], origin: Mapping[str, Any]
) -> tuple[Snapshot, bool]:
    """Write a snapshot of a curated set; returns it, and whether it is new.

    ``origin`` describes where the responses came from and goes into the manifest. The same content
    has the same id and is not written again, nor is what differs from the latest in its ranking alone. The latest
    snapshot is the default of ``load_snapshot``.
    """
    name = frozen_id(snapshots, task, curated)
    folder = snapshots / name
    is_new = not (folder / MANIFEST).exists()
    if is_new:
        _write(folder, name, task, curated, origin)
    write_text(snapshots / LATEST, name + "\n")
    return load_snapshot(snapshots, name), is_new


def load_snapshot(snapshots: Path, name: str | None = None) -> Snapshot:
    """The snapshot with this id, by default the latest.

    Raises
    ------
    SnapshotError
        When there is none with that id, or its data do not match its manifest.
    """
    if name is None:
        pointer = snapshots / LATEST
        if not pointer.exists():
            raise SnapshotError(f"{snapshots}: no snapshot yet; create one with: tutelage pull")
        name = pointer.read_text("utf-8").strip()
    folder = snapshots / name
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        expected = (manifest["id"], manifest["sha256"])
        digest = _sha256(folder / DATA)
    except (OSError, ValueError, LookupError, TypeError):
        known = ", ".join(sorted(path.parent.name for path in snapshots.glob(f"[!.]*/{MANIFEST}"))) or "none"
        raise SnapshotError(f"{folder}: no complete snapshot here; available: {known}") from None
    if expected != (name, digest):
        raise SnapshotError(
            f"{folder / DATA}: does not match its manifest; remove {folder} and run tutelage pull again"
        )
    return Snapshot(name, folder, manifest)


def _write(folder: Path, name: str, task: Task, curated: Sequence[Curated], origin: Mapping[str, Any]) -> None:
    import pyarrow.parquet as pq

    try:
        with new_folder(folder, MANIFEST) as temporary:
            with pq.ParquetWriter(temporary / DATA, _schema()) as out:
                for start in range(0, len(curated), _AT_ONCE):  # rows as objects take a lot of memory
                    out.write_table(_table(curated[start : start + _AT_ONCE]))
            manifest = _manifest(name, task, curated, origin) | {"sha256": _sha256(temporary / DATA)}
            write_text(temporary / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=2) + "\n")
    except OSError:
        if not (folder / MANIFEST).exists():  # else a concurrent pull has written the same content
            raise


def _manifest(name: str, task: Task, curated: Sequence[Curated], origin: Mapping[str, Any]) -> dict[str, Any]:
    trained = [item for item in curated if item.label is not None]
    return {
        "id": name,
        "content": _content(task, curated),
        "task": task.name,
        "task_id": task.id,
        "labels": list(task.label_names),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tutelage": __version__,
        "records": len(curated),
        "by_status": dict(Counter(item.status for item in curated)),
        "by_source": dict(Counter(item.source for item in trained)),
        "by_label": dict(Counter(item.label for item in trained)),
        "tied": [item.record.id for item in curated if item.status == "tied"],
        "origin": dict(origin),
    }


def _table(curated: Sequence[Curated]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist([_row(item) for item in curated], _schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int64()
    vote = {"teacher": text, "prompt": text, "vote": count, "said": text, "label": text, "reason": text}
    response = {"annotator": text, "user_id": text, "status": text, "label": text, "reason": text}
    response |= {"updated_at": pa.timestamp("us", "UTC"), "state": text, "reason_by": text}
    columns = {"id": text, "text": text, "label": text, "source": text, "status": text, "suggestion": text}
    columns |= {"agreement": number, "label_quality": number, "suspect_rank": count}
    columns |= {"votes": pa.list_(pa.struct(vote)), "responses": pa.list_(pa.struct(response))}
    return pa.schema(columns)


def _row(item: Curated) -> dict[str, Any]:
    return {
        "id": item.record.id,
        "text": item.record.text,
        "label": item.label,
        "source": item.source,
        "status": item.status,
        "suggestion": item.suggestion and item.suggestion.label,
        "agreement": item.suggestion and item.suggestion.score,
        "label_quality": item.rank and round(item.rank.label_quality, 9),  # more digits differ between processors
        "suspect_rank": item.rank and item.rank.suspect_rank,
        "votes": [_vote(vote) for vote in item.record.votes],
        "responses": [_response(response) for response in item.responses],
    }


def _vote(vote: Vote) -> dict[str, Any]:
    return asdict(vote.voter) | {"said": vote.raw, "label": vote.label, "reason": vote.reason}


def _response(response: Response) -> dict[str, Any]:
    values = asdict(response)
    del values["record_id"]
    return values


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
