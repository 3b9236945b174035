"""People's answers from wherever they were given, merged: one person has one answer to a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tutelage.core.records import Response
from tutelage.feedback.curate import is_final
from tutelage.loaders.ledger import FILE, QUEUE, Ledger

_FROM_FILE = "file:"


def counting_answers(ledger: Ledger) -> dict[str, list[Response]]:
    """The answers that labels are made of, by record id: those of the current queue and those from files.

    Answers on datasets that were the queue before are kept apart.
    """
    queue = ledger.current_dataset(QUEUE)
    there = ledger.responses(queue) if queue else []
    return by_record(merged(there, ledger.responses(FILE)))


def merged(there: Iterable[Response], filed: Sequence[Response]) -> list[Response]:
    """Answers on Argilla and those from files, by record and age.

    Where a person, by name, has answered a record in both places, the later answer counts and the other is left
    out. A draft gives way to an answer; what was withdrawn on Argilla is no answer, and stays for the record.
    """
    files = {(answer.record_id, answer.annotator): answer for answer in filed}
    kept = list[Response]()
    for answer in there:
        key = answer.record_id, answer.annotator
        if answer.state != "withdrawn" and key in files:
            if _precedence(answer) < _precedence(files[key]):
                continue
            del files[key]
        kept.append(answer)
    return sorted([*kept, *files.values()], key=lambda each: (each.record_id, each.updated_at, each.user_id))


def _precedence(answer: Response) -> tuple[bool, float]:
    return is_final(answer), answer.updated_at.timestamp()


def by_record(responses: Iterable[Response]) -> dict[str, list[Response]]:
    """Responses grouped by record id."""
    grouped: dict[str, list[Response]] = {}
    for response in responses:
        grouped.setdefault(response.record_id, []).append(response)
    return grouped


def user_id_of(annotator: str) -> str:
    """The user id of a person in a file, where Argilla's are uuids."""
    return _FROM_FILE + annotator


def is_from_file(response: Response) -> bool:
    """Whether an answer was imported from a file."""
    return response.user_id.startswith(_FROM_FILE)


def was_pushed(db: Path) -> bool:
    """Whether records were ever sent to an Argilla."""
    with Ledger(db) as ledger:
        return ledger.current_dataset(QUEUE) is not None


def came_by_files_only(db: Path) -> bool:
    """Whether there are answers from files and nothing was ever pushed: then no step needs Argilla."""
    with Ledger(db) as ledger:
        return ledger.current_dataset(QUEUE) is None and bool(ledger.responses(FILE))
