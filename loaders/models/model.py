"""What a teacher's model can be asked, and how it answers or fails. One file implements it for each way to run one.

TeacherError (tutelage/errors.py)   nothing can be asked: wrong key, unknown model; ends the run
Busy                                try again, after ``after`` seconds where the endpoint said so
Refused                             this text cannot be answered; the others can
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

OVERFLOW = "context_overflow"
"""The finish of an answer to a text that is too long for the model: no other vote of the panel can do better."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt, filled with one text. ``labels`` are given where the answer shall be JSON with one of them."""

    prompt: str
    parameters: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    number: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came.

    ``tokens_in`` and ``tokens_out`` are None where the endpoint does not count; ``logprobs`` are
    pairs of token and natural logarithm of its probability; ``structured`` is how the answer's form
    was asked for, '' for not at all.
    """

    text: str
    finish: str = "stop"
    tokens_in: int | None = None
    tokens_out: int | None = None
    structured: str = ""
    logprobs: tuple[tuple[str, float], ...] = field(default=(), repr=False)


class Busy(Exception):  # noqa: N818 - asks for patience, is no error of anybody's
    """No answer this time. ``kind`` is counted and shown; ``lost`` says that it may have cost money all the same."""

    def __init__(self, kind: str, *, after: float | None = None, lost: bool = False) -> None:
        super().__init__(kind)
        self.kind, self.after, self.lost = kind, after, lost


class Refused(Exception):  # noqa: N818 - the endpoint's decision about one text
    """The text gets no answer, however often it is asked. ``kind`` is the answer's finish in the ledger."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Model(Protocol):
    """A model that can be asked, many times at once."""

    async def answer(self, request: Request) -> Reply:
        """Ask once; raises Busy, Refused or TeacherError."""

    async def close(self) -> None:
        """Let go of connections and memory."""
