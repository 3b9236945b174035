"""What calls to one endpoint take: expected for its limit of tokens a minute, at most for a budget."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.loaders.models.model import Reply, Request

_BYTES_PER_TOKEN = 4  # until there is an answer
_TEMPLATE_TOKENS = 50
_SHARE_OF_LONGEST = 0.25  # of the longest answer, until there is one
_MEMORY = 0.98  # what an answer counts for when the next has come
_SPARE = 2  # times the tokens beyond the longest answer, as seen so far
_LENGTHS = re.compile(r"tokens|num_predict|thinking_budget")
_COUNTS = ("n", "best_of")


def longest_answer(parameters: Mapping[str, Any]) -> int:
    """The most tokens that a call may write: ``max_tokens``, or what ``extra_body`` raises it to."""
    answers: int = max([1, *(parameters[name] for name in _COUNTS if isinstance(parameters.get(name), int))])
    return max(_lengths(parameters), default=0) * answers


def _lengths(parameters: Mapping[str, Any]) -> Iterator[int]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _lengths(value)
        elif isinstance(value, int) and _LENGTHS.search(name):
            yield value


def most_tokens_in(request: Request) -> int:
    """The most tokens that a request is read as: each takes a byte or more."""
    beside = json.dumps([*request.labels, *request.labels, request.parameters], default=str)
    return len(request.prompt.encode()) + len(beside) + _TEMPLATE_TOKENS


class TokenMeter:
    """What answers took so far, of one endpoint."""

    def __init__(self) -> None:
        self._calls = self._read = self._guessed = self._written = 0.0
        self._more_in = self._more_out = 0
        self.too_long = 0
        """Tokens of an answer, its thinking not counted, that was longer than it was allowed to be."""

    def expected(self, request: Request) -> int:
        """Tokens that a call is expected to take, in and out: as measured, else as guessed."""
        if not self._calls:
            return round(_guess(request) + _SHARE_OF_LONGEST * longest_answer(request.parameters))
        return round(_guess(request) * self._read / self._guessed + self._written / self._calls)

    def most(self, request: Request) -> tuple[int, int]:
        """Tokens in and out that a call may take; more than asked for, where answers have taken more."""
        longest = longest_answer(request.parameters)
        return most_tokens_in(request) + _SPARE * self._more_in, longest + _SPARE * self._more_out

    def record(self, request: Request, reply: Reply) -> int | None:
        """Learn from an answer; returns the tokens that the call took, None where the endpoint does not say."""
        if reply.tokens_in is None or reply.tokens_out is None:
            return None
        longest = longest_answer(request.parameters)
        self._average(_guess(request), reply.tokens_in, reply.tokens_out)
        self._more_in = max(self._more_in, reply.tokens_in - most_tokens_in(request))
        self._more_out = max(self._more_out, reply.tokens_out - longest)
        if reply.tokens_out - reply.reasoning > longest + 1:  # some count the end of the answer
            self.too_long = reply.tokens_out - reply.reasoning
        return reply.tokens_in + reply.tokens_out

    def _average(self, guess: float, tokens_in: int, tokens_out: int) -> None:
        self._calls = self._calls * _MEMORY + 1
        self._guessed = self._guessed * _MEMORY + guess
        self._read = self._read * _MEMORY + tokens_in
        self._written = self._written * _MEMORY + tokens_out


def _guess(request: Request) -> float:
    return len(request.prompt.encode()) / _BYTES_PER_TOKEN + 1
