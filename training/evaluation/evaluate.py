"""The step ``evaluate``: a student, and the teacher beside it, against gold on the same rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tutelage.core.arrays import Floats, Ints, indices
from tutelage.core.errors import SnapshotError
from tutelage.core.files import write_text
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.rows import text_key
from tutelage.training.evaluation.figure import draw
from tutelage.training.evaluation.gold_set import GoldRow, GoldSet, check_unseen
from tutelage.training.evaluation.learning_curve import CurvePoint
from tutelage.training.evaluation.slices import Slice, by_agreement, by_length, slices, worst
from tutelage.training.hub.model_card import write_card
from tutelage.training.measures.calibration import expected_calibration_error, with_temperature
from tutelage.training.measures.comparison import MARGIN, Comparison, compare
from tutelage.training.measures.metrics import Scores, score
from tutelage.training.registry import Entry, find_student
from tutelage.training.students.recipe import digest

CONSENSUS = "teacher"


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error, 0 to 1, before and after the temperature of the student's validation rows."""

    error: float
    temperature: float | None
    error_with_temperature: float | None


@dataclass(frozen=True)
class Evaluation:
    """What was measured. ``scores`` are of all rows, ``on_voted`` of the rows that a teacher was asked about.

    There, rows on which all votes abstain count as wrong for the teacher; ``abstained`` counts them.
    ``rejected`` counts rows that could not be read; ``only_equal`` names students whose snapshot is
    gone, so that rows were compared with their training texts for equality only.
    """

    student: str
    sheet: str
    sheet_digest: str
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
    only_equal: tuple[str, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def evaluate(
    workspace: Workspace, entry: Entry, sheet: GoldSet, *, against: Entry | None = None, margin: float = MARGIN
) -> Evaluation:
    """Measure a student, the teacher where there are votes, and another student if given.

    Raises
    ------
    StudentError
        When a student was trained on one of the rows, on a near-duplicate, or on other labels.
    """
    names = workspace.task.label_names
    gold = sheet.gold(names)
    entries = [entry, *([against] if against and against.id != entry.id else [])]
    only_equal = tuple(one.id for one in entries if not _check(workspace, one, sheet))
    probs = {one.id: one.load().predict_proba(sheet.texts) for one in entries}
    said = {name: _argmax(prob) for name, prob in probs.items()}
    voted = sheet.with_votes()
    teachers = _teachers([sheet.items[i] for i in voted], names) if voted else {}
    on_voted = {name: labels[voted] for name, labels in said.items()} | teachers
    mine = said[entry.id]
    found = slices((mine == gold).tolist(), _parts(sheet))
    return Evaluation(
        student=entry.id,
        sheet=sheet.name,
        sheet_digest=digest([[item.text, item.gold] for item in sheet.items]),
        rows=len(sheet.items),
        unusable=sheet.unusable,
        without_votes=len(sheet.items) - len(voted),
        abstained=int((teachers[CONSENSUS] < 0).sum()) if teachers else 0,
        scores={name: score(gold, labels, names) for name, labels in said.items()},
        on_voted={name: score(gold[voted], labels, names) for name, labels in on_voted.items()} if voted else {},
        comparisons=_comparisons(entry.id, gold, said, gold[voted], on_voted, len(names), margin),
        calibration={one.id: _calibration(one, probs[one.id], gold) for one in entries},
        slices=tuple(found),
        worst_slice=worst([part for part in found if part.rows < len(sheet.items)]),  # all rows are no slice
        rejected=sheet.rejected,
        only_equal=only_equal,
    )


def _check(workspace: Workspace, entry: Entry, sheet: GoldSet) -> bool:
    """Whether the training texts are still known; an error where the student cannot be measured on these rows."""
    entry.manifest.check_labels(workspace.task.label_names)
    keys = entry.seen()
    texts = _training_texts(workspace, entry, keys)
    check_unseen(sheet, keys, texts or [], entry.id)
    return texts is not None


def _training_texts(workspace: Workspace, entry: Entry, keys: frozenset[str]) -> list[str] | None:
    """The texts with these keys in the student's snapshot; None where that is gone."""
    try:
        frame = load_snapshot(workspace.snapshots, entry.manifest.snapshot).frame()
    except SnapshotError:
        return None
    return [text for text in frame["text"] if text_key(text) in keys]


def _argmax(probs: Floats) -> Ints:
    return np.asarray(probs.argmax(axis=1), dtype=np.int64)


def _teachers(items: Sequence[GoldRow], names: tuple[str, ...]) -> dict[str, Ints]:
    """The consensus first, then, where there are several, each voter by itself."""
    said = {CONSENSUS: indices([item.consensus for item in items], names)}
    voters = dict.fromkeys(vote.voter for item in items for vote in item.votes)
    if len(voters) > 1:
        for voter in voters:
            votes = [{vote.voter: vote.label for vote in item.votes} for item in items]
            if all(voter in labels for labels in votes):  # else it was not asked about the same rows
                said[str(voter)] = indices([labels[voter] for labels in votes], names)
    return said


def _comparisons(
    student: str,
    gold: Ints,
    said: Mapping[str, Ints],
    gold_voted: Ints,
    on_voted: Mapping[str, Ints],
    n_labels: int,
    margin: float,
) -> dict[str, Comparison]:
    """The student against each other student on all rows, and against the teacher on the voted ones."""
    found = {
        name: compare(gold, said[student], labels, n_labels, margin=margin)
        for name, labels in said.items()
        if name != student
    }
    if CONSENSUS in on_voted:
        found[CONSENSUS] = compare(gold_voted, on_voted[student], on_voted[CONSENSUS], n_labels, margin=margin)
    return found


def _parts(sheet: GoldSet) -> dict[str, list[str]]:
    sources = [
        ", ".join(dict.fromkeys(vote.voter.teacher for vote in item.votes)) if item.votes else "no votes"
        for item in sheet.items
    ]
    return {
        "length": by_length(sheet.texts),
        "source": sources,
        "agreement": by_agreement([item.agreement for item in sheet.items]),
        "label": [item.gold for item in sheet.items],
    }


def _calibration(entry: Entry, probs: Floats, gold: Ints) -> Calibration:
    temperature = entry.manifest.temperature
    after = expected_calibration_error(with_temperature(probs, temperature), gold) if temperature else None
    return Calibration(expected_calibration_error(probs, gold), temperature, after)


def write_report(workspace: Workspace, evaluation: Evaluation) -> tuple[Path, Path]:
    """JSON and PNG in ``reports/``, named by the student and the rows."""
    stem = workspace.reports / f"evaluate-{evaluation.student}-{evaluation.sheet_digest}"
    as_json, as_png = stem.with_suffix(".json"), stem.with_suffix(".png")
    write_text(as_json, json.dumps(asdict(evaluation), ensure_ascii=False, indent=2) + "\n")
    shown = dict(evaluation.on_voted or evaluation.scores)
    title = f"{evaluation.student} on {evaluation.sheet}"
    _refresh_card(workspace, evaluation.student)
    draw(as_png, title, shown, workspace.task.label_names, evaluation.student)
    return as_json, as_png


def _refresh_card(workspace: Workspace, student: str) -> None:
    """Put all of a student's reports into its card."""
    entry = find_student(workspace.students, student)
    reports = sorted(workspace.reports.glob(f"evaluate-{student}-*.json"))
    write_card(entry.path, entry.manifest, [json.loads(path.read_text("utf-8")) for path in reports])
