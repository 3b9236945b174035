"""``annotators``: who answers, and which records are whose."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tutelage.commands.console import Console, command

if TYPE_CHECKING:
    from tutelage.project.annotators import Annotator, SignIn


@click.group("annotators")
def annotators_command() -> None:
    """Add and remove the people who answer, and deal the queue among them."""


@command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["annotator", "admin", "owner"]),
    default="annotator",
    show_default=True,
    help="What a new account may do.",
)
def add_command(console: Console, *, name: str, role: str) -> None:
    """Let a person answer; prints the link, and the password of a new account once."""
    done = console.project.annotators.add(name, role=role)  # type: ignore[arg-type]
    console.result(done, f"{_added(done, role)}\n{_sign_in(done)}")


def _added(done: SignIn, role: str) -> str:
    where = f"in the workspace {done.workspace!r}"
    if done.created:
        return f"{done.name} is {where} now, with a new account ({done.role})"
    kept = f"; its role stays {done.role}" if done.role != role else ""
    if done.joined:
        return f"{done.name} had an account already ({done.role}) and is {where} now{kept}"
    return f"{done.name} was {where} already ({done.role}); nothing was changed{kept}"


def _sign_in(done: SignIn) -> str:
    if not done.password:
        return f"  link: {done.link}\n  signs in as {done.name} with the password that the account has"
    return (
        f"  link: {done.link}\n  signs in as {done.name} with password {done.password}\n"
        f"  The password is shown this once; a new one: tutelage annotators password {shlex.quote(done.name)}"
    )


@command("password")
@click.argument("name")
def password_command(console: Console, *, name: str) -> None:
    """Give a person a new password, and print it once."""
    done = console.project.annotators.password(name)
    console.result(done, f"{done.name} has a new password; the old one does not work any more\n{_sign_in(done)}")


@command("remove")
@click.argument("name")
def remove_command(console: Console, *, name: str) -> None:
    """Take a person out of the task's workspace; what they answered stays."""
    done = console.project.annotators.remove(name)
    words = (
        f"{done.name} is out of the workspace {done.workspace!r}. The account stays, and so do its "
        f"{done.answers} answers to this task: on Argilla and, once pulled, in task.db."
    )
    console.result(done, words)


@command("list")
def list_command(console: Console) -> None:
    """Who may answer, how much they have answered, and their links."""
    found = console.project.annotators.list()
    words = _table(found) if found else "nobody is in the task's workspace; let people in with: tutelage annotators add"
    console.result({"annotators": [asdict(one) for one in found]}, words)


def _table(found: tuple[Annotator, ...]) -> str:
    from tutelage.commands.tables import columns

    rows = [("name", "role", "submitted", "discarded", "drafts", "dealt")]
    rows += [
        (one.name, one.role, str(one.submitted), str(one.discarded), str(one.drafts), str(one.dealt)) for one in found
    ]
    return "\n".join([columns(rows), *(f"{one.name}: {one.link}" for one in found if one.link)])


for each in (add_command, list_command, remove_command, password_command):
    annotators_command.add_command(each)
