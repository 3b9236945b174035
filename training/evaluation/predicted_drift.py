"""Drift of a student's predictions since its snapshot, on texts that it never trained on."""

from __future__ import annotations

from collections.abc import Container

from tutelage.core.errors import SnapshotError
from tutelage.core.records import ProgressCallback, Record, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.rows import text_key
from tutelage.training.measures.drift import PredictionDrift, prediction_drift
from tutelage.training.registry import Entry
from tutelage.training.unseen import probabilities, unseen_by

MOST = 1000
"""Texts of either side that are predicted."""


def drift_since_snapshot(
    workspace: Workspace, entry: Entry, *, progress: ProgressCallback = unreported
) -> PredictionDrift | None:
    """The student's predictions on texts that came after its snapshot, against those on the holdout of before.

    The holdout is a random part of what there was when the snapshot was made, and nothing trained on it. None
    where nothing came after the snapshot, or it is not there any more.

    Raises
    ------
    StudentError
        When the student's training texts are unknown, or it cannot be loaded.
    """
    try:
        in_snapshot = load_snapshot(workspace.snapshots, entry.manifest.snapshot).labels()
    except SnapshotError:
        return None
    before, after = _parted(workspace, in_snapshot)
    now = _each_text(unseen_by(entry, after))[-MOST:]
    if not now:
        return None
    reference = _each_text(unseen_by(entry, before))
    then = reference[:: -(-len(reference) // MOST) or 1]  # spread evenly over the time before
    sides = [probabilities(entry, [record.text for record in side], progress=progress) for side in (then, now)]
    return prediction_drift(entry.id, entry.manifest.labels, *sides)


def _each_text(records: list[Record]) -> list[Record]:
    """The first record of each text: copies are no further evidence."""
    return list({text_key(record.text): record for record in reversed(records)}.values())[::-1]


def _parted(workspace: Workspace, in_snapshot: Container[str]) -> tuple[list[Record], list[Record]]:
    """The holdout's records up to the last of the snapshot, and the others after that, in the order they came."""
    holdout = held_out(workspace)
    with Ledger(workspace.db) as ledger:
        records = list(ledger.records(workspace.task))
    last = max((place for place, record in enumerate(records) if record.id in in_snapshot), default=len(records) - 1)
    before = [record for record in records[: last + 1] if record in holdout]
    return before, [record for record in records[last + 1 :] if record not in holdout]
