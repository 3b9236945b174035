"""An annotator sees their own answers only.

The pages ask for nothing else, but ``GET /api/v1/records/{id}`` gives everybody in the workspace the
answers of all: whoever asks by hand would no longer answer independently.
"""

from __future__ import annotations

from typing import Any

from argilla_server.api.policies.v1 import RecordPolicy
from sqlalchemy import inspect
from sqlalchemy.orm.attributes import set_committed_value

from .patching import replace


def keep_answers_apart() -> None:
    """Hand annotators records without the responses of others."""
    allowed_to_all = RecordPolicy.get

    def get(record: Any) -> Any:
        is_allowed = allowed_to_all(record)

        async def without_others(actor: Any) -> bool:
            allowed = bool(await is_allowed(actor))
            if allowed and actor.is_annotator and "responses" not in inspect(record).unloaded:
                own = [response for response in record.responses if response.user_id == actor.id]
                set_committed_value(record, "responses", own)  # what is read, not what is stored
            return allowed

        return without_others

    replace(RecordPolicy, "get", staticmethod(get))
