"""Tables and sentences: evaluations, and what fits a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence

from tutelage.training.evaluation.evaluate import CONSENSUS, Evaluation
from tutelage.training.evaluation.teacher_comparison import TeacherScore, TeacherTable
from tutelage.training.measures.comparison import Comparison
from tutelage.training.measures.metrics import Scores
from tutelage.training.measures.seeds import RecipeComparison, SeedSpread

_NAMED = 5
"""Ids that a sentence names."""


def describe_evaluation(evaluation: Evaluation) -> str:
    """Tables of scores, the comparison, calibration, and the worst slice."""
    e = evaluation
    if e.on_voted and not e.without_votes:
        parts = [_rows(e), _table({**e.scores, **e.on_voted})]
    else:
        parts = [_rows(e), _table(e.scores)]
        parts += [f"On the {e.rows - e.without_votes} rows with votes:", _table(e.on_voted)] if e.on_voted else []
    parts.append(_per_label(e.scores[e.student]))
    parts += [compared(comparison, e.student, _named(name)) for name, comparison in e.comparisons.items()]
    parts += [_spread(spread) for spread in e.seeds.values()]
    parts += [_of_recipes(comparison, e.student, _named(name)) for name, comparison in e.recipes.items()]
    parts.append(_trained_once(e))
    parts += [_calibrated(e), _coverage(e), _worst(e), _curve(e)]
    return "\n\n".join(part for part in parts if part)


def _named(name: str) -> str:
    return "the teacher" if name == CONSENSUS else name


def _rows(e: Evaluation) -> str:
    words = f"{e.rows} rows of {e.gold_set}"
    words += f"; {e.unusable} more have a gold label that is none of the task's" if e.unusable else ""
    words += _counted_once(e.repeated, e.contradictory)
    words += f"; {e.without_votes} without votes" if e.on_voted and e.without_votes else ""
    words += f"; {e.truncated} are longer than {e.student} reads" if e.truncated else ""
    words += f"; on {e.abstained} every vote abstains (wrong for the teacher)" if e.abstained else ""
    return words


def _counted_once(repeated: int, contradictory: Sequence[str]) -> str:
    repeat = "rows repeat a text and count once" if repeated > 1 else "row repeats a text and counts once"
    words = f"; {repeated} {repeat}" if repeated else ""
    if contradictory:
        first, more = ", ".join(contradictory[:_NAMED]), ", …" if len(contradictory) > _NAMED else ""
        words += f"; {len(contradictory)} are left out, equal texts with different gold labels ({first}{more})"
    return words


def _table(scores: Mapping[str, Scores]) -> str:
    rows = [("", "accuracy", "95 %", "macro-F1", "95 %")]
    for name, s in scores.items():
        f1 = (f"{s.macro_f1:.3f}", str(s.macro_f1_interval))
        rows.append((name, f"{s.accuracy:.3f}", str(s.accuracy_interval), *f1))
    return columns(rows)


def _per_label(scores: Scores) -> str:
    rows = [("label", "precision", "recall", "F1", "rows")]
    rows += [
        (one.label, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", str(one.support))
        for one in scores.per_label
    ]
    return columns(rows)


def _calibrated(e: Evaluation) -> str:
    calibration = e.calibration[e.student]
    words = f"calibration error {calibration.error:.3f}"
    if calibration.temperature is not None:
        scaled = f"{calibration.error_with_temperature:.3f} at temperature {calibration.temperature:.2f}"
        words += f", {scaled} (fitted on validation rows)"
    return f"{words}; predict gives {calibration.probabilities} probabilities"


SHOWN_SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Of the rows kept, in the table for people."""


def _coverage(e: Evaluation) -> str:
    nearest = [min(e.coverage, key=lambda point: abs(point.share - share)) for share in SHOWN_SHARES if e.coverage]
    rows = [("--min-probability", "kept", "rows", "accuracy", "95 %")]
    rows += [
        (f"{p.threshold:.4f}", f"{p.share:.1%}", str(p.rows), f"{p.accuracy:.3f}", str(p.interval))
        for p in dict.fromkeys(nearest)
    ]
    words = f"What predict keeps a label for, estimated on these {e.rows} rows:"
    return f"{words}\n{columns(rows)}" if e.coverage else ""


def _worst(e: Evaluation) -> str:
    s = e.worst_slice
    return f"weakest slice: {s.by} = {s.value.strip()}: {s.accuracy:.3f} {s.interval} on {s.rows} rows" if s else ""


def _curve(e: Evaluation) -> str:
    rows = [("trained on", "accuracy", "95 %", "macro-F1", "95 %")]
    for p in e.curve:
        f1 = (f"{p.macro_f1:.3f}", str(p.macro_f1_interval))
        rows.append((f"{p.rows} rows", f"{p.accuracy:.3f}", str(p.accuracy_interval), *f1))
    return columns(rows) if e.curve else ""


def compared(comparison: Comparison, first: str, second: str) -> str:
    """One sentence for people."""
    c, points = comparison, 100 * comparison.margin
    low, high = (f"{100 * value:+.1f}" for value in c.accuracy_difference_interval)
    details = f"accuracy {100 * c.accuracy_difference:+.1f} points [{low}, {high}], McNemar p = {c.p_value:.3g}"
    verdicts = {
        "better": f"{first} is better than {second}",
        "worse": f"{first} is worse than {second}",
        "on par": f"{first} is on par with {second} (±{points:g} points)",
        "undecided": f"{first} against {second}: no significant difference; {c.rows} rows cannot establish parity"
        f" (±{points:g} points)",
    }
    return f"{verdicts[c.verdict]}: {details}"


def _spread(spread: SeedSpread) -> str:
    each = ", ".join(f"{name} {value:.3f}" for name, value in zip(spread.students, spread.accuracies, strict=True))
    return (
        f"{len(spread.students)} seeds: accuracy {spread.mean:.3f} on average, standard deviation"
        f" {spread.deviation:.3f}, {spread.lowest:.3f} to {spread.highest:.3f} ({each})"
    )


def _of_recipes(c: RecipeComparison, first: str, second: str) -> str:
    """What holds of the recipe and not only of this student."""
    low, high = (f"{100 * value:+.1f}" for value in c.interval)
    other = f"that of {second}" if c.second_seeds else second
    verdicts = {
        "better": f"the recipe of {first} is better than {other}",
        "worse": f"the recipe of {first} is worse than {other}",
        "on par": f"the recipe of {first} is on par with {other} (±{100 * c.margin:g} points)",
        "undecided": f"the recipe of {first} against {other}: undecided, rows and seeds could make the difference",
    }
    seeds = f"{c.first_seeds} against {c.second_seeds} seeds" if c.second_seeds else f"{c.first_seeds} seeds"
    points = f"accuracy {100 * c.difference:+.1f} points [{low}, {high}], p = {c.p_value:.3g}"
    return f"over rows and seeds, {verdicts[c.verdict]}: {points} ({seeds})"


def _trained_once(e: Evaluation) -> str:
    """A verdict between two students is about these two; other seeds of the same recipes may give another."""
    others = [name for name in e.comparisons if name != CONSENSUS and name not in e.recipes]
    decided = any(e.comparisons[name].verdict in {"better", "worse"} for name in others)
    return (
        "That is said of these two students. Each was trained with one seed; to compare their recipes, train both with"
        " tutelage train --seeds 3."
        if decided
        else ""
    )


def describe_teachers(table: TeacherTable) -> str:
    """The table for people: a line for each score."""
    head = ("teacher", "prompt", "votes", "accuracy", "95 %", "macro-F1", "95 %", "abst.", "USD/1000", "s/1000")
    rows = [(*head, "best minus this", "95 %", "p"), *map(_teacher_row, table.scores)]
    once = _counted_once(table.repeated, table.contradictory)
    lines = [f"{table.gold_set}: {table.rows} rows that all have voted on{once}", columns(rows)]
    lines += [f"left out, too few rows: {panel.teacher} {panel.prompt}" for panel in table.left_out]
    lines += [
        f"not compared, asked only where other votes left doubt: {cut.teacher} {cut.prompt}, votes {cut.votes} and on"
        " (annotate without early_stop and escalate to compare them)"
        for cut in table.cut
    ]
    return "\n".join(lines)


def _teacher_row(row: TeacherScore) -> tuple[str, ...]:
    scores = (f"{row.accuracy:.4f}", str(row.accuracy_interval), f"{row.macro_f1:.4f}", str(row.macro_f1_interval))
    cost = "-" if row.cost is None else f"{row.cost:.4f}"
    seconds = "-" if row.seconds is None else f"{row.seconds:.0f}"
    best = ("best", "", "")
    if found := row.to_best:
        best = (f"{found.accuracy_difference:+.4f}", str(found.accuracy_difference_interval), f"{found.p_value:.2g}")
    return (row.teacher, row.prompt, str(row.votes), *scores, str(row.abstentions), cost, seconds, *best)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, the first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


# For a terminal

_TURNS_TEXT = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
"""Characters that turn the direction of what follows them."""

_LEAST = 12
"""Columns that the last cell of a row keeps."""


def harmless(text: str, *, lines: bool = False) -> str:
    """The text so that a terminal shows it and does nothing else: control characters become visible ones.

    Line ends and tabs become spaces; with ``lines`` line ends stay.
    """
    return "".join(_harmless(character, lines=lines) for character in text)


def _harmless(character: str, *, lines: bool) -> str:
    number = ord(character)
    if character == "\n" and lines:
        return character
    if character in "\t\n\r\x0b\x0c\x85\u2028\u2029":
        return " "
    if number < 0x20:
        return chr(0x2400 + number)  # the sign that stands for it
    return "\ufffd" if 0x7F <= number < 0xA0 or 0xD800 <= number < 0xE000 or number in _TURNS_TEXT else character


def indented(text: str, by: int = 2) -> str:
    """The text's lines, harmless and indented."""
    return "\n".join(" " * by + line for line in harmless("\n".join(text.splitlines()), lines=True).split("\n"))


def shown_width(text: str) -> int:
    """How many columns of a terminal the text takes: two for a wide character, none for a mark on another one."""
    return sum(_columns_of(character) for character in text)


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def cut(text: str, width: int) -> str:
    """The text in so many columns, with … where it is longer."""
    if shown_width(text) <= width:
        return text
    kept, used = [], 1
    for character in text:
        used += _columns_of(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def fitted(rows: Sequence[Sequence[str]], width: int, *, most: Mapping[int, int], right: Container[int]) -> str:
    """Rows as a table of ``width`` columns at most; the last column takes what is left.

    Parameters
    ----------
    most
        Columns of the terminal that a column of the table takes at most, by its number.
    right
        The columns of the table that are aligned to the right.
    """
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(shown_width, column)) for column in zip(*cells, strict=True)][:-1]
    widths = [min(wide, most.get(number, wide)) for number, wide in enumerate(widths)]
    left = width - sum(widths) - 2 * len(widths)
    lines = ("  ".join([*_aligned(row, widths, right), cut(row[-1], max(left, _LEAST))]) for row in cells)
    return "\n".join(cut(line, width).rstrip() for line in lines)


def _aligned(row: Sequence[str], widths: Sequence[int], right: Container[int]) -> Iterator[str]:
    for number, (cell, width) in enumerate(zip(row, widths, strict=False)):
        words = cut(cell, width)
        space = " " * (width - shown_width(words))
        yield space + words if number in right else words + space
