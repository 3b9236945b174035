"""The interface of a teacher's model: requests, replies and errors. One file implements it for each way to run one.

TeacherError (tutelage/core/errors.py)   no call can succeed: wrong key, unknown model; ends the run
Busy                                     try again, after ``after`` seconds where the endpoint says so
Refused                                  this text gets no answer, and the endpoint says so; others do
Rejected                                 the endpoint took no call, and does not say that it is because of this text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

OVERFLOW = "context_overflow"
"""Finish reason of a text that is too long for the model's context: further votes of the panel are not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One filled prompt. ``labels`` asks for JSON with one of them; ``number`` is the vote's, from 1."""

    prompt: str
    parameters: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An unparsed answer.

    ``tokens_in`` and ``tokens_out`` are None where the endpoint does not report usage; ``cached`` of
    the first were read from its cache, ``reasoning`` of the second are the model's thinking; ``logprobs``
    are pairs of token and natural log probability; ``structured`` is the type of
    ``response_format`` that was asked for, '' for none; ``rest`` is the seconds for which the endpoint
    says that its limit is used up.
    """

    text: str
    finish: str = "stop"
    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int = 0
    reasoning: int = 0
    structured: str = ""
    logprobs: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    rest: float = 0.0


Keep = Callable[[bytes, str], None]
"""Takes what an endpoint sent, and the type of ``response_format`` that was asked for, before it is read."""


def not_kept(_body: bytes, _structured: str) -> None:
    """Keeps nothing."""


class Busy(Exception):  # noqa: N818 - transient, retried
    """No answer to this attempt. ``kind`` is counted and shown; ``lost`` says that it may have been charged."""

    def __init__(self, kind: str, *, after: float | None = None, lost: bool = False) -> None:
        super().__init__(kind)
        self.kind, self.after, self.lost = kind, after, lost


class Refused(Exception):  # noqa: N818 - the endpoint's decision about one text
    """The text gets no answer, and retries cannot help. ``kind`` is stored as the finish reason."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Rejected(Exception):  # noqa: N818 - decided by asking about a harmless text
    """The endpoint rejected a request for a reason that may be the text's or its own; ``kind`` is counted and shown."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Model(Protocol):
    """A model that takes concurrent requests."""

    async def answer(self, request: Request, keep: Keep = not_kept) -> Reply:
        """Make one attempt, and keep what came before it is read; raises Busy, Refused, Rejected or TeacherError."""

    async def close(self) -> None:
        """Release connections and memory."""
