"""``project.annotators``: the people who answer, and which records are whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tutelage.feedback.argilla.people import Account, Role
    from tutelage.steps.review.loop import Loop


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """A person in the task's workspace.

    Parameters
    ----------
    name, role
        Of the account: annotator, admin or owner.
    submitted, discarded, drafts
        Answers in the task's dataset, as the server counts now.
    dealt
        Records that are this person's since the queue was dealt, answered ones too.
    waiting
        Those of them that are in the queue and that this person has not answered, as last ranked and pulled.
    link
        Opens the annotation page; empty before the first push.
    """

    name: str
    role: str
    submitted: int
    discarded: int
    drafts: int
    dealt: int
    waiting: int
    link: str


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """How a person gets to the annotation page.

    Parameters
    ----------
    name, role
        Of the account.
    password
        A new one, which is kept nowhere; empty where the account was there before and has its own.
    created, joined
        Whether the account is new, and whether it is new in the workspace.
    workspace
        Its name.
    link
        Opens the annotation page; the server's address before the first push.
    has_share
        False where the queue is dealt among others: the next deal gives this person a share.
    """

    name: str
    role: str
    password: str
    created: bool
    joined: bool
    workspace: str
    link: str
    has_share: bool


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Who was taken out of the workspace.

    Parameters
    ----------
    name, workspace
        Of the account, and of the workspace.
    answers
        How many of this person's answers to the task there are; they stay.
    waiting
        Records that were dealt to this person and wait for an answer: they go to the others.
    """

    name: str
    workspace: str
    answers: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """Whose the records in the queue are.

    Parameters
    ----------
    annotators
        Those who take part, and what they have to do.
    queue
        Records in the queue that wait for an answer.
    shared
        How many of them go to several people.
    sent
        Records whose metadata was sent to Argilla.
    """

    annotators: tuple[Annotator, ...]
    queue: int
    shared: int
    sent: int


class Annotators:
    """The people who answer; every method asks the server."""

    def __init__(self, loop: Callable[[], AbstractContextManager[Loop]]) -> None:
        self._loop = loop

    def add(self, name: str, *, role: Role = "annotator") -> SignIn:
        """Let a person into the task's workspace, with a new account and password where there is none of that name."""
        with self._loop() as loop:
            account, password, joined = loop.people.add(name, role)
            return _sign_in(loop, account, password, created=bool(password), joined=joined)

    def list(self) -> tuple[Annotator, ...]:
        """Who is in the task's workspace."""
        with self._loop() as loop:
            return _listed(loop, loop.people.members().values())

    def remove(self, name: str) -> Removed:
        """Take a person out of the task's workspace; the account, its answers and its password stay."""
        with self._loop() as loop:
            account = loop.people.remove(name)
            (one,) = _listed(loop, [account])
            answers = one.submitted + one.discarded
            return Removed(name=name, workspace=loop.people.workspace, answers=answers, waiting=one.waiting)

    def password(self, name: str) -> SignIn:
        """Give a person a new password."""
        with self._loop() as loop:
            account, password = loop.people.set_password(name)
            _note_for_up(loop.people.remote.url, name, password)
            return _sign_in(loop, account, password, created=False, joined=False)

    def deal(self, *names: str, overlap: float | None = None) -> Dealt:
        """Deal the queue: each record becomes one person's, and everybody gets a link to their own.

        Whoever has a record keeps it; records that are new in the queue, and those of people who have left, go to
        whoever has least, now and at each ``rank``. Where some have much more than others, dealing again takes
        records from the end of their queues that they have not begun.

        Parameters
        ----------
        names
            Who takes part: all annotators of the workspace where none is named.
        overlap
            Share of the records, 0 to 1, that go to as many people as complete a record (``argilla.min_submitted``),
            to measure how they agree. By default all where that is more than 1.
        """
        from tutelage.steps.review.dealing import dealt_queue

        with self._loop() as loop:
            pushed = loop.deal(names, overlap)
            members = loop.people.members()
            queue = dealt_queue(loop.ledger, loop.workspace.task)
            deal = loop.ledger.deal()
            return Dealt(
                annotators=_listed(loop, [members[name] for name in deal.people]) if deal else (),
                queue=len(queue),
                shared=sum(len(names) > 1 for names in queue.values()),
                sent=pushed.sent + pushed.metadata_only,
            )


def _sign_in(loop: Loop, account: Account, password: str, *, created: bool, joined: bool) -> SignIn:
    deal = loop.ledger.deal()
    return SignIn(
        name=account.name,
        role=account.role,
        password=password,
        created=created,
        joined=joined,
        workspace=loop.people.workspace,
        link=_link(loop, account.name) or loop.people.remote.url,
        has_share=deal is None or account.name in deal.people,
    )


def _listed(loop: Loop, accounts: Iterable[Account]) -> tuple[Annotator, ...]:
    from tutelage.feedback.argilla.people import Answered, answers_by_name
    from tutelage.steps.review.dealing import waiting_by_name

    answered = answers_by_name(loop.people.remote, loop.found.id) if loop.found else {}
    dealt = Counter(name for names in loop.ledger.dealt().values() for name in names)
    waiting = waiting_by_name(loop.ledger, loop.workspace.task)
    return tuple(
        Annotator(
            name=one.name,
            role=one.role,
            **asdict(answered.get(one.name, Answered())),
            dealt=dealt[one.name],
            waiting=waiting[one.name],
            link=_link(loop, one.name),
        )
        for one in accounts
    )


def _link(loop: Loop, name: str) -> str:
    """Opens the person's own part of the queue where it is dealt; empty before the first push."""
    deal, found = loop.ledger.deal(), loop.found
    if found is None:
        return ""
    return found.queue_link_of(name) if deal and name in deal.people else found.queue_link


def _note_for_up(url: str, name: str, password: str) -> None:
    """Where the account is one of the two that ``up`` names, let it name the new password."""
    from tutelage.feedback.server.credentials import note_password
    from tutelage.feedback.server.lifecycle import find_server

    server = find_server()
    if server and server.url == url:
        note_password(server.data_dir, name, password)
