"""``init``, ``load``, ``import``: a task directory, and texts in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tutelage.commands.terminal.console import Console, as_epilog, command

if TYPE_CHECKING:
    from tutelage.loaders.load import LoadResult
    from tutelage.loaders.undo import UndoneLoad


@click.command("init", epilog=as_epilog("tutelage init news --labels positive,neutral,negative"))
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--label", "one", multiple=True, metavar="NAME", help="A label; give as many as there are.")
@click.option("--labels", "several", default="", metavar="A,B,C", help="The labels, separated by commas.")
@click.option("--question", default="", help="What annotators are asked.")
@click.option("--guidelines", default="", help="How to decide, for annotators and teachers (Markdown).")
@click.option("--holdout", default=0.0, show_default=True, help="Share of the records that is kept for measuring.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def init_command(
    directory: Path,
    one: tuple[str, ...],
    several: str,
    *,
    question: str,
    guidelines: str,
    holdout: float,
    as_json: bool,
) -> None:
    """Make a task directory: task.yaml, .env.example, .gitignore."""
    from tutelage.steps.new_task import init

    labels = [*one, *(name.strip() for name in several.split(",") if name.strip())]
    if len(labels) < 2:
        raise click.UsageError("name at least two labels: --labels a,b,c or --label 'a, b' --label c")
    written = init(directory, labels, question=question, guidelines=guidelines, holdout=holdout)
    console = Console(directory, as_json=as_json)
    words = f"{', '.join(map(str, written))} written; edit {written[0]}: what the labels mean, and the guidelines"
    console.result({"written": list(map(str, written))}, words)
    console.say_next("init")


@command("load", example="tutelage load texts.csv --text body --id key")
@click.argument("source", required=False)
@click.option("--text", default="text", show_default=True, help="Column of the texts.")
@click.option("--id", "id_", default="", help="Column of the record ids (default: a hash of the text).")
@click.option("--gold", default="", help="Column of gold labels; kept apart, for evaluation only.")
@click.option("--split", default="train", show_default=True, help="Split of an hf:// dataset.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
@click.option("--undo", is_flag=True, help="Take back what the last load or import added.")
def load_command(
    console: Console,
    source: str | None,
    *,
    text: str,
    id_: str,
    gold: str,
    split: str,
    encoding: str,
    undo: bool,
) -> None:
    """Load texts from a CSV or JSONL file (also as .gz, .bz2 or .zst), a Parquet file or hf://owner/name."""
    if undo == bool(source):
        raise click.UsageError("name what to load, or give --undo to take the last load back: one of the two")
    if not source:
        undone = console.project.undo_load()
        console.result(undone, _undone_words(undone))
        return
    loaded = console.project.load(source, text=text, id=id_, gold=gold, split=split, encoding=encoding)
    _say(console, loaded, id_)


@command("import", example="tutelage import texts.csv --text body --vote vote_1:reason_1 --vote vote_2:reason_2")
@click.argument("file")
@click.option("--text", default="text", show_default=True, help="Column of the texts.")
@click.option("--id", "id_", default="", help="Column of the record ids (default: a hash of the text).")
@click.option(
    "--vote",
    "votes",
    multiple=True,
    metavar="LABELCOL[:REASONCOL]",
    help="Column of one vote and of its reason; give as many as there are. 'vote__*': each matching column"
    " is a teacher of its own.",
)
@click.option(
    "--given", default="", help="Column of labels the data already has; the suggestion in place of the consensus."
)
@click.option("--teacher", default="teacher", show_default=True, help="Name of the teacher whose votes these are.")
@click.option("--gold", default="", help="Column of gold labels; kept apart, for evaluation only.")
@click.option("--split", default="train", show_default=True, help="Split of an hf:// dataset.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
def import_command(
    console: Console,
    file: str,
    *,
    text: str,
    id_: str,
    votes: tuple[str, ...],
    given: str,
    teacher: str,
    gold: str,
    split: str,
    encoding: str,
) -> None:
    """Import recorded votes, with their reasons, and labels that the data already has."""
    result = console.project.import_votes(
        file, text=text, votes=votes, id=id_, given=given, gold=gold, teacher=teacher, split=split, encoding=encoding
    )
    _say(console, result, id_)


def _undone_words(undone: UndoneLoad) -> str:
    counts = {"records": undone.records, "votes": undone.votes, "given labels": undone.given}
    counts |= {"gold labels": undone.gold, "rejected rows": undone.rejects}
    taken = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing, it had added nothing"
    return f"the load of {undone.source} ({undone.at[:16]}) is undone; taken back: {taken}"


def _say(console: Console, result: LoadResult, id_: str) -> None:
    console.result(result, _summary(result, console.project.workspace.rejects, id_))
    if result.rows and result.rejected == result.rows:
        raise SystemExit(1)


def _summary(loaded: LoadResult, rejects: Path, id_: str) -> str:
    words = f"{loaded.rows} rows: {loaded.new} new records, {loaded.known} known, {loaded.rejected} rejected"
    words += f" (see {rejects})" if loaded.rejected else ""
    if loaded.answers or loaded.abstentions:
        words += f"; {loaded.answers} new votes, {loaded.abstentions} of the file's votes name no label (abstentions)"
    if loaded.differing:
        words += (
            f"; {loaded.differing} votes were imported before and say something else now: the first ones stay;"
            " give another --teacher to import these beside them"
        )
    if loaded.given_unread:
        words += (
            f"; {loaded.given_unread} given labels are none of the task's labels: those records have no given label"
        )
    if loaded.other_ids:
        words += f"; {_other_ids_words(loaded.other_ids, id_)}"
    if loaded.suggestions:
        changed = sum(change.records for change in loaded.suggestions)
        each = ", ".join(f"{c.records} from {c.before or 'none'} to {c.after or 'none'}" for c in loaded.suggestions)
        words += f"; the given labels change what is suggested for {changed} known records: {each}"
    return words


def _other_ids_words(count: int, id_: str) -> str:
    if not id_:
        return f"{count} rows have the texts of records with ids of their own and count as those"
    return (
        f"the texts of {count} rows are known under other ids than those in {id_!r}: they count as those records, whose"
        " ids stay. To give them the ids of this file, load it first into a new task; --undo takes this load back"
    )
