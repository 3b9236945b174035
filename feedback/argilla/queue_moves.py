"""Moves records in the queue on Argilla: sends their places, a few at a time, while people answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tutelage.core.records import Rank
from tutelage.core.task import Task
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.payload import moved
from tutelage.feedback.argilla.remote import RefusedError
from tutelage.loaders.ledger import Ledger

AT_ONCE = 20
"""Records in a request: while it is at work nobody's answer is taken."""


def move(ledger: Ledger, dataset: Dataset, task: Task, places: Mapping[str, Rank | None]) -> int:
    """Send the places of these records, by id, in this order; None: the record leaves the queue.

    Each request is noted when the server has taken it. What the server refuses is left to the next push, which says
    why.

    Returns
    -------
    How many records were sent.
    """
    known, dealt = ledger.pushed(dataset.id), ledger.dealt()
    waiting = dict[str, dict[str, Any]]()
    for record_id, rank in places.items():
        sent = json.loads(known[record_id][1]) if record_id in known else {}
        metadata = moved(sent, rank, task, dealt.get(record_id, ()))
        if record_id in known and metadata != sent:
            waiting[record_id] = metadata
    ids = list(waiting)
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start : start + AT_ONCE]
        _send(ledger, dataset, {record_id: (known[record_id][0], waiting[record_id]) for record_id in part})
    return len(ids)


def _send(ledger: Ledger, dataset: Dataset, part: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
    try:
        dataset.put_metadata({record_id: metadata for record_id, (_, metadata) in part.items()})
    except RefusedError:
        ledger.forget_pushed(dataset.id, part)
        return
    noted = {
        record_id: (content, json.dumps(metadata, sort_keys=True)) for record_id, (content, metadata) in part.items()
    }
    ledger.set_pushed(dataset.id, noted)
