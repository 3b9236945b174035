"""The next cards for a page that has some already.

Argilla's page asks for pending records ten at a time and skips as many as it still holds: it takes for granted that
those come first. Where ranks change while people answer they do not, and the records that became the most suspect
would be skipped. So what a page was given is remembered here, and its next cards are the first of all others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

PAGES = 1000
"""Pages that are remembered, the newest ones; an older one skips records by their number, as Argilla does."""
ANSWERED_MEANWHILE = 3
"""Records by which a page may count too many, because they were answered while it asked."""


class Pages:
    """What each person's page of pending records was given and they have not answered."""

    def __init__(self) -> None:
        self._held: OrderedDict[UUID, tuple[str, set[UUID]]] = OrderedDict()

    def held(self, user: UUID | None, view: str) -> set[UUID]:
        """The records that a person's page holds of a view: a filter and an order; empty where it is another one."""
        known, held = self._held.get(user, ("", set())) if user else ("", set())
        return held if known == view else set()

    def note(self, user: UUID | None, view: str, held: Iterable[UUID]) -> None:
        """The page holds these from now on."""
        if user is None:
            return
        self._held[user] = (view, set(held))
        self._held.move_to_end(user)
        while len(self._held) > PAGES:
            self._held.popitem(last=False)


def goes_on(offset: int, held: int) -> bool:
    """Whether a page that skips so many records asks for those after the ones that it holds."""
    return bool(offset and held) and 0 <= offset - held <= ANSWERED_MEANWHILE


def view_of(dataset: Any, wanted: Any, sort: Any) -> str:
    """A name for a filter and an order of a dataset."""
    return f"{dataset.id} {wanted!r} {sort!r}"
