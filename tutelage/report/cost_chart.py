"""The picture of break-even: what both ways have cost in all, over the number of texts."""

from __future__ import annotations

from math import ceil, floor, log10

from tutelage.report.svg import WIDTH, Picture, dot, drawing, line, path_of, words
from tutelage.report.wording import count, dollars

FIRST, LAST = 3, 8
"""Powers of ten of the texts at both ends."""


def cost_chart(ident: str, fixed: float, student: float, llm: float, even: int | None) -> Picture:
    """Both axes grow tenfold from line to line."""
    left, top, bottom, right = 64.0, 12.0, 200.0, WIDTH - 10.0
    sizes = [10 ** (FIRST + step / 4) for step in range((LAST - FIRST) * 4 + 1)]
    own, stay = [fixed + student * size for size in sizes], [llm * size for size in sizes]
    low, high = floor(log10(max(1e-4, min(own[0], stay[0])))), ceil(log10(max(own[-1], stay[-1], 1e-3)))

    def at(size: float, usd: float) -> tuple[float, float]:
        x = left + (log10(size) - FIRST) / (LAST - FIRST) * (right - left)
        return x, bottom - (log10(max(usd, 1e-4)) - low) / max(1, high - low) * (bottom - top)

    parts = []
    for power in range(low, high + 1, max(1, (high - low) // 5)):
        y = at(10**FIRST, 10**power)[1]
        label = words(f"${10**power:,}" if power >= 0 else dollars(10**power), left - 6, y + 4, "axis", anchor="end")
        parts += [line(left, y, right, y, "grid"), label]
    for power in range(FIRST, LAST + 1):
        anchor = "end" if power == LAST else "middle"
        parts.append(words(_short_count(10**power), at(10**power, 1)[0], bottom + 15, "axis", anchor=anchor))
    parts += [path_of([at(s, usd) for s, usd in zip(sizes, stay, strict=True)], "curve other")]
    parts += [path_of([at(s, usd) for s, usd in zip(sizes, own, strict=True)], "curve")]
    if even and 10**FIRST <= even <= 10**LAST:
        parts.append(dot(*at(even, llm * even)))
    parts.append(words("texts", (left + right) / 2, bottom + 32, "axis", anchor="middle"))
    rows = [
        (count(10**power), dollars(fixed + student * 10**power), dollars(llm * 10**power))
        for power in range(FIRST, LAST + 1)
    ]
    said = f"The two cost the same at {count(even)} texts." if even else "The student is never cheaper."
    picture = drawing(ident, "Cost in all over the number of texts", said, bottom + 40, parts)
    return Picture(drawing=picture, head=("texts", "student, with all it took", "LLM"), rows=tuple(rows))


def _short_count(size: int) -> str:
    return f"{size // 1_000_000} M" if size >= 1_000_000 else f"{size // 1000} k"
