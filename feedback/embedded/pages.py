"""Argilla's web pages: the copy that this server makes of them loads nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

# Fonts; with these gone the pages fall back to those of the system.
_FROM_ELSEWHERE = re.compile(r"@import url\(https?://[^)]*\);")


def keep_to_themselves(directory: Path) -> None:
    """Take the style sheets of other hosts out of the pages that Argilla copied there while it was imported."""
    for style in directory.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        if _FROM_ELSEWHERE.search(text):
            style.write_text(_FROM_ELSEWHERE.sub("", text), encoding="utf-8")
