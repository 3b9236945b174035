"""What people found of the suggestions that they were shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tutelage.core.records import Shown
from tutelage.feedback.curate import Curated, suggested_and_given

NOTHING_KNOWN: Mapping[str, Sequence[Shown]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reviewed suggestion: the label that was shown, and whether people gave another one."""

    shown: str
    is_wrong: bool


def verdicts_of(curated: Sequence[Curated], shown: Mapping[str, Sequence[Shown]] = NOTHING_KNOWN) -> dict[str, Verdict]:
    """The verdict on each reviewed record, by its id.

    A label that people gave is held against the suggestion that they saw when they gave it; where none is known or
    none was shown, as in a file or on a tie, against the suggestion that stands now. A record that was discarded, or
    on which people differ equally often, says nothing about its suggestion.

    Parameters
    ----------
    shown
        What each record showed on Argilla, by its id, the oldest first.
    """
    found = ((item.record.id, _verdict(item, shown)) for item in curated)
    return {record_id: verdict for record_id, verdict in found if verdict}


def _verdict(item: Curated, shown: Mapping[str, Sequence[Shown]]) -> Verdict | None:
    if item.status != "reviewed" or item.label is None:
        return None
    seen = suggested_and_given(item, shown)
    label = seen[0] if seen else item.suggestion and item.suggestion.label
    return Verdict(label, label != item.label) if label else None
