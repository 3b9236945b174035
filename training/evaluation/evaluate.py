"""The step ``evaluate``: a student, and the teacher, against gold labels on the same rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints, decide, indices
from tutelage.core.errors import SnapshotError
from tutelage.core.files import write_text
from tutelage.core.records import Progress, ProgressCallback, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.rows import text_key
from tutelage.training.evaluation.figure import draw_evaluation
from tutelage.training.evaluation.gold_set import GoldRow, GoldSet, check_unseen
from tutelage.training.evaluation.learning_curve import CurvePoint
from tutelage.training.evaluation.seed_variance import recipe_comparison, spreads
from tutelage.training.evaluation.slices import Slice, parts_of, slices, worst
from tutelage.training.hub.model_card import write_card
from tutelage.training.manifest import UNCALIBRATED
from tutelage.training.measures.calibration import (
    ReliabilityBin,
    expected_calibration_error,
    reliability_bins,
    with_temperature,
)
from tutelage.training.measures.comparison import MARGIN, Comparison, compare
from tutelage.training.measures.metrics import Scores, score
from tutelage.training.measures.seeds import RecipeComparison, SeedSpread
from tutelage.training.measures.selective import CoveragePoint, risk_coverage
from tutelage.training.registry import Entry, find_student, siblings_of
from tutelage.training.students.encoder import truncated_texts

CONSENSUS = "teacher"
AT_ONCE = 500
"""Texts that are predicted between two words on how far it is."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Expected calibration error, 0 to 1, before and after temperature scaling fitted on validation rows.

    ``probabilities`` says which of the two ``predict`` gives; ``reliability`` holds, for these, how often the student
    is right at each level of confidence.
    """

    error: float
    temperature: float | None
    error_with_temperature: float | None
    probabilities: str = UNCALIBRATED
    reliability: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluation. ``scores`` are on all rows, ``on_voted`` on the rows with votes.

    There, rows on which all votes abstain are errors of the teacher; ``abstained`` counts them.
    ``rejected`` counts rows that could not be read; ``only_equal`` names students whose snapshot is
    missing, so that near-duplicates of their training texts could not be detected. ``repeated`` and
    ``contradictory`` as in ``GoldSet``. ``comparisons`` are of this student; ``recipes`` compare its recipe, over all
    its seeds, where ``seeds`` has their spread. ``coverage`` says what a least probability leaves of the rows, with
    the probabilities that ``predict`` gives. ``truncated`` counts texts that the student reads the beginning of only.
    """

    student: str
    gold_set: str
    gold_set_digest: str
    rows: int
    unusable: int
    without_votes: int
    abstained: int
    scores: Mapping[str, Scores]
    on_voted: Mapping[str, Scores]
    comparisons: Mapping[str, Comparison]
    calibration: Mapping[str, Calibration]
    slices: tuple[Slice, ...]
    worst_slice: Slice | None
    rejected: int = 0
    repeated: int = 0
    contradictory: tuple[str, ...] = ()
    only_equal: tuple[str, ...] = ()
    seeds: Mapping[str, SeedSpread] = field(default_factory=dict)
    recipes: Mapping[str, RecipeComparison] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    coverage: tuple[CoveragePoint, ...] = ()
    truncated: int = 0
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def evaluate(
    workspace: Workspace,
    entry: Entry,
    gold_set: GoldSet,
    *,
    against: Entry | None = None,
    margin: float = MARGIN,
    progress: ProgressCallback = unreported,
) -> Evaluation:
    """Evaluate a student, the teacher where there are votes, and another student if given.

    Raises
    ------
    StudentError
        When a student was trained on one of the rows, a near-duplicate, or other labels.
    """
    names = workspace.task.label_names
    gold = gold_set.gold(names)
    entries = [entry, *([against] if against and against.id != entry.id else [])]
    groups = {one.id: siblings_of(workspace.students, one.id) for one in entries}
    others = {one.id: one for group in groups.values() for one in group if one.id not in groups}.values()
    only_equal = tuple(one.id for one in entries if not check_student(workspace, one, gold_set, progress))
    for one in others:
        check_student(workspace, one, gold_set, progress)
    said = {student.id: _predicted(student, gold_set.texts, progress) for student in entries}
    probs = {name: found for name, (found, _) in said.items()}
    predictions = {name: decide(prob) for name, prob in probs.items()}
    of_seeds = predictions | {one.id: decide(predicted(one, gold_set.texts, progress)) for one in others}
    voted = gold_set.with_votes()
    teachers = _teachers([gold_set.items[i] for i in voted], names) if voted else {}
    on_voted = {name: labels[voted] for name, labels in predictions.items()} | teachers
    progress(Progress("intervals and comparisons"))
    by_slice = slices((predictions[entry.id] == gold).tolist(), parts_of(gold_set))
    return Evaluation(
        student=entry.id,
        gold_set=gold_set.name,
        gold_set_digest=gold_set.digest,
        rows=len(gold_set.items),
        unusable=gold_set.unusable,
        without_votes=len(gold_set.items) - len(voted),
        abstained=int((teachers[CONSENSUS] < 0).sum()) if teachers else 0,
        scores={name: score(gold, labels, names) for name, labels in predictions.items()},
        on_voted={name: score(gold[voted], labels, names) for name, labels in on_voted.items()} if voted else {},
        comparisons=_comparisons(entry.id, gold, predictions, gold[voted], on_voted, len(names), margin),
        calibration={student.id: _calibration(student, probs[student.id], gold) for student in entries},
        slices=tuple(by_slice),
        worst_slice=worst([part for part in by_slice if part.rows < len(gold_set.items)]),  # not one of all rows
        seeds=spreads(groups, of_seeds, gold),
        recipes=_recipes(groups, gold, of_seeds, voted, teachers, margin),
        rejected=gold_set.rejected,
        repeated=gold_set.repeated,
        contradictory=gold_set.contradictory,
        only_equal=only_equal,
        truncated=said[entry.id][1],
        coverage=risk_coverage(given_probabilities(entry, probs[entry.id]), gold),
    )


def given_probabilities(entry: Entry, probs: Floats) -> Floats:
    """Those that ``predict`` gives, from those that the student computes, of shape (N, K)."""
    return with_temperature(probs, entry.manifest.applied_temperature)


def predicted(entry: Entry, texts: Sequence[str], progress: ProgressCallback = unreported) -> Floats:
    """The student's probabilities, in parts, so that one sees how far it is."""
    return _predicted(entry, texts, progress)[0]


def _predicted(entry: Entry, texts: Sequence[str], progress: ProgressCallback) -> tuple[Floats, int]:
    """The same, and how many texts are truncated."""
    progress(Progress(f"loading {entry.id}"))
    student, parts = entry.load(), []
    for start in range(0, len(texts), AT_ONCE):
        progress(Progress(f"predicting with {entry.id}", start, len(texts), "texts"))
        parts.append(student.predict_proba(texts[start : start + AT_ONCE]))
    return np.concatenate(parts), truncated_texts(student, texts)


def check_student(
    workspace: Workspace, entry: Entry, gold_set: GoldSet, progress: ProgressCallback = unreported
) -> bool:
    """Whether the training texts are available.

    Raises
    ------
    StudentError
        Where the student must not be evaluated on these rows: it was trained on some, or on other labels.
    """
    entry.manifest.check_labels(workspace.task.label_names)
    keys = entry.seen()
    texts = _training_texts(workspace, entry, keys)
    rule = entry.manifest.near_duplicate_rule
    check_unseen(gold_set, keys, texts or [], entry.id, progress, rule=rule)
    return texts is not None


def _training_texts(workspace: Workspace, entry: Entry, keys: frozenset[str]) -> list[str] | None:
    """The texts with these keys in the student's snapshot; None where that is missing."""
    try:
        frame = load_snapshot(workspace.snapshots, entry.manifest.snapshot).frame()
    except SnapshotError:
        return None
    return [text for text in frame["text"] if text_key(text) in keys]


def _teachers(items: Sequence[GoldRow], names: tuple[str, ...]) -> dict[str, Ints]:
    """Predictions of the consensus and, where there are several, of each voter."""
    predictions = {CONSENSUS: indices([item.consensus for item in items], names)}
    voters = dict.fromkeys(vote.voter for item in items for vote in item.votes)
    if len(voters) > 1:
        for voter in voters:
            votes = [{vote.voter: vote.label for vote in item.votes} for item in items]
            if all(voter in labels for labels in votes):  # else its rows would differ
                predictions[str(voter)] = indices([labels[voter] for labels in votes], names)
    return predictions


def _comparisons(
    student: str,
    gold: Ints,
    predictions: Mapping[str, Ints],
    gold_voted: Ints,
    on_voted: Mapping[str, Ints],
    n_labels: int,
    margin: float,
) -> dict[str, Comparison]:
    """The student against each other student on all rows, and against the teacher on the voted ones."""
    comparisons = {
        name: compare(gold, predictions[student], labels, n_labels, margin=margin)
        for name, labels in predictions.items()
        if name != student
    }
    if CONSENSUS in on_voted:
        comparisons[CONSENSUS] = compare(gold_voted, on_voted[student], on_voted[CONSENSUS], n_labels, margin=margin)
    return comparisons


def _recipes(
    groups: Mapping[str, Sequence[Entry]],
    gold: Ints,
    predictions: Mapping[str, Ints],
    voted: Sequence[int],
    teachers: Mapping[str, Ints],
    margin: float,
) -> dict[str, RecipeComparison]:
    """The first student's recipe against that of the second on all rows, and the teacher on the voted ones."""
    first, *second = groups
    found = {name: recipe_comparison(groups, first, name, predictions, gold, margin=margin) for name in second}
    if CONSENSUS in teachers:
        on_voted = {name: labels[voted] for name, labels in predictions.items()} | dict(teachers)
        found[CONSENSUS] = recipe_comparison(groups, first, CONSENSUS, on_voted, gold[voted], margin=margin)
    return {name: comparison for name, comparison in found.items() if comparison}


def _calibration(entry: Entry, probs: Floats, gold: Ints) -> Calibration:
    temperature = entry.manifest.temperature
    after = expected_calibration_error(with_temperature(probs, temperature), gold) if temperature else None
    error = expected_calibration_error(probs, gold)
    return Calibration(
        error=error,
        temperature=temperature,
        error_with_temperature=after,
        probabilities=entry.manifest.probabilities,
        reliability=reliability_bins(given_probabilities(entry, probs), gold),
    )


def write_report(workspace: Workspace, evaluation: Evaluation) -> tuple[Path, Path]:
    """Write JSON and PNG into ``reports/``, named by the student and the gold set."""
    stem = workspace.reports / f"evaluate-{evaluation.student}-{evaluation.gold_set_digest}"
    as_json, as_png = stem.with_suffix(".json"), stem.with_suffix(".png")
    write_text(as_json, json.dumps(asdict(evaluation), ensure_ascii=False, indent=2) + "\n")
    shown = dict(evaluation.on_voted or evaluation.scores)
    title = f"{evaluation.student} on {evaluation.gold_set}"
    _refresh_card(workspace, evaluation.student)
    draw_evaluation(as_png, title, shown, workspace.task.label_names, evaluation.student, coverage=evaluation.coverage)
    return as_json, as_png


def _refresh_card(workspace: Workspace, student: str) -> None:
    """Rewrite a student's model card with all its reports."""
    entry = find_student(workspace.students, student)
    reports = sorted(workspace.reports.glob(f"evaluate-{student}-*.json"))
    write_card(entry.path, entry.manifest, [report for path in reports if (report := read_report(path))])


_FORMER_NAMES = {"sheet": "gold_set", "sheet_digest": "gold_set_digest"}


def read_report(path: Path) -> dict[str, Any]:
    """An evaluation report, with the current keys: 0.1.0 wrote ``sheet`` and ``sheet_digest``; empty where damaged."""
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {_FORMER_NAMES.get(key, key): value for key, value in report.items()}
    except (OSError, ValueError, AttributeError):
        return {}
