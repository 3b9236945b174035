"""How the report writes numbers, and text that somebody else wrote."""

from __future__ import annotations

import re
import unicodedata

from tutelage.core.formats.paragraphs import unwrapped

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows, also outside of the text that holds them."""
_KEPT = frozenset("\n\t")


def visible(text: str) -> str:
    """The text, with control characters and those that turn its direction shown as their code."""
    return "".join(f"[U+{ord(char):04X}]" if _is_unseen(char) else char for char in text)


def _is_unseen(char: str) -> bool:
    return char in _BIDI or (unicodedata.category(char) in {"Cc", "Cs"} and char not in _KEPT)


def shortened(text: str, most: int) -> str:
    """At most so many characters, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1].rstrip()}…"


def percent(value: float) -> str:
    """A fraction as per cent, such as ``84.3 %``."""
    return f"{100 * value:.1f} %"


def percent_range(interval: tuple[float, float]) -> str:
    """An interval of fractions, such as ``81.9 to 86.4 %``."""
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def count(value: float) -> str:
    """A whole number with commas."""
    return f"{round(value):,}"


def rounded(value: float) -> str:
    """A whole number with two significant digits and commas: an estimate."""
    places = max(0, len(str(int(value))) - 2)
    return f"{int(round(value, -places)):,}"


def dollars(value: float) -> str:
    """US dollars: cents below 100, two significant digits below one cent."""
    sign, size = ("\N{MINUS SIGN}" if value < 0 else ""), abs(value)
    if size >= 100:
        return f"{sign}${size:,.0f}"
    return f"{sign}${size:.2f}" if size >= 0.01 or size == 0 else f"{sign}${_two_digits(size)}"


_UNITS = {
    "seconds": (
        (172_800, 86_400, "days"),
        (7200, 3600, "hours"),
        (120, 60, "minutes"),
        (0.1, 1, "s"),
        (0, 0.001, "ms"),
    ),
    "kg": ((10_000, 1000, "t"), (0.1, 1, "kg"), (0, 0.001, "g")),
}
"""From which size on, in which unit, and its name."""


def amount(what: str, low: float, high: float) -> str:
    """A span of dollars (``usd``), ``seconds`` or ``kg``, both ends in one unit; report.js writes the same."""
    if what == "usd":
        first, last, unit = dollars(low), dollars(high), ""
    else:
        size, name = next((size, name) for least, size, name in _UNITS[what] if high >= least)
        first, last, unit = _three_digits(low / size), _three_digits(high / size), f" {name}"
    return (first if first == last else f"{first} to {last}") + unit


def _three_digits(value: float) -> str:
    """Three significant digits at most; more where the number is whole."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 or value == 0 else _two_digits(value)


def _two_digits(value: float) -> str:
    """A small positive number with two significant digits, never with an exponent."""
    places = 1
    while value < 10 ** (1 - places) and places < 12:
        places += 1
    return f"{value:.{places}f}"


_STRONG = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")


def without_marks(markdown: str) -> str:
    """Markdown as running text: its paragraphs on one line each, and no marks of emphasis."""
    return _STRONG.sub(r"\2", unwrapped(markdown))
