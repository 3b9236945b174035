"""A simulated annotator: takes records from the queue and submits responses through Argilla's API.

The demo and the benchmarks use it in place of a person. It is the only code that sends
responses, and it sends them under its own account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.payload import LABEL, SUSPECT_RANK
from tutelage.feedback.argilla.remote import BULK_LIMIT, Remote

_WORST_FIRST = {
    "filters": {
        "type": "and",
        "and": [{"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]}],
    },
    "sort": [{"scope": {"entity": "metadata", "metadata_property": SUSPECT_RANK}, "order": "asc"}],
}


@dataclass(frozen=True)
class ScriptedAnnotator:
    """The account is that of the connection's API key."""

    remote: Remote
    dataset: Dataset

    def queue(self, count: int) -> list[dict[str, Any]]:
        """The first records without a response of this annotator, the most suspect first; at most 500."""
        answer = self.remote.request(
            "POST",
            f"me/datasets/{self.dataset.id}/records/search",
            params={"limit": min(count, BULK_LIMIT)},
            json=_WORST_FIRST,
        )
        return [item["record"] for item in answer["items"]]

    def submit(self, record: dict[str, Any], label: str) -> None:
        """Submit a response."""
        response = {"values": {LABEL: {"value": label}}, "status": "submitted"}
        self.remote.request("POST", f"records/{record['id']}/responses", json=response)
