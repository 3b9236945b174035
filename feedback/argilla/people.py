"""The people who answer: their accounts, who is in a task's workspace, and which records are whose."""

from __future__ import annotations

import secrets
import string
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from tutelage.core.errors import ServerError, TutelageError
from tutelage.feedback.argilla.remote import RefusedError, Remote

Role = Literal["annotator", "admin", "owner"]
ROLES: tuple[Role, ...] = ("annotator", "admin", "owner")
NAME_MAX_LENGTH = 100
_TYPED = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))


@dataclass(frozen=True, slots=True)
class Account:
    """An account on Argilla."""

    id: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Answered:
    """How many answers a person has given in a dataset, by their state."""

    submitted: int = 0
    discarded: int = 0
    drafts: int = 0


@dataclass(frozen=True)
class People:
    """The accounts of a server, seen from one workspace.

    Parameters
    ----------
    workspace
        Its name.
    me
        The name of the account that is signed in.
    """

    remote: Remote
    workspace: str
    me: str

    def members(self) -> dict[str, Account]:
        """Who is in the workspace, by name, in the order in which the accounts were made; empty where there is none."""
        space = self._space()
        return self._accounts(f"workspaces/{space}/users") if space else {}

    def add(self, name: str, role: Role) -> tuple[Account, str, bool]:
        """Let a person into the workspace, with a new account where there is none of that name.

        Returns
        -------
        The account; its password, empty where the account was there before; whether the workspace is new to it.
        """
        check_name(name)
        known = self._everybody().get(name)
        password = "" if known else new_password()
        if known is None:
            self._make(name, role, password)
            known = self._everybody()[name]
        return known, password, self._join(known)

    def remove(self, name: str) -> Account:
        """Take a person out of the workspace; the account and its answers stay."""
        if name == self.me:
            raise TutelageError(
                f"{name!r} is the account that tutelage itself uses, so it cannot be taken out of the workspace "
                f"{self.workspace!r}; use the key of another owner (ARGILLA_API_KEY) to do that"
            )
        account = self._member(name)
        self._ask("DELETE", f"workspaces/{self._space()}/users/{account.id}", f"take {name!r} out of the workspace")
        return account

    def set_password(self, name: str) -> tuple[Account, str]:
        """Give a person of the workspace, or the account that is signed in, a new password."""
        account = self._everybody().get(name) if name == self.me else None
        account = account or self._member(name)
        password = new_password()
        self._ask("PATCH", f"users/{account.id}", f"change the password of {name!r}", {"password": password})
        return account, password

    def _member(self, name: str) -> Account:
        members = self.members()
        if name not in members:
            there = f"it has {', '.join(members)}" if members else "nobody is in it"
            raise TutelageError(
                f"nobody called {name!r} is in the workspace {self.workspace!r} at {self.remote.url}; {there}"
            )
        return members[name]

    def _space(self) -> str | None:
        spaces = self.remote.request("GET", "me/workspaces")["items"]
        return next((str(space["id"]) for space in spaces if space["name"] == self.workspace), None)

    def _everybody(self) -> dict[str, Account]:
        try:
            return self._accounts("users")
        except RefusedError as error:
            raise self._not_allowed("see the accounts", error) from None

    def _accounts(self, path: str) -> dict[str, Account]:
        found = sorted(self.remote.request("GET", path)["items"], key=lambda user: user["inserted_at"])
        return {user["username"]: Account(str(user["id"]), user["username"], user["role"]) for user in found}

    def _make(self, name: str, role: Role, password: str) -> None:
        body = {"username": name, "first_name": name, "role": role, "password": password}
        self._ask("POST", "users", f"make the account {name!r}", body)

    def _join(self, account: Account) -> bool:
        if account.name in self.members():
            return False
        if self._space() is None:
            self._ask("POST", "workspaces", f"make the workspace {self.workspace!r}", {"name": self.workspace})
        what = f"let {account.name!r} into the workspace {self.workspace!r}"
        self._ask("POST", f"workspaces/{self._space()}/users", what, {"user_id": account.id})
        return True

    def _ask(self, method: str, path: str, what: str, body: dict[str, Any] | None = None) -> None:
        """Change a thing; where that is refused, say what was not done."""
        try:
            self.remote.change(method, path, body)
        except RefusedError as error:
            raise self._not_allowed(what, error) from None

    def _not_allowed(self, what: str, error: RefusedError) -> ServerError:
        if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            why = f"that takes an owner; set ARGILLA_API_KEY to an owner's key ({error})"
        elif error.status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            why = f"{error}. Argilla 2.8 can do it; ask whoever runs this server to do it there"
        else:
            why = f"{error}"
        return ServerError(f"Argilla at {self.remote.url} does not let {self.me!r} {what}: {why}")


def answers_by_name(remote: Remote, dataset: str) -> dict[str, Answered]:
    """How many answers each person has given in a dataset, as the server counts now; none are read."""
    found = {}
    for row in remote.request("GET", f"datasets/{dataset}/users/progress")["users"]:
        states: Counter[str] = Counter()
        for counts in (row.get("pending"), row.get("completed")):
            states.update({state: count or 0 for state, count in (counts or {}).items()})
        found[row["username"]] = Answered(states["submitted"], states["discarded"], states["draft"])
    return found


def check_name(name: str) -> None:
    """Refuse a user name that Argilla does not take, or that nobody could type when signing in.

    Raises
    ------
    TutelageError
        With what is wrong with it.
    """
    if not name.strip():
        problem = "is empty"
    elif name != name.strip():
        problem = "begins or ends with a space"
    elif any(unicodedata.category(char).startswith("C") for char in name):
        problem = "holds a character that cannot be seen"
    elif len(name) > NAME_MAX_LENGTH:
        problem = f"is longer than {NAME_MAX_LENGTH} characters"
    else:
        return
    raise TutelageError(f"the user name {name!r} {problem}; choose another one, such as anna or anna@example.org")


def new_password() -> str:
    """A password that nobody guesses and everybody can type: 16 characters, 93 bits."""
    return "".join(secrets.choice(_TYPED) for _ in range(16))
