"""Takes people's answers from a file into the ledger: one person has one answer to a record, wherever it was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

from tutelage.core.errors import SourceError
from tutelage.core.records import Response, ResponseStatus
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import user_id_of
from tutelage.feedback.curate import is_final
from tutelage.feedback.exchange.curated_set import STATUSES
from tutelage.feedback.exchange.label_studio import PERSON
from tutelage.feedback.exchange.review_file import ReviewFile, name_people
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import FILE, QUEUE
from tutelage.loaders.load_ledger import LoadLedger
from tutelage.loaders.rows import Row, problem_of
from tutelage.loaders.sources import Source

_BATCH = 1000
_Key = tuple[str, str]
"""Record id and annotator."""


@dataclass(frozen=True, kw_only=True)
class DifferingAnswer:
    """An answer in the file that is not the one of the same person on Argilla; a label, or ``discarded``."""

    id: str
    annotator: str
    there: str
    in_file: str
    taken: bool


@dataclass(frozen=True, kw_only=True)
class ReviewImport:
    """What an import of answers did.

    Parameters
    ----------
    annotators, rows
        Whose answers, and how many rows the file has.
    new, changed, unchanged
        Answers that were not there, that replace an earlier one, and that were there already.
    empty
        Rows without a label that are not discarded: not answered.
    rejected
        Rows in ``rejects.jsonl``: an unknown id, no label of the task, an unknown status.
    on_held_out
        Answers on records that are held out: kept, and not trained on.
    differing
        Where the same person has answered otherwise on Argilla, as last pulled; not taken without ``replace``.
    """

    annotators: tuple[str, ...]
    rows: int
    new: int
    changed: int
    unchanged: int
    empty: int
    rejected: int
    on_held_out: int
    differing: tuple[DifferingAnswer, ...]


def import_answers(
    workspace: Workspace, source: Source, annotator: str | Mapping[str, str], *, replacing: bool = False
) -> ReviewImport:
    """Read a person's answers; ``annotator`` names the person, or each of several as the file calls them.

    Raises
    ------
    SourceError
        When the file cannot be read, or does not say of several people who is who.
    """
    file = ReviewFile(source)
    people = name_people(file, annotator)
    if not all(name.strip() and "\0" not in name for name in people.values()):
        raise SourceError(f"{file.name}: an annotator needs a name; give it with --annotator NAME")
    holdout = held_out(workspace)
    with LoadLedger(workspace.db) as ledger:
        reading = _Reading(file, people, workspace.task, _record_ids(ledger, file))
        answers = reading.answers()
        taking = _Taking(ledger, replacing=replacing)
        taken = [answer for each in answers if (answer := taking.decide(each))]
        if taken:
            ledger.use_dataset(FILE, FILE)
            ledger.set_responses(FILE, taken)
    Rejects(workspace.rejects).add(
        Reject(source=file.name, row=row.number, id=row.cell("id") or None, reason=why, values=row.values)
        for row, why in reading.bad
    )
    return ReviewImport(
        annotators=tuple(dict.fromkeys(people[person] for person in file.people())),
        rows=len(file.rows),
        new=taking.counts["new"],
        changed=taking.counts["changed"],
        unchanged=taking.counts["unchanged"],
        empty=reading.empty,
        rejected=len(reading.bad),
        on_held_out=sum(1 for answer in answers if answer.record_id in holdout.ids),
        differing=tuple(taking.differing),
    )


def _record_ids(ledger: LoadLedger, file: ReviewFile) -> dict[str, str]:
    """The record of each id in the file, in any reading, for those that are known."""
    named = list(dict.fromkeys(each for row in file.rows for each in _id_readings(file, row)))
    parts = (named[start : start + _BATCH] for start in range(0, len(named), _BATCH))
    return {name: record_id for part in parts for name, (record_id, _) in ledger.known(part).items()}


def _id_readings(file: ReviewFile, row: Row) -> list[str]:
    """What the id may be: as it stands, which wins, then without white space around it."""
    readings = [each for reading in file.readings(row.cell("id")) for each in (reading, reading.strip())]
    return [each for each in readings if each and not problem_of(Row(1, {"id": each}), "id")]


class _Reading:
    """From rows to answers; ``bad`` are the rows that cannot be used, with the reason."""

    def __init__(self, file: ReviewFile, people: Mapping[str, str], task: Task, ids: Mapping[str, str]) -> None:
        self._file, self._people, self._task, self._ids = file, people, task, ids
        self._now = datetime.now(UTC)
        self.empty, self.bad = 0, list[tuple[Row, str]]()

    def answers(self) -> list[Response]:
        found: dict[_Key, tuple[Response, int]] = {}
        for row in self._file.rows:
            answer = self._answer(row)
            if isinstance(answer, str):
                self.bad.append((row, answer))
            elif answer is None:
                self.empty += 1
            else:
                first, number = found.setdefault((answer.record_id, answer.annotator), (answer, row.number))
                if first != answer:
                    self.bad.append((row, f"row {number} answers the same record otherwise"))
        return [answer for answer, _ in found.values()]

    def _answer(self, row: Row) -> Response | str | None:
        """The answer; None where there is none; or what is wrong with the row."""
        if problem := self._problem(row):
            return problem
        record_id = next((self._ids[name] for name in _id_readings(self._file, row) if name in self._ids), None)
        if record_id is None:
            return f"no record has the id {row.cell('id')!r}"
        cell, status = row.cell("label"), row.cell("status").strip().casefold()
        if status not in {"", *STATUSES}:
            return f"status {row.cell('status')!r} is none of {', '.join(STATUSES)}"
        label = self._label(cell)
        if label is None and cell.strip():
            return f"{cell!r} is no label of the task"
        if label is None and status != "discarded":
            return None
        name = self._people[row.cell(PERSON)]
        return Response(
            record_id=record_id,
            user_id=user_id_of(name),
            annotator=name,
            status=cast("ResponseStatus", status or "submitted"),
            label=label,
            reason=self._file.readings(row.cell("reason"))[0].strip(),
            updated_at=self._now,
        )

    def _problem(self, row: Row) -> str:
        cells = ("id", "label", "status", "reason")
        if not row.problem and not row.cell("id").strip():
            return "has no id"
        if any("\0" in row.cell(name) for name in cells):
            return "contains a NUL character"
        return problem_of(row, "id", others=cells)

    def _label(self, cell: str) -> str | None:
        readings = self._file.readings(cell)
        exact = next((each for each in readings if each in self._task.label_names), None)
        return exact or next(filter(None, map(self._task.read_label, readings)), None)


class _Taking:
    """Decides which answers are taken, against those that the same people gave before."""

    def __init__(self, ledger: LoadLedger, *, replacing: bool) -> None:
        self._replacing = replacing
        queue = ledger.current_dataset(QUEUE)
        self._there = _latest(ledger.responses(queue) if queue else [])
        self._filed = _latest(ledger.responses(FILE), drafts=True)
        self.counts, self.differing = Counter[str](), list[DifferingAnswer]()

    def decide(self, answer: Response) -> Response | None:
        """The answer to store; later than the one on Argilla, whatever the clock there says. None: not to be taken."""
        key = answer.record_id, answer.annotator
        there, filed = self._there.get(key), self._filed.get(key)
        counts_now = there if filed is None or (there and there.updated_at >= filed.updated_at) else filed
        if counts_now is not None and _is_the_same(answer, counts_now, in_both=counts_now is filed):
            self.counts["unchanged"] += 1
            return None
        if there and not _is_the_same(answer, there, in_both=False):
            taken = self._replacing and is_final(answer)
            self.differing.append(_differing(answer, there, taken=taken))
            if not taken:
                return None
        self.counts["new" if counts_now is None else "changed"] += 1
        later = there.updated_at + timedelta(microseconds=1) if there else answer.updated_at
        return replace(answer, updated_at=max(answer.updated_at, later))


def _latest(responses: Sequence[Response], *, drafts: bool = False) -> dict[_Key, Response]:
    """Each person's last answer to a record; drafts only where asked for."""
    usable = [each for each in responses if is_final(each) or (drafts and each.state != "withdrawn")]
    return {(each.record_id, each.annotator): each for each in sorted(usable, key=lambda each: each.updated_at)}


def _is_the_same(answer: Response, before: Response, *, in_both: bool) -> bool:
    """Whether two answers say the same; a file without a reason says nothing against the one on Argilla."""
    words = [" ".join(each.reason.split()) for each in (answer, before)]
    if words[0] != words[1] and (in_both or words[0]):
        return False
    return (answer.status, answer.label) == (before.status, before.label)


def _differing(answer: Response, there: Response, *, taken: bool) -> DifferingAnswer:
    said = [each.status if each.status == "discarded" else each.label or "" for each in (there, answer)]
    if said[0] == said[1]:
        said = [f"{label}: {each.reason}" for label, each in zip(said, (there, answer), strict=True)]
    return DifferingAnswer(id=answer.record_id, annotator=answer.annotator, there=said[0], in_file=said[1], taken=taken)
