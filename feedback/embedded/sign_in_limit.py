"""Wrong passwords are answered ever more slowly; Argilla itself would take any number of them.

A wrong sign-in counts three times: for the name at that address, for the name anywhere, for the address whatever the
name. Each bears a few at once and one more every ten seconds. Who has signed in from an address before is held to the
first alone, so that nobody's guesses elsewhere, or at other names, close anybody else out.

API keys are not limited: they are random and long, and the programs of one machine share an address.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from argilla_server.contexts import accounts
from fastapi import HTTPException

from .patching import replace

PAIR, WIDE = 5, 20  # wrong sign-ins at once: of a name at an address; of a name anywhere, or of an address
SECONDS = 10.0  # until one more is borne
REMEMBERED = 10_000  # of each; those that were not seen for longest are forgotten

_address: ContextVar[str] = ContextVar("address", default="")


class Attempts:
    """Counts per key that fall with time, in a memory that does not grow."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._until: OrderedDict[bytes, float] = OrderedDict()  # when nothing counts any more

    def wait(self, key: bytes) -> float:
        """Seconds until one more is borne; 0 or less now."""
        return self._until.get(key, 0.0) - self._clock() - (self._most - 1) * SECONDS

    def add(self, key: bytes, number: int = 1) -> None:
        """Count one more, or take one back."""
        self._until[key] = max(self._until.get(key, 0.0), self._clock()) + number * SECONDS
        self._until.move_to_end(key)
        if len(self._until) > REMEMBERED:
            self._until.popitem(last=False)

    def settle(self, key: bytes) -> None:
        """Forget what was counted."""
        self._until.pop(key, None)


class Limit:
    """Who may try a password now."""

    def __init__(self) -> None:
        self._pairs, self._names, self._addresses = Attempts(PAIR), Attempts(WIDE), Attempts(WIDE)
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def take(self, address: str, name: str) -> None:
        """Count an attempt as a wrong one, before it is known to be: many may be on their way at once.

        Raises
        ------
        HTTPException
            With status 429, when there were too many.
        """
        counted = self._counted(address, name)
        wait = max(attempts.wait(key) for attempts, key in counted)
        if wait > 0:
            seconds = str(math.ceil(wait))
            raise HTTPException(429, f"Too many wrong sign-ins: try again in {seconds} s.", {"Retry-After": seconds})
        for attempts, key in counted:
            attempts.add(key)

    def was_right(self, address: str, name: str) -> None:
        """Take the attempt back, and those before it of the same name at the same address."""
        for attempts, key in self._counted(address, name):
            attempts.add(key, -1)
        pair = _key(address, name)
        self._pairs.settle(pair)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _counted(self, address: str, name: str) -> list[tuple[Attempts, bytes]]:
        pair = _key(address, name)
        wide = [(self._names, _key(name)), (self._addresses, _key(address))]
        return [(self._pairs, pair), *(wide if pair not in self._known else [])]


def _key(*parts: str) -> bytes:
    """As long whatever a client sends."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()


def limit_sign_ins() -> None:
    """Let Argilla check a password only where the limit allows."""
    check, limit = accounts.authenticate_user, Limit()

    async def authenticate_user(db: Any, username: str, password: str) -> Any:
        address = _address.get()
        limit.take(address, username)
        user = await check(db, username, password)
        if user:
            limit.was_right(address, username)
        return user

    replace(accounts, "authenticate_user", authenticate_user)


def knowing_addresses(app: Any) -> Any:
    """The app, with the address of each request at hand: the client's, or what a proxy on this machine says it is."""

    async def knowing(scope: Any, receive: Any, send: Any) -> None:
        _address.set((scope.get("client") or ("",))[0])
        await app(scope, receive, send)

    return knowing
