"""The model card: a README.md with Hugging Face's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tutelage.core.files import write_text
from tutelage.training.manifest import StudentManifest, TeacherLicense
from tutelage.training.measures.metrics import Interval
from tutelage.training.students.kinds import KINDS

CARD = "README.md"

UNCHECKED = (
    "Measured without the training texts, which were not there: rows that are equal to one were looked for, rows"
    " that are nearly equal were not. The figure may be too high."
)
"""What is said of a figure whose rows could not be compared with the student's training texts."""


def write_card(folder: Path, manifest: StudentManifest, evaluations: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write the card of the student in ``folder``; evaluations are reports of ``tutelage evaluate``."""
    head = yaml.safe_dump(_head(manifest, evaluations), allow_unicode=True, sort_keys=False)
    body = [_title(manifest), _labels(manifest), _results(manifest, evaluations), _training(manifest)]
    body += [teachers_section(manifest.teachers), _probabilities(manifest), _limits(manifest)]
    write_text(folder / CARD, f"---\n{head}---\n\n" + "\n\n".join(part for part in body if part) + "\n")


def _head(manifest: StudentManifest, evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    head: dict[str, Any] = {"license": "other", "license_name": "see-teachers", "pipeline_tag": "text-classification"}
    head["tags"] = ["text-classification", "tutelage", manifest.kind]
    if library := KINDS[manifest.kind].library:
        head["library_name"] = library
    if _is_hub_name(manifest.model):
        head["base_model"] = manifest.model
    if evaluations:
        head["model-index"] = [
            {"name": manifest.id, "results": [_result(manifest, evaluation) for evaluation in evaluations]}
        ]
    return head


def _is_hub_name(model: str) -> bool:
    return model.count("/") == 1 and not model.startswith((".", "/"))


def _result(manifest: StudentManifest, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    scores = evaluation["scores"][manifest.id]
    metrics = [
        {"type": kind, "name": name, "value": round(scores[key], 4)}
        for kind, name, key in (("accuracy", "Accuracy", "accuracy"), ("f1", "Macro-F1", "macro_f1"))
    ]
    return {
        "task": {"type": "text-classification"},
        "dataset": {"type": f"{manifest.task}-{evaluation['gold_set_digest']}", "name": evaluation["gold_set"]},
        "metrics": metrics,
    }


def _title(manifest: StudentManifest) -> str:
    model = manifest.model if _is_hub_name(manifest.model) else Path(manifest.model).name
    how = KINDS[manifest.kind].method.format(model=f"`{model}`")
    words = f"# {manifest.id}\n\nA text classifier for the task *{plain(manifest.task)}*: {how}."
    return words + (f"\n\n> {plain(manifest.question)}" if manifest.question else "")


def _labels(manifest: StudentManifest) -> str:
    definitions = manifest.definitions
    return "## Labels\n\n" + "\n".join(
        f"- **{plain(name)}**" + (f": {plain(definitions[name])}" if name in definitions else "")
        for name in manifest.labels
    )


def _results(manifest: StudentManifest, evaluations: Sequence[Mapping[str, Any]]) -> str:
    lines = ["## Evaluation", "", "| gold set | rows | accuracy [95 %] | macro-F1 [95 %] |", "|---|---|---|---|"]
    for evaluation in evaluations:
        s = evaluation["scores"][manifest.id]
        accuracy, f1 = (f"{s[name]:.3f} {Interval(*s[f'{name}_interval'])}" for name in ("accuracy", "macro_f1"))
        mark = " (1)" if _is_unchecked(manifest, evaluation) else ""
        lines.append(f"| {plain(evaluation['gold_set'])}{mark} | {s['rows']} | {accuracy} | {f1} |")
    if any(_is_unchecked(manifest, evaluation) for evaluation in evaluations):
        lines += ["", f"(1) {UNCHECKED}"]
    return "\n".join(lines) if evaluations else "## Evaluation\n\nNot evaluated yet."


def _is_unchecked(manifest: StudentManifest, evaluation: Mapping[str, Any]) -> bool:
    return manifest.id in evaluation.get("only_equal", ())


def _training(manifest: StudentManifest) -> str:
    took, sources = manifest.took, manifest.snapshot_manifest.get("by_source", {})
    labels_from = ", ".join(f"{count} {plain(source)}" for source, count in sources.items())
    return (
        f"## Training\n\n{manifest.rows} texts of snapshot `{manifest.snapshot}` (labels in it: {labels_from});"
        f" the holdout and near-duplicates of its texts are left out. Seed {manifest.seed};"
        f" {took.wall_s:.0f} s, {took.energy_kwh:.2g} kWh, {took.co2_kg:.2g} kg CO2 ({took.basis})."
        " All hyperparameters are in `student.json`."
    )


def teachers_section(teachers: Sequence[TeacherLicense]) -> str:
    """The teachers that voted, and the licence of their output."""
    lines = [f"- {plain(teacher.name)}: {plain(teacher.license)}" for teacher in teachers]
    return "## Teachers, and the licence or terms of their output\n\n" + ("\n".join(lines) or "None voted.")


def _probabilities(manifest: StudentManifest) -> str:
    if manifest.applied_temperature is None:
        return "## Probabilities\n\nUncalibrated: those that the model computes."
    return (
        "## Probabilities\n\n`tutelage predict` and `tutelage serve-student` give calibrated ones, scaled with the"
        f" temperature {manifest.applied_temperature:.3g}, fitted on validation rows. The model by itself gives"
        " uncalibrated ones; the labels are the same."
    )


def _limits(manifest: StudentManifest) -> str:
    return (
        "## Limits\n\nThe student reproduces the judgement of its teachers and annotators, on texts like those"
        " that it was trained on. Its probabilities are not calibrated for other texts." + _windows(manifest)
    )


def _windows(manifest: StudentManifest) -> str:
    if not manifest.recipe.windows:
        return ""
    return (
        f" Of a text longer than {manifest.recipe.max_length} tokens it averages the probabilities of windows;"
        " a pipeline that cuts texts, such as the Hub's, reads the beginning only."
    )


def plain(text: str) -> str:
    """Escape Markdown and HTML in names of tasks, labels and teachers."""
    kept = " ".join(str(text).split())
    return "".join(f"&#{ord(char)};" if char in "\\`*_{}[]<>#|&!~" else char for char in kept)
