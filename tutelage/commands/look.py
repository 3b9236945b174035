"""``status``, ``suspects``, ``show``, ``report``: what a data scientist and a team lead look at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tutelage.commands.argilla import ranked_by_words
from tutelage.commands.terminal.console import Console, command

if TYPE_CHECKING:
    import pandas as pd

    from tutelage.core.records import Vote
    from tutelage.loaders.teacher.teacher_ledger import Spent
    from tutelage.views.card import GivenAnswer, RecordCard
    from tutelage.views.standing import Behind, Status, StudentSummary


@command("status", example="tutelage status --task news")
def status_command(console: Console) -> None:
    """Say where the task stands, what is out of date, and what comes next."""
    status = console.project.status()
    console.result(status, "\n".join(_status_lines(status)))


def _status_lines(status: Status) -> Iterator[str]:
    """The status for people."""
    counts = ", ".join(f"{count} {name}" for name, count in status.by_status.items() if name != "pending")
    yield f"{status.task}: {status.records} records"
    yield f"  {status.settled} settled, {status.pending} pending, {status.held_out} held out"
    if counts:
        yield f"  {counts}, with {_count(status.answers, 'answer')}"
    yield f"votes: {status.votes}, {status.abstentions} of them abstentions"
    yield f"suggestions: {status.without_suggestion} records without one, {_count(status.ties, 'tie')}"
    yield from _changes(status)
    yield f"ranked: {status.ranked}" + (f"; {ranked_by_words(status.ranked_by)}" if status.ranked_by else "")
    yield f"newest snapshot: {status.snapshot or 'none'}"
    yield f"students: {len(status.students) or 'none'}; champion: {status.champion or 'none'}"
    yield from (_student_line(student, status.champion) for student in status.students)
    if status.last_run:
        yield f"last retrain, {status.last_run.began_at[:16]}: {status.last_run.outcome}: {status.last_run.message}"
    yield from map(_spending_line, status.spent)
    yield from _argilla_lines(status)
    if outdated := list(_outdated(status.behind, status)):
        yield from ["out of date:", *(f"  {line}" for line in outdated)]
    yield f"next: {status.next}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _changes(status: Status) -> Iterator[str]:
    changed = sum(change.records for change in status.changes)
    if changed or status.kept:
        yield f"people changed {changed} of the {status.kept + changed} suggestions that they saw"
        yield from (f"  {change.suggested} → {change.label}: {change.records}" for change in status.changes)


def _student_line(student: StudentSummary, champion: str | None) -> str:
    mark = "*" if student.id == champion else " "
    of = f" of {student.model}" if student.model else ""
    at = student.created_at[:16]
    return f"{mark} {student.id}{of}, {student.rows} rows of snapshot {student.snapshot}, {at}"


def _spending_line(spent: Spent) -> str:
    words = f"asked: {spent.teacher} {spent.prompt} vote {spent.vote}: {spent.texts} records"
    words += f", {spent.tokens_in} tokens in, {spent.tokens_out} out"
    return words + (f", {spent.cost:.4f} USD, {spent.cost / spent.priced:.6f} a record" if spent.priced else "")


def _argilla_lines(status: Status) -> Iterator[str]:
    yield {
        "up": "Argilla is up",
        "down": "Argilla is not running",
        "silent": "Argilla does not answer; what is there is not counted",
    }[status.argilla]
    if status.link:
        yield f"review: {status.link}"


def _outdated(behind: Behind, status: Status) -> Iterator[str]:
    """What is out of date, a line each."""
    if behind.unsent:
        yield f"{_count(behind.unsent, 'record')} new or changed since the last push"
    if behind.misplaced:
        yield f"{_count(behind.misplaced, 'record')} with a rank that was not pushed"
    if behind.unpulled:
        yield f"{_count(behind.unpulled, 'answer')} on Argilla that {_was(behind.unpulled)} not pulled"
    if behind.ranks:
        yield f"the ranks: {_count(behind.ranks, 'record')} settled or came in since"
    if behind.snapshot:
        yield f"snapshot {status.snapshot}: {_count(behind.snapshot, 'record')} {_has(behind.snapshot)} changed since"
    if behind.student:
        yield f"student {status.students[-1].id}: was trained on an older snapshot"
    if behind.evaluation and status.has_gold:
        yield f"student {status.students[-1].id}: was not evaluated yet"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _has(number: int) -> str:
    return "has" if number == 1 else "have"


@command("suspects", example="tutelage suspects -n 50")
@click.option("-n", "most", type=click.IntRange(1), default=20, show_default=True, help="How many records.")
@click.option("--all", "settled_too", is_flag=True, help="Also those that people have settled since the last ranking.")
def suspects_command(console: Console, *, most: int, settled_too: bool) -> None:
    """List the most suspect records that nobody has settled yet, the worst first."""
    frame = console.project.suspects(most, pending=not settled_too)
    rows = json.loads(frame.to_json(orient="records"))
    console.result(
        {"suspects": rows}, _suspects_table(frame, with_status=settled_too) if rows else "no pending record has a rank"
    )


def _suspects_table(frame: pd.DataFrame, *, with_status: bool) -> str:
    from tutelage.commands.terminal.tables import fitted

    status = [("status", *frame["status"])] if with_status else []
    rows = [_suspect(row) for row in frame.to_dict("records")]
    head = ("rank", "id", "suggestion", "quality", "why", "text")
    parts = [*zip(head, *rows, strict=True)]
    columns = [*parts[:4], *status, *parts[4:]]
    width = shutil.get_terminal_size().columns
    most = {1: max(8, width // 4), 2: 12, len(columns) - 2: max(8, width // 4 - 4)}
    return fitted(list(zip(*columns, strict=True)), width, most=most, right={0, 3})


def _suspect(row: dict[Any, Any]) -> tuple[str, ...]:
    suggestion = row["suggestion"]
    return (
        str(row["suspect_rank"]),
        row["id"],
        suggestion if isinstance(suggestion, str) else "-",
        f"{row['label_quality']:.3f}",
        "; ".join(row["why"]),
        row["text"],
    )


@command("show", example="tutelage show r17 --task news")
@click.argument("record", metavar="ID")
def show_command(console: Console, *, record: str) -> None:
    """Show all that is known about one record: its text, votes and reasons, suggestion, answers and rank."""
    card = console.project.show(record)
    console.result(card, "\n".join(_card_lines(card)))


def _card_lines(card: RecordCard) -> Iterator[str]:
    from tutelage.commands.terminal.tables import harmless, indented

    yield harmless(card.id) + (", held out: not ranked, shown to people or trained on" if card.held_out else "")
    yield indented(card.text)
    if card.given is not None:
        yield f"given label: {card.given}"
    yield from _suggestion(card)
    yield from ["votes:" if card.votes else "votes: none", *map(_vote, card.votes)]
    yield from ["answers:" if card.answers else "answers: none", *map(_answer, card.answers)]
    yield f"status: {card.status}" + (f", label {card.label}" if card.label is not None else "")
    if card.suspect_rank is not None:
        place = "" if card.in_queue else ", after the queue"
        yield f"suspect rank {card.suspect_rank}{place}, label quality {card.label_quality:.3f}"
    yield from (f"  {harmless(words)}" for words in card.why)
    yield from (f"on Argilla since {at:%Y-%m-%d %H:%M}: {label or 'no suggestion'}" for at, label in card.shown)
    if card.link:
        yield f"link: {card.link}"


def _suggestion(card: RecordCard) -> Iterator[str]:
    from tutelage.commands.terminal.tables import harmless

    if card.suggestion is None:
        yield "suggestion: none"
    else:
        agreement = "" if card.agreement is None else f", agreement {card.agreement:.2f}"
        yield f"suggestion: {card.suggestion} by {harmless(card.agent)}{agreement}{', a tie' if card.tie else ''}"
        if card.outweighed:
            others = " and ".join(card.outweighed)
            yield f"  though {others} has as many votes or more: its voters agree less with all others"


def _vote(vote: Vote) -> str:
    from tutelage.commands.terminal.tables import harmless, indented

    said = vote.label if vote.label is not None else f"no label, said {harmless(vote.raw)!r}"
    return f"  {harmless(str(vote.voter))}: {said}" + (f"\n{indented(vote.reason, 4)}" if vote.reason else "")


def _answer(answer: GivenAnswer) -> str:
    from tutelage.commands.terminal.tables import harmless, indented

    said = answer.label if answer.label is not None else "no label"
    line = f"  {harmless(answer.annotator)}, {answer.at:%Y-%m-%d %H:%M}: {answer.status}, {said}"
    line += f" (saw {answer.shown})" if answer.shown else ""
    line += "" if answer.state == "present" else f" ({answer.state})"
    if not answer.reason:
        return line
    whose = "the teacher's reason" if answer.reason_by == "teacher" else "own reason"
    return f"{line}\n{indented(f'{whose}: {answer.reason}', 4)}"


@command("report", example="tutelage report --out news.html")
@click.option(
    "--out", metavar="FILE", default="", help="Where to write it; - for standard output.  [default: reports/]"
)
def report_command(console: Console, *, out: str) -> None:
    """Write one HTML page for a team lead: label quality, review, student and teacher, costs, lineage."""
    written = console.project.report(out)
    console.result({"path": written.path, **asdict(written.figures)}, written.html or written.path)
