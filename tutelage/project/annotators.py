"""``project.annotators``: the people who answer, and which records are whose."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tutelage.feedback.people import Answered, Role
    from tutelage.project.loop import Loop


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
        Records that are this person's since they were dealt, answered ones too.
    link
        Opens the annotation page; empty before the first push.
    """

    name: str
    role: str
    submitted: int
    discarded: int
    drafts: int
    dealt: int
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
    """

    name: str
    role: str
    password: str
    created: bool
    joined: bool
    workspace: str
    link: str


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Who was taken out of the workspace, and how many answers of theirs stay."""

    name: str
    workspace: str
    answers: int


class Annotators:
    """The people who answer; every method asks the server."""

    def __init__(self, loop: Callable[[], AbstractContextManager[Loop]]) -> None:
        self._loop = loop

    def add(self, name: str, *, role: Role = "annotator") -> SignIn:
        """Let a person into the task's workspace, with a new account and password where there is none of that name."""
        with self._loop() as loop:
            account, password, joined = loop.people.add(name, role)
            return SignIn(
                name=account.name,
                role=account.role,
                password=password,
                created=bool(password),
                joined=joined,
                workspace=loop.people.workspace,
                link=_link(loop, account.name) or loop.people.remote.url,
            )

    def list(self) -> tuple[Annotator, ...]:
        """Who is in the task's workspace."""
        with self._loop() as loop:
            found = loop.found
            answered = loop.people.answered(found.id) if found else {}
            return tuple(
                _annotator(loop, member.name, member.role, answered) for member in loop.people.members().values()
            )

    def remove(self, name: str) -> Removed:
        """Take a person out of the task's workspace; the account, its answers and its password stay."""
        with self._loop() as loop:
            found = loop.found
            answered = loop.people.answered(found.id) if found else {}
            account = loop.people.remove(name)
            one = answered.get(account.name)
            answers = one.submitted + one.discarded if one else 0
            return Removed(name=account.name, workspace=loop.people.workspace, answers=answers)

    def password(self, name: str) -> SignIn:
        """Give a person a new password."""
        with self._loop() as loop:
            account, password = loop.people.set_password(name)
            _note_for_up(loop.people.remote.url, name, password)
            return SignIn(
                name=account.name,
                role=account.role,
                password=password,
                created=False,
                joined=False,
                workspace=loop.people.workspace,
                link=_link(loop, account.name) or loop.people.remote.url,
            )


def _annotator(loop: Loop, name: str, role: str, answered: dict[str, Answered]) -> Annotator:
    from tutelage.feedback.people import Answered

    one = answered.get(name, Answered())
    return Annotator(
        name=name,
        role=role,
        submitted=one.submitted,
        discarded=one.discarded,
        drafts=one.drafts,
        dealt=0,
        link=_link(loop, name),
    )


def _link(loop: Loop, name: str) -> str:  # noqa: ARG001
    return loop.found.queue_link if loop.found else ""


def _note_for_up(url: str, name: str, password: str) -> None:
    """Where the account is one of the two that ``up`` names, let it name the new password."""
    from tutelage.feedback.server.credentials import note_password
    from tutelage.feedback.server.lifecycle import find_server

    server = find_server()
    if server and server.url == url:
        note_password(server.data_dir, name, password)
