"""Cells that a spreadsheet would run: in CSV they get an apostrophe before them, which is taken off again.

A cell is guarded where it begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, with or without
apostrophes before that; so what was guarded is always told from what was not.
"""

from __future__ import annotations

import re

_RUNS = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def guarded(cell: str) -> str:
    """The cell so that no spreadsheet runs it."""
    return f"'{cell}" if _RUNS.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell without its guard."""
    return cell[1:] if _GUARDED.match(cell) else cell
