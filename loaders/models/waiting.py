"""How long an endpoint asks to wait, in its headers and its messages, and whether it is the account that is empty."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_DURATION = r"((?:\d+(?:\.\d+)?\s?(?:ms|h|m|s)\s?)+)"
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|h|m|s)")
_IN_WORDS = re.compile(
    rf"(?:try again in|retry in|retry after|retryDelay[\\\"':]{{0,8}})\s{{0,4}}[\\\"]{{0,4}}{_DURATION}", re.IGNORECASE
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_USED_UP = re.compile(r"insufficient_quota|exceeded your current quota|billing|credit", re.IGNORECASE)
_LIMITS = ("requests", "tokens")


def wait_asked_for(headers: Mapping[str, str], message: str) -> float | None:
    """Seconds to wait, from the headers or else from the message; None where neither says."""
    wait = retry_after(headers)
    if wait is not None:
        return wait
    match = _IN_WORDS.search(message[:5000])
    return seconds_of(match.group(1)) if match else None


def account_is_empty(headers: Mapping[str, str], message: str) -> bool:
    """Whether a 429 means that money is missing: its words say so, and nothing speaks of a limit that passes."""
    passes = wait_asked_for(headers, message) is not None or any("ratelimit" in name.lower() for name in headers)
    return bool(_USED_UP.search(message)) and not passes


def rest_of(headers: Mapping[str, str]) -> float:
    """Seconds for which a limit is used up, by ``x-ratelimit-remaining-*`` and ``x-ratelimit-reset-*``; else 0."""
    waits = [
        seconds_of(headers.get(f"x-ratelimit-reset-{limit}", ""))
        for limit in _LIMITS
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
    ]
    return max(waits, default=0.0)


def seconds_of(duration: str) -> float:
    """Seconds of a duration such as ``6m0s``, ``250ms`` or ``1.5``; 0 where it is none."""
    parts = _PARTS.findall(duration)
    if parts:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return max(0.0, float(duration))
    except ValueError:
        return 0.0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``retry-after-ms`` or ``Retry-After``, which holds seconds or a date (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, _timestamp(headers["retry-after"]) - _now(headers))
    except (KeyError, ValueError):
        return None


def _now(headers: Mapping[str, str]) -> float:
    """The endpoint's own time, where its response has a date."""
    return _timestamp(headers["date"]) if "date" in headers else time.time()


def _timestamp(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()
