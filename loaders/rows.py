"""Rows of a source: when two texts are equal, and which rows cannot be used."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TEXT_MAX_LENGTH = 100_000
"""In characters. 500 records of this length stay below the 100 MB limit of a request to Argilla's search."""
ID_MAX_LENGTH = 200

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""UTF-8 cannot encode it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source; ``number`` counts from 1. ``problem`` says why it cannot be used.

    ``original`` is the row with its types, where the source has any: the JSON object, or an Arrow batch
    and the row's place in it.
    """

    number: int
    values: dict[str, str]
    problem: str = ""
    original: Any = None

    def cell(self, column: str) -> str:
        """The value in a column; empty where there is none."""
        return self.values.get(column, "")


def problem_of(row: Row, text: str, id_: str = "", *, others: Iterable[str] = ()) -> str:
    """Why a row cannot be used; empty where it can.

    Parameters
    ----------
    text, id_
        The columns of the text and, if there is one, of the id.
    others
        Other columns whose cells are used.
    """
    if row.problem:
        return row.problem
    if not row.cell(text).strip():
        return "has no text"
    if any(_LONE_SURROGATE.search(row.cell(name)) for name in (text, id_, *others) if name):
        return "contains a lone surrogate"
    if id_ and not 0 < len(row.cell(id_).strip()) <= ID_MAX_LENGTH:
        return f"id must have 1 to {ID_MAX_LENGTH} characters"
    return ""


def normalised(text: str) -> str:
    """The text in Unicode NFC with runs of white space as one space: texts that are equal so are the same text."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()


def text_key(text: str) -> str:
    """First 16 hex digits of a SHA-256 over the normalised text."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:16]
