"""``train``, ``evaluate``, ``promote_student``, ``rollback_champion``: students, from a snapshot to the champion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tutelage.commands.terminal.console import Console, command
from tutelage.commands.terminal.help import snapshot_ids, student_ids, student_kinds

if TYPE_CHECKING:
    from tutelage.training.evaluation.evaluate import Evaluation
    from tutelage.training.train import TrainResult


@command("train", example="tutelage train --student linear")
@click.option(
    "--student",
    default="",
    shell_complete=student_kinds,
    help="linear, setfit, auto, a Hub name or a path, MODEL:frozen, MODEL:setfit (default: the task's).",
)
@click.option(
    "--snapshot", default=None, metavar="ID", shell_complete=snapshot_ids, help="Which snapshot (default: the newest)."
)
@click.option("--seed", type=int, default=None, help="Seed of everything random (default: 42).")
@click.option(
    "--seeds", type=int, default=1, help="Train so many students, with --seed and those after it (default: 1)."
)
@click.option("--learning-rate", type=float, default=None, help="Peak learning rate (default: 2e-5).")
@click.option("--epochs", type=int, default=None, help="Maximum number of epochs (default: 10).")
@click.option(
    "--batch-size", type=int, default=None, help="Global batch size: rows per step over all processes (default: 16)."
)
@click.option(
    "--accumulate", type=int, default=None, help="Gradient accumulation steps, for little memory (default: 1)."
)
@click.option("--max-length", type=int, default=None, help="Tokens after which a text is truncated (default: 256).")
@click.option(
    "--validation",
    type=float,
    default=None,
    help="Validation split that selects the best epoch (default: 0.1).",
)
@click.option("--patience", type=int, default=None, help="Early stopping: epochs without improvement (default: 3).")
@click.option(
    "--class-weights/--no-class-weights",
    default=None,
    help="Balanced class weights (default: all kinds but fine-tuned encoders).",
)
@click.option(
    "--soft-targets",
    is_flag=True,
    default=None,
    help="Train on soft labels (vote proportions).",
)
@click.option("--human-weight", type=float, default=None, help="Sample weight of labels from people (default: 2).")
@click.option(
    "--suspects-out",
    type=float,
    default=None,
    help="Share of unreviewed rows with the lowest label quality to leave out.",
)
@click.option(
    "--report-to",
    type=click.Choice(["tensorboard", "mlflow", "wandb"]),
    default=None,
    help="Report an encoder's losses to this tracker while it is trained (default: none).",
)
@click.option("--push-to-hub", default="", metavar="OWNER/NAME", help="Upload the student to the Hub, private.")
@click.option("--public", is_flag=True, help="With --push-to-hub: a repository that is made now is public.")
def train_command(
    console: Console,
    *,
    student: str,
    snapshot: str | None,
    seeds: int,
    report_to: str | None,
    push_to_hub: str,
    public: bool,
    **options: Any,
) -> None:
    """Train a student on a snapshot, without the holdout."""
    from tutelage.core.compute import is_main

    if push_to_hub:
        from tutelage.training.hub.upload import check_repository_name

        check_repository_name(push_to_hub)
    trained = console.project.train(student, snapshot=snapshot, seeds=seeds, report_to=report_to or "", **options)
    if not is_main():
        return
    if trained.idle_options:
        console.say(f"without effect on this student: --{', --'.join(trained.idle_options).replace('_', '-')}")
    if trained.unseen_labels:
        console.say(f"no text was labelled {', '.join(map(repr, trained.unseen_labels))}: not learned")
    data, words = asdict(trained) | {"hub": ""}, _summary(trained)
    if push_to_hub:
        data["hub"] = console.project.push_student_to_hub(push_to_hub, student=trained.id, private=not public)
        words += f"\n{data['hub']}"
    console.result(data, words)


def _summary(trained: TrainResult) -> str:
    from tutelage.training.students.training_set import left_out_words

    left_out = left_out_words(trained.left_out)
    words = f"auto: {trained.why}\n" if trained.why else ""
    words += "trained" if trained.is_new else "already trained (nothing to do):"
    took = trained.took.wall_s if trained.took else 0.0
    words = f"{words} {trained.id} on {trained.rows} rows in {took:.1f} s ({trained.path})"
    listed = " (near_duplicates in student.json lists them)" if trained.left_out["near_duplicates"] else ""
    words += f"; left out: {left_out}{listed}" if left_out else ""
    words += f"; {trained.truncated} texts truncated (--max-length)" if trained.truncated else ""
    if others := trained.siblings[1:]:
        words += f"\nthe same with other seeds: {', '.join(others)}; the first is used, evaluate measures all"
    return words


@command("evaluate", example="tutelage evaluate test.csv --text body --gold label")
@click.argument("file", required=False)
@click.option(
    "--student",
    default="",
    metavar="ID|champion",
    shell_complete=student_ids,
    help="Which one (default: the champion, else the newest).",
)
@click.option(
    "--against",
    default="",
    metavar="ID|champion",
    shell_complete=student_ids,
    help="A second student on the same rows.",
)
@click.option("--teachers", is_flag=True, help="Measure the teachers instead: each prompt and number of votes.")
@click.option("--text", default="text", show_default=True, help="Column of the texts.")
@click.option("--gold", default="gold", show_default=True, help="Column of the gold labels.")
@click.option("--id", "id_", default="", help="Column of the record ids, to find votes in the ledger.")
@click.option(
    "--vote", "votes", multiple=True, metavar="LABELCOL", help="Column of one vote; give as many as there are."
)
@click.option("--margin", type=float, default=0.02, show_default=True, help="Equivalence margin in accuracy.")
@click.option("--curve", is_flag=True, help="Also measure the learning curve: train on parts of the snapshot.")
@click.option("--split", default="test", show_default=True, help="Split of an hf:// dataset.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
def evaluate_command(
    console: Console,
    file: str | None,
    *,
    text: str,
    gold: str,
    id_: str,
    votes: tuple[str, ...],
    student: str,
    against: str,
    teachers: bool,
    margin: float,
    curve: bool,
    split: str,
    encoding: str,
) -> None:
    """Measure a student, and the teacher beside it, against gold labels.

    FILE is CSV, JSONL, Parquet or hf://owner/name; without one, the task's own holdout.
    """
    from tutelage.commands.terminal.tables import describe_evaluation, describe_teachers

    project, source = console.project, {"text": text, "gold": gold, "id": id_, "split": split, "encoding": encoding}
    if teachers:
        table = project.compare_teachers(file, votes=votes, **source)
        console.result(table, describe_teachers(table))
        return
    measured = project.evaluate(
        file, votes=votes, student=student, against=against, margin=margin, curve=curve, **source
    )
    evaluation = measured.evaluation
    for warning in _warnings(evaluation, curve=curve):
        console.say(warning)
    data = asdict(evaluation) | {"report": str(measured.report), "figure": str(measured.figure)}
    console.result(data, f"{describe_evaluation(evaluation)}\n\n{measured.report}\n{measured.figure}")


def _warnings(evaluation: Evaluation, *, curve: bool) -> Iterator[str]:
    from tutelage.training.evaluation.learning_curve import SHARES

    for name in evaluation.only_equal:
        yield f"the snapshot of {name} is gone or damaged: near-duplicates of its training texts were not looked for"
    if curve and len(evaluation.curve) < len(SHARES):
        yield f"learning curve: {len(SHARES) - len(evaluation.curve)} parts lack a label and are left out"


@command("promote", example="tutelage promote linear-0123456789ab")
@click.argument("student", metavar="ID", shell_complete=student_ids)
def promote_command(console: Console, *, student: str) -> None:
    """Make a student the champion: the one that predict and serve-student use."""
    change = console.project.promote(student)
    already = " already" if change.champion == change.before else ""
    console.result({"champion": change.champion}, f"the champion is{already} {change.champion}")


@command("rollback", example="tutelage rollback --task news")
def rollback_command(console: Console) -> None:
    """Make the champion before this one the champion again."""
    change = console.project.rollback()
    console.result({"champion": change.champion}, f"the champion is {change.champion} again")
