"""A published dataset on Argilla: what is put into it, what is read from it, and whether it still fits the task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from tutelage.core.errors import ServerError, SettingsError
from tutelage.core.task import Task
from tutelage.feedback.argilla.payload import (
    LABEL,
    LABEL_QUALITY,
    REASON,
    REVIEWER,
    TEXT,
    VOTES,
    Payload,
    reviewer_term,
)
from tutelage.feedback.argilla.remote import PAGE, Remote

QUEUE_PATH = "/dataset/{id}/annotation-mode?status=pending&sort=metadata.suspect_rank.asc~metadata.label_quality.asc"
MINE = "&metadata={reviewer}.{term}"
_RANKED_AND_ANSWERED = {
    "filters": {
        "type": "and",
        "and": [
            {"type": "range", "scope": {"entity": "metadata", "metadata_property": LABEL_QUALITY}, "ge": 0},
            {
                "type": "terms",
                "scope": {"entity": "response", "property": "status"},
                "values": ["submitted", "discarded", "draft"],
            },
        ],
    }
}


@dataclass(frozen=True)
class Dataset:
    """A published dataset; ``id`` is its uuid, which a dataset made anew under the same name does not share."""

    id: str
    task: Task
    remote: Remote

    @property
    def queue_link(self) -> str:
        """Opens the annotation page, the worst suggestion first."""
        return queue_link(self.remote.url, self.id)

    def queue_link_of(self, name: str) -> str:
        """The same with only the records that are this person's."""
        return self.queue_link + MINE.format(reviewer=REVIEWER, term=quote(reviewer_term(name)))

    def put(self, payloads: Sequence[Payload]) -> None:
        """Add records or replace their fields, suggestions and metadata; responses stay. At most 500."""
        items: list[dict[str, Any]] = [
            {
                "external_id": payload.id,
                "fields": dict(payload.fields),
                "metadata": dict(payload.metadata),
                "suggestions": [
                    {"question_id": self._questions[name], **said} for name, said in payload.suggestions.items()
                ],
            }
            for payload in payloads
        ]
        made = {item["external_id"]: {said["question_id"] for said in item["suggestions"]} for item in items}
        for record in self._put(items):
            self._withdraw(record, made[record["external_id"]])

    def _withdraw(self, record: Mapping[str, Any], made: set[str]) -> None:
        """Delete the suggestions that are not made any more; putting a record leaves them."""
        stale = [said["id"] for said in record.get("suggestions") or [] if said["question_id"] not in made]
        if stale:
            self.remote.request("DELETE", f"records/{record['id']}/suggestions", params={"ids": ",".join(stale)})

    def put_metadata(self, metadata: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the metadata of known records, by record id; all else stays. At most 500."""
        self._put([{"external_id": key, "metadata": dict(value)} for key, value in metadata.items()])

    def _put(self, items: Sequence[Mapping[str, Any]]) -> Any:
        """The records as the server has them now: those that were sent, else somebody else has answered."""
        path = f"datasets/{self.id}/records/bulk"
        there = (self.remote.request("PUT", path, json={"items": list(items)}) or {}).get("items", [])
        if {record["external_id"] for record in there} != {item["external_id"] for item in items}:
            raise ServerError(
                f"PUT {path} at {self.remote.url} was answered with {len(there)} records for {len(items)} that were "
                "sent; they do not count as sent. Is there a gateway before Argilla? Run the same command again."
            )
        return there

    @cached_property
    def _questions(self) -> dict[str, str]:
        questions = self.remote.request("GET", f"datasets/{self.id}/questions")["items"]
        return {question["name"]: question["id"] for question in questions}

    def count(self) -> int:
        """How many records the dataset holds."""
        return int(self.remote.request("GET", f"datasets/{self.id}/progress")["total"])

    def activity(self) -> str:
        """A text that is another one after each answer: when Argilla saw the last one, and how many records it has."""
        return f"{self.last_activity()} {self.count()}"

    def last_activity(self) -> str:
        """When somebody last answered, or changed or took back an answer; cheaper than ``activity``."""
        return str(self.remote.request("GET", f"datasets/{self.id}")["last_activity_at"])

    def records(self) -> Iterable[dict[str, Any]]:
        """All records with their responses, as the server's JSON."""
        return self.remote.pages(f"datasets/{self.id}/records", include="responses")

    def answered(self) -> Iterator[dict[str, Any]]:
        """The ranked records that somebody has answered, with all responses, as the server's JSON.

        A rank goes with the last answer that a record needs, so these are few: those of which it was not known.
        """
        path, offset = f"datasets/{self.id}/records/search", 0
        while items := self._search(path, offset):
            yield from (item["record"] for item in items)
            offset += len(items)

    def _search(self, path: str, offset: int) -> list[dict[str, Any]]:
        params = {"include": "responses", "offset": offset, "limit": PAGE}
        return list(self.remote.request("POST", path, params=params, json=_RANKED_AND_ANSWERED)["items"])


def queue_link(server: str, dataset: str) -> str:
    """Opens the annotation page of a dataset on a server, the worst suggestion first."""
    return server + QUEUE_PATH.format(id=dataset)


def check_dataset(dataset: Dataset, task: Task) -> None:
    """Refuse a dataset that was not made for this task.

    Raises
    ------
    SettingsError
        With what differs, and what to do.
    """
    listed = {
        kind: {item["name"]: item for item in dataset.remote.request("GET", f"datasets/{dataset.id}/{kind}")["items"]}
        for kind in ("fields", "questions")
    }
    if not (listed["fields"].keys() >= {TEXT, VOTES} and listed["questions"].keys() >= {LABEL, REASON}):
        raise SettingsError(
            f"dataset {task.dataset_name!r} at {dataset.remote.url} was not made by tutelage; "
            "name another one in task.yaml (argilla: dataset: NAME)"
        )
    _check_labels([option["value"] for option in listed["questions"][LABEL]["settings"]["options"]], dataset, task)


def _check_labels(there: Sequence[str], dataset: Dataset, task: Task) -> None:
    missing = [name for name in task.label_names if name not in there]
    extra = [name for name in there if name not in task.label_names]
    if missing or extra:
        changes = [f"without {', '.join(map(repr, missing))}"] * bool(missing)
        changes += [f"with {', '.join(map(repr, extra))}"] * bool(extra)
        raise SettingsError(
            f"dataset {task.dataset_name!r} at {dataset.remote.url} was published {' and '.join(changes)}, and Argilla "
            "does not change the labels of a published dataset. Either set the labels in task.yaml back, or name a new "
            f"one there (argilla: dataset: {task.dataset_name}-2) and push again; the answers given so far stay in "
            "task.db and in the snapshots."
        )
