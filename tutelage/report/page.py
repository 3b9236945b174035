"""The page: one HTML file that loads nothing, and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from tutelage.core import __version__
from tutelage.core.files import replacing
from tutelage.core.records import ProgressCallback, unreported
from tutelage.core.workspace import Workspace
from tutelage.report import wording
from tutelage.report.charts import (
    MATRIX_MAX,
    Bar,
    changes_chart,
    confusion_chart,
    drift_chart,
    interval_chart,
    learning_chart,
    reliability_chart,
    review_chart,
)
from tutelage.report.cost_chart import cost_chart
from tutelage.report.figures.collect import Report, collect_report
from tutelage.report.figures.economy import CORPUS
from tutelage.report.figures.label_accuracy import LabelAccuracy
from tutelage.report.headlines import gaps, headlines, sentences
from tutelage.report.svg import Picture
from tutelage.training.evaluation.evaluate import CONSENSUS, Evaluation
from tutelage.training.evaluation.slices import SMALLEST, Slice

STANDARD_OUTPUT = "-"
SLICES_MAX = 12
"""Slices that are drawn, the least accurate first; the table holds all."""
_OF_LABELS, _OF_THE_STUDENT = ("quality", "review", "changes", "teachers"), ("against", "confusion", "slices")
PICTURES = (*_OF_LABELS, *_OF_THE_STUDENT, "calibration", "curve", "drift", "cost")
_TEMPLATES = files("tutelage.report") / "templates"


@dataclass(frozen=True, kw_only=True)
class WrittenReport:
    """Where the page lies (``-`` for standard output), and its figures; ``html`` only where it is not a file."""

    path: str
    figures: Report
    html: str = ""


def write_page(
    workspace: Workspace,
    out: str = "",
    *,
    run: Mapping[str, Any] | None = None,
    progress: ProgressCallback = unreported,
) -> WrittenReport:
    """Collect the figures and write the page: to ``reports/`` under the time's name, to a file, or nowhere (``-``)."""
    report = collect_report(workspace, progress, run=run)
    html = render_page(report)
    if out == STANDARD_OUTPUT:
        return WrittenReport(path=out, figures=report, html=html)
    path = Path(out) if out else workspace.reports / f"report-{_name_of(report.at)}.html"
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return WrittenReport(path=str(path), figures=report)


def _name_of(moment: str) -> str:
    """A file's name of a moment: 2026-01-31T03:00:00+00:00 is 20260131T030000Z."""
    return moment[:19].replace("-", "").replace(":", "") + "Z"


def render_page(report: Report) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return wording.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=shown, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("percent", "percent_range", "points", "count", "dollars", "rounded", "without_marks"):
        environment.filters[name] = getattr(wording, name)
    environment.globals["amount"] = wording.amount
    style, script = (_template(name) for name in ("report.css", "report.js"))
    page = environment.from_string(_template("report.html.j2")).render(
        report=report,
        style=Markup(style),  # noqa: S704  # our own file
        script=Markup(script),  # noqa: S704  # our own file
        policy=_policy(style, script),
        **_shown_figures(report),
    )
    return str(page)


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """What the browser may do: this style, this script, and nothing else."""
    own = {"style-src": style, "script-src": script}
    hashes = (f"{name} '{_sha256(text)}'" for name, text in own.items())
    return "; ".join(["default-src 'none'", *hashes, "base-uri 'none'", "form-action 'none'"])


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown_figures(report: Report) -> dict[str, Any]:
    evaluation = report.student.evaluation if report.student else None
    return {
        "sentences": sentences(report),
        "headlines": headlines(report),
        "gaps": list(gaps(report)),
        "pictures": _pictures(report, evaluation),
        "evaluation": evaluation,
        "comparison": evaluation.comparisons.get(CONSENSUS) if evaluation else None,
        "calibration": evaluation.calibration[evaluation.student] if evaluation else None,
        "confused": _confused(evaluation, report) if evaluation else (),
        "corpus": CORPUS,
        "version": __version__,
        "matrix_max": MATRIX_MAX,
        "smallest": SMALLEST,
    }


def _pictures(report: Report, evaluation: Evaluation | None) -> Mapping[str, Picture | None]:
    """The pictures for which there are figures."""
    review, made = report.review, dict[str, Picture | None].fromkeys(PICTURES)
    if bars := _quality_bars(report.quality):
        made["quality"] = interval_chart("p-quality", "Right labels", bars, what="right")
    if review.steps:
        made["review"] = review_chart("p-review", review.steps)
    if review.changes:
        made["changes"] = changes_chart("p-changes", "What people changed", review.changes)
    teachers = [Bar(name=t.teacher, value=t.right.value, interval=t.right.interval, rows=t.right.rows)
                for t in review.teachers if t.right]  # fmt: skip
    if teachers:
        made["teachers"] = interval_chart("p-teachers", "Each teacher against people", teachers, what="as people")
    if evaluation and report.student:
        made |= _student_pictures(report, evaluation)
    if report.student and len(report.student.curve) > 1:
        made["curve"] = learning_chart("p-curve", report.student.curve)
    if report.drift and report.drift.found.get("labels"):
        made["drift"] = drift_chart("p-drift", report.drift.found["labels"])
    return made | _cost_picture(report)


def _student_pictures(report: Report, evaluation: Evaluation) -> dict[str, Picture | None]:
    labels = [name for name, _ in report.asked.labels]
    rows = evaluation.on_voted or evaluation.scores
    bars = [Bar(name=_who(name, evaluation), value=one.accuracy, interval=one.accuracy_interval, rows=one.rows)
            for name, one in rows.items()]  # fmt: skip
    worst = sorted(
        (part for part in evaluation.slices if SMALLEST <= part.rows < evaluation.rows), key=lambda part: part.accuracy
    )
    reliability = evaluation.calibration[evaluation.student].reliability
    return {
        "against": interval_chart("p-against", "Student and teacher on the same texts", bars, what="right"),
        "confusion": confusion_chart("p-confusion", evaluation.scores[evaluation.student].confusion, labels),
        "slices": _slices(worst) if worst else None,
        "calibration": reliability_chart("p-calibration", reliability),
    }


def _slices(worst: list[Slice]) -> Picture:
    bars = [Bar(name=f"{part.by}: {part.value.strip()}", value=part.accuracy, interval=part.interval, rows=part.rows)
            for part in worst[:SLICES_MAX]]  # fmt: skip
    return interval_chart("p-slices", "Accuracy by part of the holdout", bars, what="right")


def _who(name: str, evaluation: Evaluation) -> str:
    if name == CONSENSUS:
        return "teacher: majority of its votes"
    return f"student: {name}" if name == evaluation.student else f"teacher: {name}"


def _quality_bars(quality: LabelAccuracy) -> list[Bar]:
    bars = []
    if found := quality.on_gold:
        for name, share in (("before review, on gold labels", found.before), ("after review, same texts", found.after)):
            bars.append(Bar(name=name, value=share.value, interval=share.interval, rows=share.rows))
    if held := quality.on_holdout:
        bars.append(Bar(name="before, on the holdout", value=held.value, interval=held.interval, rows=held.rows))
        if quality.after is not None and quality.after_interval:
            name = "after, estimated from both"
            bars.append(Bar(name=name, value=quality.after, interval=quality.after_interval, rows=held.rows))
    return bars


def _cost_picture(report: Report) -> dict[str, Picture | None]:
    money = report.money
    if money.student is None or money.student.usd is None or money.llm.usd is None:
        return {}
    fixed = (money.votes_usd or 0.0) + money.training_usd + money.reviews * money.rates.review.value
    return {"cost": cost_chart("p-cost", fixed, money.student.usd.high, money.llm.usd.low, money.break_even)}


def _confused(evaluation: Evaluation, report: Report, most: int = 15) -> list[tuple[str, str, int, int]]:
    """The most frequent mistakes: gold label, the student's, how often, of how many with that gold label."""
    labels = [name for name, _ in report.asked.labels]
    matrix = evaluation.scores[evaluation.student].confusion
    cells = [
        (labels[row], labels[column], cell, sum(counts))
        for row, counts in enumerate(matrix)
        for column, cell in enumerate(counts[: len(labels)])
        if cell and row != column
    ]
    return sorted(cells, key=lambda cell: -cell[2])[:most]
