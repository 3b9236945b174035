"""Fetches the responses of a dataset and merges them with the stored ones; none is ever dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tutelage.core.records import ProgressCallback, Response, tracked, unreported
from tutelage.feedback.answers import counting_answers, is_from_file
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.payload import LABEL, REASON
from tutelage.feedback.curate import is_final
from tutelage.loaders.ledger import QUEUE, Ledger


@dataclass(frozen=True)
class Fetched:
    """The responses of a dataset, and those that came in files.

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
        """Counts by status, by annotator, of responses that are no longer on the server, and of those from files."""
        present = [response for response in self.all() if response.state == "present"]
        return {
            "by_status": dict(Counter(response.status for response in present)),
            "by_annotator": dict(Counter(response.annotator for response in present if response.status != "draft")),
            "by_deleted_user": dict(
                Counter(r.annotator for r in self.all() if r.state == "user-deleted" and is_final(r))
            ),
            "withdrawn": sum(1 for response in self.all() if response.state == "withdrawn"),
            "from_files": sum(1 for response in present if is_from_file(response)),
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
    names = {old.user_id: old.annotator for old in ledger.responses(dataset.id)}  # an admin sees the workspace's only
    seen, unknown = _read(records, {**names, **users}, known_ids)
    ledger.use_dataset(dataset.id, QUEUE)
    gone = [_gone(old, users) for old in ledger.responses(dataset.id) if _key(old) not in seen]
    ledger.set_responses(dataset.id, [*seen.values(), *gone])
    former, counts = ledger.datasets(QUEUE)[:-1], ledger.response_counts()
    return Fetched(counting_answers(ledger), unknown, {uuid: counts[uuid] for uuid in former if uuid in counts})


def fetch_answered(ledger: Ledger, dataset: Dataset, users: Mapping[str, str], known_ids: Container[str]) -> None:
    """Read the responses to the ranked records that were answered, and store them; the other records are not read."""
    names = {old.user_id: old.annotator for old in ledger.responses(dataset.id)}
    records = {record["external_id"]: record for record in dataset.answered()}
    seen, _ = _read(records.values(), {**names, **users}, known_ids)
    before = [old for old in ledger.responses(dataset.id) if old.record_id in records]
    gone = [_gone(old, users) for old in before if _key(old) not in seen]
    ledger.set_responses(dataset.id, [*seen.values(), *gone])


def _key(response: Response) -> tuple[str, str]:
    return response.record_id, response.user_id


def _read(
    records: Iterable[Mapping[str, Any]], users: Mapping[str, str], known_ids: Container[str]
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
