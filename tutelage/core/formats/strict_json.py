"""JSON without repeated keys, of which readers take the last silently."""

from __future__ import annotations

import json
from typing import Any


class RepeatedKeyError(ValueError):
    """An object has a key twice; ``str()`` of it names the key."""


def read_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises
    ------
    RepeatedKeyError
        When an object in it has a key twice.
    ValueError
        When it is no JSON.
    RecursionError
        When it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        raise RepeatedKeyError(f"has the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return data
