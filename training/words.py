"""An evaluation in words and tables, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.compare import in_words
from training.evaluate import CONSENSUS, Evaluation
from training.metrics import Scores


def describe(evaluation: Evaluation) -> str:
    """Tables of scores, the comparison, calibration, and the worst slice."""
    e = evaluation
    if e.on_voted and not e.without_votes:
        parts = [_rows(e), _table({**e.scores, **e.on_voted})]
    else:
        parts = [_rows(e), _table(e.scores)]
        parts += [f"On the {e.rows - e.without_votes} rows with votes:", _table(e.on_voted)] if e.on_voted else []
    parts.append(_per_label(e.scores[e.student]))
    parts += [in_words(comparison, e.student, _named(name)) for name, comparison in e.comparisons.items()]
    parts += [_calibrated(e), _worst(e), _curve(e)]
    return "\n\n".join(part for part in parts if part)


def _named(name: str) -> str:
    return "the teacher" if name == CONSENSUS else name


def _rows(e: Evaluation) -> str:
    words = f"{e.rows} rows of {e.sheet}"
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
    found = e.calibration[e.student]
    words = f"calibration error {found.error:.3f}"
    if found.temperature is not None:
        words += (
            f", {found.error_with_temperature:.3f} at temperature {found.temperature:.2f} (fitted on validation rows)"
        )
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
