"""The pictures of the report: figures in, a drawing and its table out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from markupsafe import Markup

from tutelage.report.figures.review_findings import ReviewStep
from tutelage.report.figures.student_findings import CurveStudent
from tutelage.report.svg import (
    WIDTH,
    Picture,
    dot,
    drawing,
    element,
    line,
    name_at,
    rect,
    whisker,
    words,
)
from tutelage.report.wording import count, percent, percent_range, shortened, visible
from tutelage.training.measures.calibration import ReliabilityBin
from tutelage.training.measures.metrics import Interval
from tutelage.views.standing import LabelChange

ROW = 40
BARS_MAX = 14
MATRIX_MAX = 12
"""Labels up to which a confusion matrix is drawn."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A share with its interval, by name; ``rows`` it is of."""

    name: str
    value: float
    interval: Interval
    rows: int


def interval_chart(ident: str, title: str, every: Sequence[Bar], *, what: str) -> Picture:
    """Shares with their intervals, one below the other, on one axis of per cent; the first are drawn."""
    bars = every[:BARS_MAX]
    low, high = _ends([end for bar in bars for end in bar.interval])
    left, right = 6.0, WIDTH - 14.0
    bottom = len(bars) * ROW + 8

    def at(value: float) -> float:
        return left + (value - low) / max(0.1, high - low) * (right - left)

    parts = [*_ticks_across(low, high, at, bottom)]
    for number, bar in enumerate(bars):
        y = number * ROW + 28
        parts += [name_at(bar.name, left, y - 13, most=44), words(percent(bar.value), right, y - 13, "n", anchor="end")]
        parts += [whisker(at(bar.interval.low), y, at(bar.interval.high), y), dot(at(bar.value), y)]
    said = "; ".join(f"{bar.name} {percent(bar.value)}" for bar in bars[:8])
    table = [(bar.name, percent(bar.value), percent_range(bar.interval), count(bar.rows)) for bar in every]
    note = f"The first {BARS_MAX} of {len(every)}; all are in the table." if len(every) > BARS_MAX else ""
    head = ("", what, "95 % interval", "rows")
    return Picture(drawing=drawing(ident, title, said, bottom + 20, parts), head=head, rows=tuple(table), note=note)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis, at whole tenths; at whole fifths where it is long."""
    wide = max(values) - min(values) > 0.5
    unit = 5 if wide else 10
    return max(0.0, floor(min(values) * unit) / unit), min(1.0, ceil(max(values) * unit) / unit)


def _ticks_across(low: float, high: float, at: Any, bottom: float) -> list[Markup]:
    steps = max(1, round((high - low) * 10))
    parts = []
    for number in range(0, steps + 1, 2 if steps > 5 else 1):
        value = low + number / 10
        anchor = "start" if number == 0 else "middle" if value < high - 0.001 else "end"
        label = words(f"{100 * value:.0f} %", at(value), bottom + 14, "axis", anchor=anchor)
        parts += [line(at(value), 4, at(value), bottom, "grid"), label]
    return parts


def _frame(top: float, bottom: float, left: float) -> list[Markup]:
    """Horizontal lines at 0, 25, 50, 75 and 100 per cent."""
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - value * (bottom - top)
        parts += [
            line(left, y, WIDTH - 6, y, "grid"),
            words(f"{100 * value:.0f}", left - 6, y + 4, "axis", anchor="end"),
        ]
    return parts


def review_chart(ident: str, steps: Sequence[ReviewStep]) -> Picture:
    """Errors found in each step of the review, with intervals."""
    left, top, bottom = 34.0, 12.0, 180.0
    slot = (WIDTH - 10 - left) / len(steps)
    parts = _frame(top, bottom, left)
    for number, step in enumerate(steps):
        x, width = left + number * slot + slot * 0.16, slot * 0.68
        y = [bottom - value * (bottom - top) for value in (step.changed.value, *step.changed.interval)]
        parts += [rect(x, y[0], width, bottom - y[0], "bar"), whisker(x + width / 2, y[1], x + width / 2, y[2])]
        if len(steps) <= 8 or number % ceil(len(steps) / 8) == 0:
            parts.append(words(str(step.last), x + width / 2, bottom + 15, "axis", anchor="middle"))
    parts.append(words("reviewed records, in the order of the answers", WIDTH - 6, bottom + 32, "axis", anchor="end"))
    rows = [
        (
            f"{s.first} to {s.last}",
            str(s.changed.hits),
            str(s.changed.rows),
            percent(s.changed.value),
            percent_range(s.changed.interval),
        )
        for s in steps
    ]
    said = "Per cent changed: " + ", ".join(f"{row[0]}: {row[3]}" for row in rows[:10])
    picture = drawing(ident, "Errors found per 50 reviewed records", said, bottom + 40, parts)
    return Picture(drawing=picture, head=("records", "changed", "of", "share", "95 % interval"), rows=tuple(rows))


def changes_chart(ident: str, title: str, changes: Sequence[LabelChange], most: int = 12) -> Picture:
    """From label to label, as bars of counts."""
    shown = changes[:most]
    widest = max(change.records for change in shown)
    parts = []
    for number, change in enumerate(shown):
        y = number * 34 + 16
        width = change.records / widest * (WIDTH - 60)
        suggested, given = (shortened(visible(label), 25) for label in (change.suggested, change.label))
        parts += [
            name_at(f"{suggested} \N{RIGHTWARDS ARROW} {given}", 4, y, most=60),
            rect(4, y + 5, width, 9, "bar"),
            words(str(change.records), width + 12, y + 14, "n"),
        ]
    rows = tuple((change.suggested, change.label, str(change.records)) for change in changes[:60])
    said = "; ".join(f"{one.suggested} to {one.label}: {one.records}" for one in shown)
    left_out = f"{len(changes) - most} rarer ones are in the table only." if len(changes) > most else ""
    picture = drawing(ident, title, said, len(shown) * 34 + 6, parts)
    return Picture(drawing=picture, head=("suggested", "given by people", "records"), rows=rows, note=left_out)


def confusion_chart(ident: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Picture | None:
    """The confusion matrix, shaded by row; None where there are more labels than can be read."""
    if len(labels) > MATRIX_MAX:
        return None
    left, top = 84.0, 42.0
    side = min(64.0, (WIDTH - left - 4) / len(labels))
    most = max(3, int(side / 7.5))
    parts = [words("predicted", left + side * len(labels) / 2, 10, "axis", anchor="middle")]
    for number, label in enumerate(labels):
        middle = number * side + side / 2
        parts += [
            name_at(label, left + middle, top - 6, most=most, anchor="middle"),
            name_at(label, left - 6, top + middle + 4, most=11, anchor="end"),
        ]
    for row, counts in enumerate(matrix):
        for column, cell in enumerate(counts[: len(labels)]):
            parts += _cell(left + column * side, top + row * side, side, cell, cell / max(1, sum(counts)))
    rows = tuple((label, *map(str, counts[: len(labels)])) for label, counts in zip(labels, matrix, strict=True))
    said = "Rows are gold labels, columns the student's; a cell's shade is its share of the row."
    picture = drawing(ident, "Confusion matrix of the student", said, top + side * len(labels) + 6, parts)
    return Picture(drawing=picture, head=("gold", *labels), rows=rows)


def _cell(x: float, y: float, side: float, cell: int, share: float) -> list[Markup]:
    back = rect(x + 1, y + 1, side - 2, side - 2, "cell")
    shade = rect(x + 1, y + 1, side - 2, side - 2, "shade", fill_opacity=round(0.06 + 0.94 * share, 3))
    number = words(str(cell), x + side / 2, y + side / 2 + 4, "on-dark" if share > 0.5 else "", anchor="middle")
    return [back, shade, number]


def reliability_chart(ident: str, bins: Sequence[ReliabilityBin]) -> Picture:
    """Share right against confidence; on the diagonal both are equal."""
    left, top, side = 44.0, 10.0, 250.0
    bottom, start = top + side, left + 20

    def at(value: float, share: float) -> tuple[float, float]:
        return start + value * side, bottom - share * side

    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(value, value)
        parts += [line(start, y, start + side, y, "grid"), line(x, top, x, bottom, "grid")]
        parts += [
            words(f"{100 * value:.0f}", start - 6, y + 4, "axis", anchor="end"),
            words(f"{100 * value:.0f}", x, bottom + 15, "axis", anchor="middle"),
        ]
    parts.append(line(*at(0, 0), *at(1, 1), "ideal"))
    largest = max(one.rows for one in bins)
    for one in bins:
        x, y = at(one.confidence, one.accuracy)
        low, high = (at(0, value)[1] for value in one.interval)
        parts += [whisker(x, low, x, high), dot(x, y, radius=3 + 4 * (one.rows / largest) ** 0.5)]
    parts.append(words("confidence, %", start + side / 2, bottom + 32, "axis", anchor="middle"))
    turn = f"rotate(-90 14 {top + side / 2:.0f})"
    parts.append(
        element("text", "right, %", x=14, y=top + side / 2, class_="axis", text_anchor="middle", transform=turn)
    )
    rows = [(percent(b.confidence), percent(b.accuracy), percent_range(b.interval), count(b.rows)) for b in bins]
    said = "; ".join(f"at {row[0]} confidence {row[1]} right" for row in rows)
    picture = drawing(ident, "Calibration: confidence against what is right", said, bottom + 40, parts)
    return Picture(drawing=picture, head=("mean confidence", "right", "95 % interval", "rows"), rows=tuple(rows))


def learning_chart(ident: str, students: Sequence[CurveStudent]) -> Picture:
    """Accuracy over the number of training texts."""
    left, top, bottom, right = 40.0, 12.0, 190.0, WIDTH - 20.0
    first, last = min(one.rows for one in students), max(one.rows for one in students)
    low = floor(min(one.accuracy_interval.low for one in students) * 10) / 10
    high = ceil(max(one.accuracy_interval.high for one in students) * 10) / 10

    def at(texts: int, value: float) -> tuple[float, float]:
        across = (texts - first) / (last - first) if last > first else 0.5
        return left + 16 + across * (right - left - 32), bottom - (value - low) / max(0.1, high - low) * (bottom - top)

    parts = []
    for number in range(round((high - low) * 10) + 1):
        y = at(first, low + number / 10)[1]
        parts += [
            line(left, y, right, y, "grid"),
            words(f"{100 * low + 10 * number:.0f}", left - 6, y + 4, "axis", anchor="end"),
        ]
    seen = Counter[int]()
    for one in students:
        x, y = at(one.rows, one.accuracy)
        x += 13 * seen[one.rows] * (1 if one.rows < last or first == last else -1)  # those of equal size, side by side
        seen[one.rows] += 1
        parts += [
            whisker(x, at(0, one.accuracy_interval.low)[1], x, at(0, one.accuracy_interval.high)[1]),
            dot(x, y, "dot" if one.source == "students" else "dot hollow"),
        ]
    ends = dict.fromkeys((first, last))
    parts += [words(count(texts), at(texts, 0)[0], bottom + 15, "axis", anchor="middle") for texts in ends]
    parts.append(words("training texts", (left + right) / 2, bottom + 32, "axis", anchor="middle"))
    table = [
        (s.id, count(s.rows), percent(s.accuracy), percent_range(s.accuracy_interval), s.created_at[:10], s.source)
        for s in students
    ]
    said = "; ".join(f"{row[1]} texts: {row[2]}" for row in table)
    head = ("student", "training texts", "accuracy", "95 % interval", "made", "from")
    picture = drawing(ident, "Accuracy on the holdout over training texts", said, bottom + 40, parts)
    return Picture(drawing=picture, head=head, rows=tuple(table))


def drift_chart(ident: str, labels: Mapping[str, Mapping[str, float]], most: int = 20) -> Picture:
    """The share of each label then and now."""
    ordered = sorted(labels.items(), key=lambda one: -abs(one[1]["now"] - one[1]["then"]))
    shown = ordered[:most]
    highest = max(0.05, *(max(one["then"], one["now"]) for _, one in shown))
    parts = []
    for number, (label, share) in enumerate(shown):
        y, x = number * ROW + 28, [8 + share[when] / highest * (WIDTH - 24) for when in ("then", "now")]
        change = f"{percent(share['then'])} \N{RIGHTWARDS ARROW} {percent(share['now'])}"
        parts += [name_at(label, 6, y - 13, most=34), words(change, WIDTH - 6, y - 13, "n", anchor="end")]
        parts += [line(x[0], y, x[1], y, "whisker"), dot(x[0], y, "dot hollow"), dot(x[1], y)]
    rows = tuple((label, percent(one["then"]), percent(one["now"])) for label, one in ordered)
    said = "; ".join(f"{row[0]}: {row[1]} then, {row[2]} now" for row in rows[:12])
    picture = drawing(ident, "Share of each predicted label, then and now", said, len(shown) * ROW + 8, parts)
    return Picture(drawing=picture, head=("label", "then", "now"), rows=rows)
