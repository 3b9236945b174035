"""The figure of an evaluation: scores with intervals, and the student's confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.files import replacing
from tutelage.training.measures.metrics import Scores
from tutelage.training.measures.selective import CoveragePoint


def draw_evaluation(
    path: Path,
    title: str,
    scores: Mapping[str, Scores],
    label_names: tuple[str, ...],
    shown: str,
    *,
    coverage: Sequence[CoveragePoint] = (),
) -> None:
    """Write a PNG: accuracy and macro-F1 of each classifier, the confusion matrix of ``shown``, and its coverage."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    side = max(4.0, 0.35 * len(label_names) + 2)
    figure = Figure(figsize=(side + 10, side), layout="constrained")
    FigureCanvasAgg(figure)
    bars, grid, curve = figure.subplots(1, 3, width_ratios=[5, side, 4])
    figure.suptitle(_plain(title))
    _draw_coverage(curve, coverage)
    _draw_scores(bars, scores)
    _draw_confusion(grid, np.array(scores[shown].confusion), label_names)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw_scores(axes: Any, scores: Mapping[str, Scores]) -> None:
    rows = np.arange(len(scores))
    for name, shift in (("accuracy", -0.12), ("macro_f1", 0.12)):
        values = np.array([getattr(score, name) for score in scores.values()])
        bounds = np.array([getattr(score, f"{name}_interval") for score in scores.values()]).T
        spread = np.maximum(0, np.abs(bounds - values))
        axes.errorbar(values, rows + shift, xerr=spread, fmt="o", capsize=3, label=name.replace("_f1", "-F1"))
    axes.set_yticks(rows, [_plain(name) for name in scores])
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.set_xlabel("with 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)


def _draw_coverage(axes: Any, coverage: Sequence[CoveragePoint]) -> None:
    """The share of errors against the share of rows that a least probability leaves."""
    shares = [100 * point.share for point in coverage]
    lows, highs = ([100 * (1 - point.interval[end]) for point in coverage] for end in (1, 0))
    axes.fill_between(shares, lows, highs, alpha=0.2, label="95 % interval")
    axes.plot(shares, [100 * (1 - point.accuracy) for point in coverage], marker=".")
    axes.set_xlim(0, 102)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("% of rows kept by --min-probability")
    axes.set_ylabel("% of them wrong")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)


def _draw_confusion(axes: Any, matrix: Any, label_names: tuple[str, ...]) -> None:
    columns = [*map(_plain, label_names), *(["(no label)"] if matrix[:, -1].any() else [])]
    matrix = matrix[:, : len(columns)]
    axes.imshow(matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True)), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(label_names)), list(map(_plain, label_names)))
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    if len(label_names) <= 30:
        for (row, column), count in np.ndenumerate(matrix):
            dark = count > 0.5 * matrix[row].sum()
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")


def _plain(text: str) -> str:
    """Escape labels: no formulas, and a box for characters that the font does not have."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    known = FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap()
    return "".join(char if ord(char) in known else "\N{WHITE SQUARE}" for char in text[:40]).replace("$", r"\$")
