"""``train``, ``evaluate``, ``promote_student``, ``rollback_champion``: students, from a snapshot to the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tutelage.commands.console import Console, command

if TYPE_CHECKING:
    from tutelage.core.workspace import Workspace
    from tutelage.training.train import TrainResult


@command("train")
@click.option(
    "--student",
    default="",
    help="linear, setfit, auto, a Hub name or a path, MODEL:frozen, MODEL:setfit (default: the task's).",
)
@click.option("--snapshot", default=None, metavar="ID", help="Which snapshot (default: the newest).")
@click.option("--seed", type=int, default=None, help="Seed of everything random (default: 42).")
@click.option("--learning-rate", type=float, default=None, help="Peak learning rate (default: 2e-5).")
@click.option("--epochs", type=int, default=None, help="At most so many epochs (default: 10).")
@click.option("--batch-size", type=int, default=None, help="Rows a step, of all processes together (default: 16).")
@click.option(
    "--accumulate", type=int, default=None, help="Steps that make one update, for little memory (default: 1)."
)
@click.option("--max-length", type=int, default=None, help="Tokens after which a text is cut (default: 256).")
@click.option("--validation", type=float, default=None, help="Share of rows that choose the best epoch (default: 0.1).")
@click.option("--patience", type=int, default=None, help="Epochs without gain before stopping (default: 3).")
@click.option(
    "--class-weights/--no-class-weights", default=None, help="Each label weighs the same (default: not in encoders)."
)
@click.option("--soft-targets", is_flag=True, default=None, help="Learn the shares of the votes, not their majority.")
@click.option("--human-weight", type=float, default=None, help="Weight of a label that a person gave (default: 2).")
@click.option(
    "--suspects-out", type=float, default=None, help="Share of unreviewed rows, the worst by label quality, left out."
)
@click.option("--push-to-hub", default="", metavar="OWNER/NAME", help="Upload the student to the Hub, private.")
@click.option("--public", is_flag=True, help="With --push-to-hub: a repository that is made now is public.")
def train_command(
    console: Console, *, student: str, snapshot: str | None, push_to_hub: str, public: bool, **options: Any
) -> None:
    """Train a student on a snapshot, without the holdout."""
    from dataclasses import asdict

    from tutelage.core.compute import is_main
    from tutelage.training.train import train

    if push_to_hub:
        from tutelage.training.hub.upload import check_repository_name

        check_repository_name(push_to_hub)
    workspace = console.workspace
    trained = train(workspace, student, snapshot=snapshot, options=options, progress=console.progress)
    if not is_main():
        return
    if trained.idle_options:
        console.say(f"without effect on this student: --{', --'.join(trained.idle_options).replace('_', '-')}")
    address = _push(workspace, trained.id, push_to_hub, public=public) if push_to_hub else ""
    console.result(asdict(trained) | {"hub": address}, _summary(trained) + (f"\n{address}" if address else ""))


def _push(workspace: Workspace, student: str, repo: str, *, public: bool) -> str:
    from tutelage.training.hub.upload import push_student
    from tutelage.training.registry import find_student

    return push_student(find_student(workspace.students, student), repo, private=not public)


def _summary(trained: TrainResult) -> str:
    left_out = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in trained.left_out.items() if count)
    words = f"auto: {trained.why}\n" if trained.why else ""
    words += "trained" if trained.is_new else "already trained (nothing to do):"
    took = trained.took.wall_s if trained.took else 0.0
    words = f"{words} {trained.id} on {trained.rows} rows in {took:.1f} s ({trained.path})"
    listed = " (near_duplicates in student.json lists them)" if trained.left_out["near_duplicates"] else ""
    return words + (f"; left out: {left_out}{listed}" if left_out else "")


@command("evaluate")
@click.argument("file", required=False)
@click.option("--text", default="text", show_default=True, help="Column of the texts.")
@click.option("--gold", default="gold", show_default=True, help="Column of the gold labels.")
@click.option("--id", "id_", default="", help="Column of the record ids, to find votes in the ledger.")
@click.option(
    "--vote", "votes", multiple=True, metavar="LABELCOL", help="Column of one vote; give as many as there are."
)
@click.option(
    "--student", default="", metavar="ID|champion", help="Which one (default: the champion, else the newest)."
)
@click.option("--against", default="", metavar="ID|champion", help="A second student on the same rows.")
@click.option("--teachers", is_flag=True, help="Measure the teachers instead: each prompt and number of votes.")
@click.option("--margin", type=float, default=0.02, show_default=True, help="Difference up to which two are on par.")
@click.option("--curve", is_flag=True, help="Also train again on parts of the snapshot: the learning curve.")
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
    from dataclasses import asdict, replace

    from tutelage.commands.tables import describe_evaluation, describe_teachers
    from tutelage.loaders.sources import Source
    from tutelage.training.evaluation.evaluate import evaluate, write_report
    from tutelage.training.evaluation.gold_set import GoldColumns, load_gold_set, load_holdout
    from tutelage.training.evaluation.learning_curve import SHARES, learning_curve
    from tutelage.training.evaluation.teacher_comparison import compare_teachers
    from tutelage.training.registry import find_student

    workspace = console.workspace
    columns = GoldColumns(text=text, gold=gold, id=id_, votes=votes)
    sheet = load_gold_set(workspace, Source(file, encoding, split), columns) if file else load_holdout(workspace)
    if sheet.rejected:
        console.say(f"{sheet.rejected} rows of {sheet.name} could not be used; see {workspace.rejects}")
    if teachers:
        table = compare_teachers(workspace, sheet)
        console.result(table, describe_teachers(table))
        return
    entry, second = (
        find_student(workspace.students, student),
        find_student(workspace.students, against) if against else None,
    )
    if second and second.id == entry.id:
        raise click.UsageError(f"--against {against}: is the same student, {entry.id}; name another")
    found = evaluate(workspace, entry, sheet, against=second, margin=margin)
    for name in found.only_equal:
        console.say(
            f"the snapshot of {name} is gone or damaged: near-duplicates of its training texts were not looked for"
        )
    as_json, as_png = write_report(workspace, found)
    if curve:
        found = replace(found, curve=tuple(learning_curve(workspace, entry, sheet, progress=console.progress)))
        as_json, as_png = write_report(workspace, found)
        if len(found.curve) < len(SHARES):
            console.say(f"learning curve: {len(SHARES) - len(found.curve)} parts lack a label and are left out")
    data = asdict(found) | {"report": str(as_json), "figure": str(as_png)}
    console.result(data, f"{describe_evaluation(found)}\n\n{as_json}\n{as_png}")


@command("promote")
@click.argument("student")
def promote_command(console: Console, *, student: str) -> None:
    """Make a student the champion: the one that predict, rank and serve use."""
    from tutelage.training.registry import champion_id, promote_student

    before = champion_id(console.workspace.students)
    entry = promote_student(console.workspace.students, student, why="promote")
    already = " already" if entry.id == before else ""
    console.result({"champion": entry.id}, f"the champion is{already} {entry.id}")


@command("rollback")
def rollback_command(console: Console) -> None:
    """Make the champion before this one the champion again."""
    from tutelage.training.registry import rollback_champion

    entry = rollback_champion(console.workspace.students)
    console.result({"champion": entry.id}, f"the champion is {entry.id} again")
