"""Dealing: whose each record in the queue is, so that nobody answers what somebody else answers too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.core.errors import TutelageError
from tutelage.core.records import Deal
from tutelage.core.task import FILE_NAME, Task
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.argilla.people import Account
from tutelage.feedback.curate import Curated, is_final, is_open
from tutelage.loaders.ledger import Ledger

Names = Mapping[str, Sequence[str]]
"""Names of people, by record id."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Who has begun an answer to a record, and who has given one: submitted, or discarded the record."""

    begun: Names = field(default_factory=dict)
    given: Names = field(default_factory=dict)

    @classmethod
    def of(cls, curated: Sequence[Curated]) -> Answers:
        """Those on the server."""
        begun = {
            item.record.id: [one.annotator for one in item.responses if one.state != "withdrawn"] for item in curated
        }
        given = {item.record.id: [one.annotator for one in item.responses if is_final(one)] for item in curated}
        return cls(begun=begun, given=given)


def checked_deal(
    task: Task, names: Sequence[str], overlap: float | None, members: Mapping[str, Account], *, has_ranks: bool
) -> Deal:
    """What is asked for, where it can be done.

    Parameters
    ----------
    names
        All annotators of the workspace where none is named.
    overlap
        Without one, as many people answer each record as complete it.

    Raises
    ------
    TutelageError
        With what is in the way, and what to do.
    """
    people = tuple(dict.fromkeys(names)) or tuple(one.name for one in members.values() if one.role == "annotator")
    where, minimum = f"the workspace {task.argilla.workspace!r}", task.argilla.min_submitted
    if not people:
        raise TutelageError(f"no annotator is in {where}; let people in with: tutelage annotators add NAME")
    if missing := [name for name in people if name not in members]:
        raise TutelageError(f"{missing[0]!r} is not in {where}; let them in with: tutelage annotators add {missing[0]}")
    if not has_ranks:
        raise TutelageError("there is no queue to deal yet; rank the records first with: tutelage rank")
    share = float(minimum > 1) if overlap is None else overlap
    if share and minimum < 2:
        raise TutelageError(
            f"{FILE_NAME}: argilla.min_submitted is 1, so the first answer takes a record out of everybody's queue and "
            "nobody would answer it a second time; for an overlap set argilla.min_submitted to 2 (then records that "
            "are dealt to one person stay open in Argilla's own count after their answer) and deal again"
        )
    if share and len(people) < minimum:
        raise TutelageError(
            f"argilla.min_submitted is {minimum}, but {len(people)} of {where} takes part: let more people in, or deal "
            "with --overlap 0, which gives each record to one person"
        )
    return Deal(people, share)


def deal_queue(
    ledger: Ledger, task: Task, curated: Sequence[Curated], present: Collection[str], *, level: bool = False
) -> None:
    """Deal the records of the queue that are nobody's yet, as the latest deal says; nothing where there was none.

    Parameters
    ----------
    curated
        All records, with the answers as they are now.
    present
        Who is in the workspace; the others' records go to those who are.
    level
        Take records off those who have many more than others, too.
    """
    deal, dealt = ledger.deal(), ledger.dealt()
    people = tuple(name for name in deal.people if name in present) if deal else ()
    if deal is None or not people:
        return
    queue = open_queue(ledger, task, curated)
    among = Deal(people, deal.overlap)
    copies = min(task.argilla.min_submitted, len(people))
    ledger.set_dealt(deal_out(queue, dealt, among, Answers.of(curated), copies=copies, level=level))


def open_queue(ledger: Ledger, task: Task, curated: Sequence[Curated]) -> list[str]:
    """Ids of the records in the queue that wait for an answer, the most suspect first."""
    ranks, dealt = ledger.ranks(), ledger.dealt()
    waiting = [item.record.id for item in curated if is_open(item, task, dealt.get(item.record.id, ()))]
    queued = [name for name in waiting if name in ranks and ranks[name].suspect_rank <= task.queue]
    return sorted(queued, key=lambda name: ranks[name].suspect_rank)


def dealt_queue(ledger: Ledger, task: Task) -> dict[str, tuple[str, ...]]:
    """Whose the records in the queue are, as last ranked and dealt."""
    ranks = ledger.ranks()
    return {
        record_id: names
        for record_id, names in ledger.dealt().items()
        if record_id in ranks and ranks[record_id].suspect_rank <= task.queue
    }


def waiting_by_name(ledger: Ledger, task: Task) -> Counter[str]:
    """How many records of the queue each person has and has not answered, as last pulled."""
    answers = (one for of_record in counting_answers(ledger).values() for one in of_record)
    given = {(one.record_id, one.annotator) for one in answers if is_final(one)}
    queue = dealt_queue(ledger, task).items()
    return Counter(name for record_id, names in queue for name in names if (record_id, name) not in given)


def deal_out(
    queue: Sequence[str], dealt: Names, deal: Deal, answers: Answers, *, copies: int = 1, level: bool = False
) -> dict[str, tuple[str, ...]]:
    """Whose each record of the queue is, by its id.

    A record stays with whom it was dealt to, or with whoever has begun an answer to it. Those that are nobody's,
    because they are new in the queue or their reviewer has gone, go to whoever has least to do.

    Parameters
    ----------
    queue
        Ids, the most suspect first.
    dealt
        Whose each record was.
    deal
        Among whom, and which share of the queue goes to several: every so many of it.
    copies
        To how many people a record of that share goes.
    level
        Take records that are not begun off those who have more than others, from the end of the queue.
    """
    held = {record_id: _kept(record_id, dealt, deal, answers) for record_id in queue}
    todo = _todo({**dealt, **held}, deal, answers)
    for record_id, wanted in zip(queue, _wanted(queue, held, deal.overlap, copies), strict=True):
        while len(held[record_id]) < wanted and (name := _least(todo, held[record_id])):
            held[record_id].append(name)
            todo[name] += 1
    if level:
        _level(queue, held, todo, answers)
    return {record_id: tuple(names) for record_id, names in held.items()}


def _kept(record_id: str, dealt: Names, deal: Deal, answers: Answers) -> list[str]:
    given = answers.given.get(record_id, ())
    kept = [name for name in dealt.get(record_id, ()) if name in deal.people or name in given]
    return kept or [name for name in deal.people if name in answers.begun.get(record_id, ())]


def _todo(held: Names, deal: Deal, answers: Answers) -> Counter[str]:
    """How many records each person has not answered."""
    todo = Counter(dict.fromkeys(deal.people, 0))
    for record_id, names in held.items():
        given = answers.given.get(record_id, ())
        todo.update(name for name in names if name in deal.people and name not in given)
    return todo


def _wanted(queue: Sequence[str], held: Names, overlap: float, copies: int) -> list[int]:
    """To how many people each record goes: to several spread over the queue, until they are the share."""
    several = sum(len(held[record_id]) > 1 for record_id in queue)
    wanted, passed = list[int](), 0
    for place, record_id in enumerate(queue, 1):
        more = several < _count(overlap, len(queue)) and passed < _count(overlap, place)
        is_shared = len(held[record_id]) > 1
        wanted.append(copies if more or is_shared else 1)
        passed += more or is_shared
        several += more and not is_shared
    return wanted


def _count(share: float, records: int) -> float:
    return share * records - 1e-9  # which a product such as 0.07 * 100 = 7.000000000000001 may be too much


def _least(todo: Mapping[str, int], but: Collection[str]) -> str:
    """Who has least to do, the first of equals; empty where nobody is left."""
    return min((name for name in todo if name not in but), key=lambda name: todo[name], default="")


def _level(queue: Sequence[str], held: Mapping[str, list[str]], todo: Counter[str], answers: Answers) -> None:
    for record_id in reversed(queue):
        for place, name in enumerate(held[record_id]):
            least = _least(todo, held[record_id])
            is_begun = name in answers.begun.get(record_id, ())
            if least and name in todo and not is_begun and todo[name] - todo[least] > 1:
                held[record_id][place] = least
                todo[name] -= 1
                todo[least] += 1
