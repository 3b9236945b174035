"""Evaluations as text: tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tutelage.training.evaluation.evaluate import CONSENSUS, Evaluation
from tutelage.training.evaluation.teacher_comparison import TeacherScore, TeacherTable
from tutelage.training.measures.comparison import Comparison
from tutelage.training.measures.metrics import Scores


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
    parts += [_calibrated(e), _worst(e), _curve(e)]
    return "\n\n".join(part for part in parts if part)


def _named(name: str) -> str:
    return "the teacher" if name == CONSENSUS else name


def _rows(e: Evaluation) -> str:
    words = f"{e.rows} rows of {e.gold_set}"
    words += f"; {e.unusable} more have a gold label that is none of the task's" if e.unusable else ""
    words += f"; {e.without_votes} without votes" if e.on_voted and e.without_votes else ""
    words += f"; on {e.abstained} every vote abstains (wrong for the teacher)" if e.abstained else ""
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
    return words


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


def describe_teachers(table: TeacherTable) -> str:
    """The table for people: a line for each score."""
    head = ("teacher", "prompt", "votes", "accuracy", "95 %", "macro-F1", "95 %", "abst.", "USD/1000", "s/1000")
    rows = [(*head, "best minus this", "95 %", "p"), *map(_teacher_row, table.scores)]
    lines = [f"{table.gold_set}: {table.rows} rows that all have voted on", columns(rows)]
    lines += [f"left out, too few rows: {panel.teacher} {panel.prompt}" for panel in table.left_out]
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
