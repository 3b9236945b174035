"""``export``, ``import-review``, ``export-student``: curated sets, review sheets and students out, answers in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tutelage.commands.terminal.console import Console, command
from tutelage.commands.terminal.help import student_ids

if TYPE_CHECKING:
    from tutelage.feedback.exchange.curated_set import Exported
    from tutelage.feedback.exchange.review_import import ReviewImport


@command("export", example="tutelage export curated.csv --task news")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--as",
    "format_",
    type=click.Choice(["autotrain", "label-studio", "review"]),
    default=None,
    help="Instead of the curated set: text and label for AutoTrain, tasks for Label Studio (.json), or a sheet to"
    " review in (.xlsx), the worst first.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
def export_command(console: Console, *, out: Path, format_: str | None, force: bool) -> None:
    """Write the curated set, without the holdout; OUT ends in .csv, .xlsx, .parquet or .jsonl."""
    exported = console.project.export(out, format=format_ or "", force=force)
    console.result(exported, _exported_words(exported))


def _exported_words(exported: Exported) -> str:
    words = f"{exported.path}: {exported.records} records"
    if exported.left_out:
        words += f"; {exported.left_out} left out: XLSX cannot hold their ids (CSV and Parquet can)"
    if exported.cut:
        words += f"; {exported.cut} cells cut to 32767 characters, the most that XLSX holds"
    if exported.cleaned:
        words += f"; control characters in {exported.cleaned} cells replaced, which XLSX cannot hold"
    if exported.interface:
        words += f"\n{exported.interface}: the labelling interface, for the project's settings in Label Studio"
    return words


@command("import-review", example="tutelage import-review review.xlsx --annotator anna --task news")
@click.argument("file")
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    required=True,
    metavar="NAME",
    help="Who answered: the name on Argilla, or ID=NAME for each of several people in a Label Studio export.",
)
@click.option("--replace", is_flag=True, help="Also take answers that differ from the same person's on Argilla.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
def import_review_command(
    console: Console, file: str, *, annotators: tuple[str, ...], replace: bool, encoding: str
) -> None:
    """Take people's answers from a file with the columns id and label, and if you like status and reason."""
    project = console.project
    done = project.import_review(file, annotator=_people(annotators), replace=replace, encoding=encoding)
    console.result(done, _import_words(done, project.workspace.rejects))
    if done.rows and done.rejected == done.rows:
        raise SystemExit(1)


def _people(annotators: tuple[str, ...]) -> str | Mapping[str, str]:
    if len(annotators) == 1 and "=" not in annotators[0]:
        return annotators[0]
    if not all("=" in each for each in annotators):
        raise click.UsageError("one --annotator NAME, or --annotator ID=NAME for each of several people")
    return {person: name for person, _, name in (each.rpartition("=") for each in annotators)}


def _import_words(done: ReviewImport, rejects: Path) -> str:
    words = f"{done.rows} rows by {', '.join(done.annotators)}: {done.new} new answers, {done.changed} changed, "
    words += f"{done.unchanged} there already, {done.empty} rows not answered, {done.rejected} rejected"
    words += f" (see {rejects})" if done.rejected else ""
    lines = [words]
    if done.on_held_out:
        lines.append(f"  {done.on_held_out} on records that are held out (kept in task.db, not trained on)")
    lines += [
        f"  {each.id}: {each.there} on Argilla, {each.in_file} in the file ({'taken' if each.taken else 'not taken'})"
        for each in done.differing
    ]
    if not all(each.taken for each in done.differing):
        lines.append("--replace takes the answers of the file; they count until the person answers again on Argilla")
    return "\n".join(lines)


@command("export-student", example="tutelage export-student champion news-onnx --format onnx")
@click.argument("student", metavar="ID|champion", shell_complete=student_ids)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["onnx", "openvino", "safetensors"]),
    default="onnx",
    show_default=True,
    help="What runs it: ONNX Runtime, OpenVINO, or transformers.",
)
def export_student_command(console: Console, *, student: str, out: Path, format_: str) -> None:
    """Write a student into a new folder OUT that runs without tutelage; its README.md says how."""
    exported = console.project.export_student(student, out, format=format_)
    console.result(exported, f"{exported.path}: {exported.student} as {exported.format}; see {out / 'README.md'}")
