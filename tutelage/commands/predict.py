"""``predict`` and ``serve-student``: a student at work."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import click

from tutelage.commands.terminal.console import Console, command
from tutelage.commands.terminal.help import student_ids
from tutelage.training.prediction.engines.engine_table import CHOICES, RAY

if TYPE_CHECKING:
    from pathlib import Path

    from tutelage.training.prediction.predict import PredictResult
    from tutelage.training.prediction.serving.serve import Address

_WHICH = click.option(
    "--student",
    default="",
    metavar="ID|champion",
    shell_complete=student_ids,
    help="Which one (default: the champion, else the newest).",
)


@command("predict", example="tutelage predict texts.csv labelled.parquet --text body")
@click.argument("source", metavar="IN")
@click.argument("out")
@_WHICH
@click.option(
    "--engine",
    type=click.Choice([*CHOICES, RAY]),
    default="auto",
    show_default=True,
    help="What computes; auto: the first of these that the machine has and that agrees with torch.",
)
@click.option("--text", default="text", show_default=True, help="Column of the texts.")
@click.option(
    "--columns",
    metavar="A,B",
    help="Columns of IN that OUT has too, separated by commas (default: all; '' for none).",
)
@click.option(
    "--min-probability",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="Give no label to a text whose most probable one has less (default: 0); see evaluate.",
)
@click.option("--split", default="train", show_default=True, help="Split of an hf:// dataset.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
def predict_command(
    console: Console,
    source: str,
    out: str,
    *,
    student: str,
    engine: str,
    text: str,
    columns: str | None,
    min_probability: float,
    split: str,
    encoding: str,
    force: bool,
) -> None:
    """Give every text a label and a probability for each label.

    IN is CSV or JSONL (also as .gz, .bz2 or .zst), Parquet, hf://owner/name, or - for standard input
    (JSON or plain lines). OUT ends in .parquet, .csv or .jsonl, or is - for JSON lines on standard
    output. It has the columns of IN, then the label and prob_LABEL for each label.
    """
    project = console.project
    done = project.predict_file(
        source,
        out,
        text=text,
        columns=_names(columns),
        student=student,
        engine=engine,
        min_probability=min_probability,
        split=split,
        encoding=encoding,
        force=force,
    )
    words = _summary(done, project.workspace.rejects)
    if out == "-":
        console.say(words)  # standard output holds the predictions
    else:
        console.result(done, words)
    if done.rejected and not done.rows:
        raise SystemExit(1)


def _names(columns: str | None) -> list[str] | None:
    """The names between the commas; one with a comma in it stands in double quotes, as in a CSV file."""
    return None if columns is None else next(csv.reader([columns], skipinitialspace=True), [])


def _summary(done: PredictResult, rejects: Path) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in done.labels.items())
    words = f"{done.rows} rows ({counts}) by {done.student} with {done.engine} in {done.wall_s:.1f} s"
    words += f"; {done.probabilities} probabilities"
    words += f"; {done.abstained} below {done.min_probability:g} have no label" if done.min_probability else ""
    words += f"; {done.truncated} texts truncated, longer than the student reads" if done.truncated else ""
    words += f"; {done.kept} of them kept from an earlier run" if done.kept else ""
    words += f"; {done.rejected} bad rows in {rejects}" if done.rejected else ""
    return words + (f"\n{done.out}" if done.out != "-" else "")


@command("serve-student", example="tutelage serve-student --port 8080")
@_WHICH
@click.option(
    "--engine",
    type=click.Choice(CHOICES),
    default="auto",
    show_default=True,
    help="What computes; auto: the first of these that the machine has and that agrees with torch.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8080, show_default=True, help="Port to listen on; 0 for a free one.")
@click.option("--max-body", type=int, default=4_000_000, show_default=True, help="Bytes a request may have.")
@click.option("--max-texts", type=int, default=256, show_default=True, help="Texts a request may have.")
@click.option("--max-length", type=int, default=100_000, show_default=True, help="Characters a text may have.")
def serve_student_command(
    console: Console, *, student: str, engine: str, host: str, port: int, max_body: int, max_texts: int, max_length: int
) -> None:
    """Answer over HTTP like the Hub's text-classification pipeline, until interrupted."""

    def announce(address: Address) -> None:
        words = f"{address.student} with {address.engine} answers on {address.url}; Ctrl-C ends it"
        console.result(address, words)

    console.project.serve(
        student=student,
        engine=engine,
        host=host,
        port=port,
        max_body=max_body,
        max_texts=max_texts,
        max_length=max_length,
        on_ready=announce,
    )
