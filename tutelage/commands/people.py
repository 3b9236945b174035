"""``annotators``: who answers, and which records are whose."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tutelage.commands.terminal.console import Console, as_epilog, command

if TYPE_CHECKING:
    from tutelage.steps.review.annotators import Annotator, SignIn


@click.group("annotators", epilog=as_epilog("tutelage annotators add anna"))
def annotators_command() -> None:
    """Add and remove the people who answer, and deal the queue among them."""


@command("add", example="tutelage annotators add anna --task news")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["annotator", "admin", "owner"]),
    default="annotator",
    show_default=True,
    help="What a new account may do.",
)
def add_command(console: Console, *, name: str, role: str) -> None:
    """Let a person answer.

    Prints the link and, for a new account, the password, this once.
    """
    done = console.project.annotators.add(name, role=role)  # type: ignore[arg-type]
    console.result(done, f"{_added(done, role)}\n{_sign_in(console, done)}")


def _added(done: SignIn, role: str) -> str:
    where = f"in the workspace {done.workspace!r}"
    if done.created:
        return f"{done.name} is {where} now, with a new account ({done.role})"
    kept = f"; its role stays {done.role}" if done.role != role else ""
    if done.joined:
        return f"{done.name} had an account already ({done.role}) and is {where} now{kept}"
    return f"{done.name} was {where} already ({done.role}); nothing was changed{kept}"


def _line(console: Console, *words: str) -> str:
    """A line that can be pasted."""
    from tutelage.views.standing import NextStep

    return NextStep(("annotators", *words)).command(console.directory)


def _sign_in(console: Console, done: SignIn) -> str:
    lines = f"  link: {done.link}\n"
    if not done.has_share:
        lines += f"  The queue is dealt among others; to give this person a share: {_line(console, 'deal')}\n"
    if not done.password:
        return f"{lines}  signs in as {done.name} with the password that the account has"
    return (
        f"{lines}  signs in as {done.name} with password {done.password}\n"
        f"  The password is shown this once; a new one: {_line(console, 'password', done.name)}"
    )


@command("password", example="tutelage annotators password anna --task news")
@click.argument("name")
def password_command(console: Console, *, name: str) -> None:
    """Give a person a new password, and print it once."""
    done = console.project.annotators.password(name)
    console.result(
        done, f"{done.name} has a new password; the old one does not work any more\n{_sign_in(console, done)}"
    )


@command("remove", example="tutelage annotators remove anna --task news")
@click.argument("name")
def remove_command(console: Console, *, name: str) -> None:
    """Take a person out of the task's workspace. What they answered stays."""
    done = console.project.annotators.remove(name)
    words = (
        f"{done.name} is out of the workspace {done.workspace!r}. The account stays, and so do its "
        f"{done.answers} answers to this task: on Argilla and, once pulled, in task.db."
    )
    if done.waiting:
        words += (
            f"\nThe {done.waiting} records that wait for an answer of {done.name} go to the others at the next "
            f"tutelage rank, or with: {_line(console, 'deal')}"
        )
    console.result(done, words)


@command("list", example="tutelage annotators list --task news")
def list_command(console: Console) -> None:
    """List who may answer, their counts and their links."""
    found = console.project.annotators.list()
    words = _table(found) if found else "nobody is in the task's workspace; let people in with: tutelage annotators add"
    console.result({"annotators": [asdict(one) for one in found]}, words)


def _table(found: tuple[Annotator, ...]) -> str:
    from tutelage.commands.terminal.tables import columns

    rows: list[tuple[str, ...]] = [("name", "role", "submitted", "discarded", "drafts", "dealt", "waiting")]
    rows += [
        (one.name, one.role, *map(str, (one.submitted, one.discarded, one.drafts, one.dealt, one.waiting)))
        for one in found
    ]
    return "\n".join([columns(rows), *(f"{one.name}: {one.link}" for one in found if one.link)])


@command("deal", example="tutelage annotators deal anna ben --task news")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 1),
    default=None,
    metavar="SHARE",
    help="Share of the records that several people answer; needs argilla.min_submitted above 1 (default: all, then).",
)
def deal_command(console: Console, *, names: tuple[str, ...], overlap: float | None) -> None:
    """Give each person records of their own. Prints a link for each.

    Without names the queue is dealt among all annotators of the workspace.
    """
    dealt = console.project.annotators.deal(*names, overlap=overlap)
    shared = f", {dealt.shared} of them to several people" if dealt.shared else ""
    console.result(dealt, f"{dealt.queue} records are dealt{shared}\n{_table(dealt.annotators)}")


for each in (add_command, list_command, remove_command, password_command, deal_command):
    annotators_command.add_command(each)
