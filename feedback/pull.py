"""Fetches the responses of a dataset and merges them with the stored ones; none is ever dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tutelage.core.records import ProgressCallback, Response, tracked, unreported
from tutelage.feedback.curate import is_final
from tutelage.feedback.dataset import Dataset
from tutelage.feedback.payload import LABEL, REASON
from tutelage.feedback.remote import Remote
from tutelage.loaders.ledger import Ledger


@dataclass(frozen=True)
class Fetched:
    """The responses of a dataset.

    ``unknown`` counts records of the dataset that are not in ``task.db``; ``elsewhere`` the stored
    responses of other datasets, by uuid, for example of one that was deleted and recreated.
    """

    responses: Mapping[str, list[Response]]
    unknown: int
    elsewhere: Mapping[str, int]

    def all(self) -> Iterator[Response]:
        """Every response, withdrawn ones and drafts too."""
        return (response for responses in self.responses.values() for response in responses)

    @property
    def summary(self) -> dict[str, Any]:
        """Counts by status, by annotator, and of responses that are no longer on the server."""
        present = [response for response in self.all() if response.state == "present"]
        return {
            "by_status": dict(Counter(response.status for response in present)),
            "by_annotator": dict(Counter(response.annotator for response in present if response.status != "draft")),
            "by_deleted_user": dict(
                Counter(r.annotator for r in self.all() if r.state == "user-deleted" and is_final(r))
            ),
            "withdrawn": sum(1 for response in self.all() if response.state == "withdrawn"),
            "unknown_records": self.unknown,
            "other_datasets": dict(self.elsewhere),
        }


def fetch(
    ledger: Ledger,
    dataset: Dataset,
    users: Mapping[str, str],
    known_ids: frozenset[str],
    *,
    progress: ProgressCallback = unreported,
) -> Fetched:
    """Read all responses of the dataset and store them in the ledger.

    A response that is no longer on the server stays in the ledger: its annotator's account was
    deleted (it still counts), or it was withdrawn (it no longer counts).
    """
    records = tracked(dataset.records(), progress, "reading answers from Argilla", dataset.count(), "records")
    seen, unknown = _read(records, users, known_ids)
    gone = [_gone(old, users) for old in ledger.responses(dataset.id) if _key(old) not in seen]
    ledger.set_responses(dataset.id, [*seen.values(), *gone])
    elsewhere = {uuid: count for uuid, count in ledger.response_counts().items() if uuid != dataset.id}
    return Fetched(by_record(ledger.responses(dataset.id)), unknown, elsewhere)


def count_answers(remote: Remote, dataset: str) -> int:
    """How many finished answers a dataset has, without reading them."""
    users = remote.request("GET", f"datasets/{dataset}/users/progress")["users"]
    return sum(int(user[of][kind]) for user in users for of in ("completed", "pending") for kind in _FINISHED)


_FINISHED = ("submitted", "discarded")


def by_record(responses: list[Response]) -> dict[str, list[Response]]:
    """Responses grouped by record id."""
    grouped: dict[str, list[Response]] = {}
    for response in responses:
        grouped.setdefault(response.record_id, []).append(response)
    return grouped


def _key(response: Response) -> tuple[str, str]:
    return response.record_id, response.user_id


def _read(
    records: Iterable[Mapping[str, Any]], users: Mapping[str, str], known_ids: frozenset[str]
) -> tuple[dict[tuple[str, str], Response], int]:
    seen: dict[tuple[str, str], Response] = {}
    unknown = 0
    for record in records:
        if record["external_id"] in known_ids:
            responses = (_response(record["external_id"], item, users) for item in record["responses"])
            seen.update((_key(response), response) for response in responses)
        else:
            unknown += 1
    return seen, unknown


def _response(record_id: str, item: Mapping[str, Any], users: Mapping[str, str]) -> Response:
    values = item["values"] or {}
    at = datetime.fromisoformat(item["updated_at"])
    return Response(
        record_id=record_id,
        user_id=item["user_id"],
        annotator=users.get(item["user_id"], item["user_id"]),
        status=item["status"],
        label=values.get(LABEL, {}).get("value"),
        reason=values.get(REASON, {}).get("value") or "",
        updated_at=at if at.tzinfo else at.replace(tzinfo=UTC),
    )


def _gone(old: Response, users: Mapping[str, str]) -> Response:
    if old.state == "withdrawn":  # even where its annotator's account is deleted later
        return old
    return replace(old, state="withdrawn" if old.user_id in users else "user-deleted")
