"""Two optimisations of Argilla's work per record and response; nothing that it answers or sends changes.

A pydantic ``TypeAdapter`` is built again for each metadata value and each suggestion, and the event
for a record or a response is built from the whole dataset even when no webhook is enabled. Together
they are most of the time that a bulk upsert takes, and much of that which a person's answer takes.
"""

from __future__ import annotations

import time
from typing import Any

from argilla_server.api.schemas.v1.questions import QuestionSettings
from argilla_server.bulk import records_bulk
from argilla_server.contexts import datasets, distribution, records, webhooks
from argilla_server.models import MetadataProperty, Question
from argilla_server.models.metadata_properties import MetadataPropertySettings
from argilla_server.webhooks.v1.records import build_record_event, notify_record_event
from argilla_server.webhooks.v1.responses import notify_response_event
from pydantic import TypeAdapter

from .patching import replace

FRESH_SECONDS = 1.0  # how long a request caches whether a webhook is enabled
MEMORY = "has_webhooks"


def install_optimisations() -> None:
    """Replace the slow functions."""
    replace(Question, "parsed_settings", _parsed_by(TypeAdapter(QuestionSettings)))
    replace(MetadataProperty, "parsed_settings", _parsed_by(TypeAdapter(MetadataPropertySettings)))
    for module in (records_bulk, distribution, records):
        replace(module, "notify_record_event_v1", _notify_record_event)
    replace(records, "build_record_event_v1", _build_record_event)
    replace(datasets, "notify_response_event_v1", _notify_response_event)


def _parsed_by(adapter: Any) -> property:
    return property(lambda owner: adapter.validate_python(owner.settings))


async def _notify_record_event(db: Any, record_event: Any, record: Any) -> list[Any]:
    if not await _has_webhooks(db):
        return []
    return list(await notify_record_event(db, record_event, record))


async def _notify_response_event(db: Any, response_event: Any, response: Any) -> list[Any]:
    if not await _has_webhooks(db):
        return []
    return list(await notify_response_event(db, response_event, response))


async def _build_record_event(db: Any, record_event: Any, record: Any) -> Any:
    if not await _has_webhooks(db):
        return _NoEvent()
    return await build_record_event(db, record_event, record)


class _NoEvent:
    """An event without a receiver."""

    async def notify(self, _db: Any) -> list[Any]:
        return []


async def _has_webhooks(db: Any) -> bool:
    """Whether any webhook is enabled; remembered for a moment, as one request asks for each record."""
    until, listens = db.info.get(MEMORY, (0.0, False))
    if time.monotonic() > until:
        listens = bool(await webhooks.list_enabled_webhooks(db))
        db.info[MEMORY] = (time.monotonic() + FRESH_SECONDS, listens)
    return bool(listens)
