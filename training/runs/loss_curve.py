"""The curve of the losses of a training, as JSON and as PNG beside the student."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.core.files import replacing, write_text

CURVE, PICTURE = "loss_curve.json", "loss_curve.png"
TRAINING, VALIDATION = "training", "validation"


def curve_of(log: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The losses in a Trainer's log, a row for each: step, epoch, split and loss.

    A training loss is the mean over the steps since the row before.
    """
    return tuple(
        {"step": entry["step"], "epoch": round(entry["epoch"], 4), "split": split, "loss": entry[key]}
        for entry in log
        for split, key in ((TRAINING, "loss"), (VALIDATION, "eval_loss"))
        if key in entry
    )


def write_curve(folder: Path, title: str, curve: Sequence[Mapping[str, Any]]) -> None:
    """Write both files into a folder; none where there is no curve."""
    if not curve:
        return
    rows = ",\n".join(json.dumps(row) for row in curve)
    write_text(folder / CURVE, f"[\n{rows}\n]\n")
    _draw(folder / PICTURE, title, curve)


def _draw(path: Path, title: str, curve: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for split, style in ((TRAINING, "-"), (VALIDATION, "o-")):
        rows = [row for row in curve if row["split"] == split]
        if rows:
            axes.plot([row["epoch"] for row in rows], [row["loss"] for row in rows], style, label=split)
    axes.set(title=title, xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
