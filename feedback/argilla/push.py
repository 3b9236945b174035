"""Brings a task's dataset on Argilla up to date, sending only what changed since the last push to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tutelage.core.records import Rank, Record, Shown, Suggestion
from tutelage.core.task import Task
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.payload import SUSPECT_RANK, Payload, payload_of, settled_metadata
from tutelage.feedback.argilla.remote import BULK_LIMIT, RefusedError
from tutelage.loaders.ledger import QUEUE, Ledger
from tutelage.loaders.rows import TEXT_MAX_LENGTH

Suggested = tuple[Record, Suggestion | None]
"""A record and what is suggested for it, which the steps before a push have computed."""

_REFUSES_CONTENT = (413, 422)  # too large, unprocessable


@dataclass
class PushResult:
    """What a push did. ``rejected`` holds what Argilla cannot take, by record id."""

    sent: int = 0
    metadata_only: int = 0
    unchanged: int = 0
    rejected: dict[str, str] = field(default_factory=dict)

    @property
    def looked_at(self) -> int:
        """How many records need nothing more."""
        return self.sent + self.metadata_only + self.unchanged + len(self.rejected)


@dataclass
class Push:
    """One push to one dataset."""

    ledger: Ledger
    dataset: Dataset
    task: Task
    progress: Callable[[int], None] = lambda _done: None

    def __post_init__(self) -> None:
        self._known = self.ledger.pushed(self.dataset.id)
        self._shown = {record_id: each[-1] for record_id, each in self.ledger.shown(self.dataset.id).items()}
        self._done = PushResult()
        self._unnoted: list[Payload] = []

    def run(self, suggested: Iterable[Suggested], ranks: Mapping[str, Rank]) -> PushResult:
        """Send what is new or changed, 500 a request; each request is noted when the server has taken it."""
        self.ledger.use_dataset(self.dataset.id, QUEUE)
        dealt = self.ledger.dealt()
        whole: list[Payload] = []
        metadata: list[Payload] = []
        for record, suggestion in suggested:
            payload = payload_of(record, suggestion, ranks.get(record.id), self.task, dealt.get(record.id, ()))
            if problem := _problem(payload, self.task):
                self._done.rejected[record.id] = problem
            else:
                self._sort(payload, whole, metadata)
            self._flush(whole, self._send, at=BULK_LIMIT)
        self._flush(whole, self._send)
        self._flush(metadata, self._send_metadata)
        self._flush(self._unnoted, self._note)
        return self._done

    def _sort(self, payload: Payload, whole: list[Payload], metadata: list[Payload]) -> None:
        content, sent = self._known.get(payload.id, ("", "{}"))
        settled = settled_metadata(payload.metadata, json.loads(sent))
        payload = _as_sent(Payload(payload.id, payload.fields, payload.suggestions, settled), content)
        if payload.content != content:
            whole.append(payload)
        elif _dumped(settled) != sent:
            metadata.append(payload)
        else:
            self._done.unchanged += 1
            if payload.id not in self._shown:  # an earlier version sent it, which did not write down what it showed
                self._unnoted.append(payload)

    def _flush(self, waiting: list[Payload], send: Callable[[Sequence[Payload]], None], at: int = 1) -> None:
        while len(waiting) >= at:
            batch, waiting[:] = waiting[:BULK_LIMIT], waiting[BULK_LIMIT:]
            send(batch)
            self.progress(self._done.looked_at)

    def _send(self, batch: Sequence[Payload]) -> None:
        self._done.sent += self._halving(batch, self.dataset.put)

    def _send_metadata(self, batch: Sequence[Payload]) -> None:
        def put(part: Sequence[Payload]) -> None:
            self.dataset.put_metadata({payload.id: payload.metadata for payload in part})

        self._done.metadata_only += self._halving(batch, put)

    def _halving(self, batch: Sequence[Payload], put: Callable[[Sequence[Payload]], None]) -> int:
        """Send a batch; one that the server refuses is halved until the record it refuses stands alone."""
        try:
            put(batch)
        except RefusedError as error:
            if error.status not in _REFUSES_CONTENT:
                raise
            if len(batch) == 1:
                self.ledger.forget_pushed(self.dataset.id, [batch[0].id])  # the next push sends all of it
                self._done.rejected[batch[0].id] = f"Argilla refuses it: {error}"
                return 0
            middle = len(batch) // 2
            return self._halving(batch[:middle], put) + self._halving(batch[middle:], put)
        self._note(batch)
        return len(batch)

    def _note(self, batch: Sequence[Payload]) -> None:
        """Write down what the server has taken, and what people see from now on where that has changed."""
        now = datetime.now(UTC)
        shown = {payload.id: payload.shown(now) for payload in batch}
        changed = {key: new for key, new in shown.items() if not _shows_the_same(new, self._shown.get(key))}
        self._shown |= changed
        self.ledger.set_pushed(self.dataset.id, {p.id: (p.content, _dumped(p.metadata)) for p in batch}, changed)


def unsent(ledger: Ledger, dataset: str, suggested: Iterable[Suggested], task: Task) -> Iterator[str]:
    """The ids of the records that a push to the dataset would send whole: new, or other votes or suggestions."""
    known = {record_id: content for record_id, (content, _) in ledger.pushed(dataset).items()}
    made = (payload_of(record, suggestion, None, task) for record, suggestion in suggested)
    payloads = (_as_sent(payload, known.get(payload.id, "")) for payload in made)
    return (p.id for p in payloads if known.get(p.id) != p.content and not _problem(p, task))


def _as_sent(payload: Payload, content: str) -> Payload:
    """The payload as an earlier version sent it, where nothing else has changed: not worth sending all of it."""
    if payload.content == content:
        return payload
    earlier = payload.without_id()
    return earlier if earlier.content == content else payload


def misplaced(ledger: Ledger, dataset: str, ids: Container[str], ranks: Mapping[str, Rank], task: Task) -> int:
    """How many of these records have another place in the dataset's queue than their rank gives them."""
    sent = {key: json.loads(said).get(SUSPECT_RANK) for key, (_, said) in ledger.pushed(dataset).items()}
    places = {key: rank.suspect_rank for key, rank in ranks.items() if rank.suspect_rank <= task.queue}
    return sum(1 for key, place in sent.items() if key in ids and place != places.get(key))


def _shows_the_same(new: Shown, old: Shown | None) -> bool:
    return old is not None and replace(new, since=old.since) == old


def _dumped(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True)


def _problem(payload: Payload, task: Task) -> str:
    """Why Argilla would refuse the record, and its whole batch with it; empty when it will not."""
    if any(len(value) > TEXT_MAX_LENGTH * 2 for value in payload.fields.values()):
        return f"text or votes are longer than {TEXT_MAX_LENGTH * 2} characters"
    if any("\0" in value for value in payload.fields.values()):
        return "text or votes hold a NUL character"
    suggestion = payload.suggestions.get("label")
    if suggestion and suggestion["value"] not in task.label_names:
        return f"suggestion {suggestion['value']!r} is not one of the labels"
    scores = [said["score"] for said in payload.suggestions.values() if "score" in said]
    if not all(0 <= score <= 1 for score in scores):
        return "score is outside 0 to 1"
    numbers = [value for value in payload.metadata.values() if isinstance(value, float)]
    if not all(math.isfinite(value) for value in numbers) or not isinstance(payload.metadata.get(SUSPECT_RANK, 0), int):
        return "metadata is not a finite number"
    return ""
