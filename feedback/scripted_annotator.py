"""An annotator without a browser: takes records off the queue and answers them through Argilla's API.

The demo and the benchmarks use it to stand in for a person. It is the only code that sends
responses, and it sends them as the annotator that it is signed in as.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tutelage.feedback.client import Dataset
from tutelage.feedback.payload import LABEL, SUSPECT_RANK
from tutelage.feedback.remote import BULK_LIMIT, Remote

_WORST_FIRST = {
    "filters": {
        "type": "and",
        "and": [{"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]}],
    },
    "sort": [{"scope": {"entity": "metadata", "metadata_property": SUSPECT_RANK}, "order": "asc"}],
}


@dataclass(frozen=True)
class ScriptedAnnotator:
    """Signed in by the connection's API key."""

    remote: Remote
    dataset: Dataset

    def queue(self, count: int) -> list[dict[str, Any]]:
        """The first records that this annotator has not answered, the worst first; at most 500."""
        found = self.remote.request(
            "POST",
            f"me/datasets/{self.dataset.id}/records/search",
            params={"limit": min(count, BULK_LIMIT)},
            json=_WORST_FIRST,
        )
        return [item["record"] for item in found["items"]]

    def submit(self, record: dict[str, Any], label: str) -> None:
        """Answer a record."""
        answer = {"values": {LABEL: {"value": label}}, "status": "submitted"}
        self.remote.request("POST", f"records/{record['id']}/responses", json=answer)
