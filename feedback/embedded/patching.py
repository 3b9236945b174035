"""Changes to Argilla's modules while they are in memory; the wheel on the disk stays as it is."""

from __future__ import annotations

from typing import Any


def replace(owner: Any, name: str, value: Any) -> None:
    """Set an attribute of Argilla's that must be there already."""
    if not hasattr(owner, name):
        raise RuntimeError(f"{owner!r} has no {name!r}: this version of argilla-server is not the one expected.")
    setattr(owner, name, value)
