"""What an endpoint sends, as bytes, and the reply that is read from them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.loaders.models.model import Busy, Reply

_TOKENS_MOST = 10**9
_DIGITS_MOST = 18
_SURROGATES = re.compile("[\ud800-\udfff]")


def read_reply(body: bytes, structured: str = "") -> Reply:
    """The reply in the body of a chat completion.

    Raises
    ------
    Busy
        When it is none, or holds no answer: worth another attempt.
    """
    try:
        data = json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError):
        data = None
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list):
        raise Busy("garbage", lost=True)
    if not choices:
        raise Busy("empty choices", lost=True)
    return _reply(_mapping(choices[0]), _mapping(data.get("usage")), structured)


def body_of(reply: Reply) -> bytes:
    """The body of a chat completion with this reply, for models that send none."""
    choice = {"finish_reason": reply.finish, "message": {"content": reply.text}}
    usage = {"prompt_tokens": reply.tokens_in, "completion_tokens": reply.tokens_out}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def _reply(choice: Mapping[str, Any], usage: Mapping[str, Any], structured: str) -> Reply:
    message = _mapping(choice.get("message"))
    finish = choice.get("finish_reason")
    tokens_in, tokens_out, reasoning = _tokens(usage)
    return Reply(
        text=_clean(_content(message)),
        finish="refusal"
        if message.get("refusal")
        else _clean(finish)
        if isinstance(finish, str) and finish
        else "stop",
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cached=min(tokens_in or 0, _cached(usage)),
        reasoning=reasoning,
        structured=structured,
        logprobs=_logprobs(_mapping(choice.get("logprobs")).get("content")),
    )


def _tokens(usage: Mapping[str, Any]) -> tuple[int | None, int | None, int]:
    """Tokens in, tokens out with those of the thinking, and these alone."""
    tokens_in, answer = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    total = _count(usage.get("total_tokens"))
    reasoning = _count(_mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")) or 0
    if tokens_in is None and total is not None and answer is not None:
        tokens_in = max(0, total - answer)
    tokens_out = answer
    if total is not None and tokens_in is not None:  # thinking may be counted in the total only
        tokens_out = max(answer or 0, total - tokens_in)
    if tokens_out is not None and reasoning > tokens_out:  # or in its own place only
        tokens_out += reasoning
    return tokens_in, tokens_out, max(reasoning, (tokens_out or 0) - (answer or 0) if answer is not None else 0)


def _cached(usage: Mapping[str, Any]) -> int:
    """Tokens that were read from the endpoint's cache, under the names that endpoints give them."""
    details = _mapping(usage.get("prompt_tokens_details")).get("cached_tokens")
    return _count(details) or _count(usage.get("prompt_cache_hit_tokens")) or 0


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):
        content = "".join(text for part in content if isinstance(text := _mapping(part).get("text"), str))
    return content if isinstance(content, str) else ""


def _logprobs(tokens: Any) -> tuple[tuple[str, float], ...]:
    """Tokens and their log probabilities; none where any of them has no number."""
    found = []
    for token in tokens if isinstance(tokens, Sequence) else ():
        word, logprob = _mapping(token).get("token"), _mapping(token).get("logprob")
        if not isinstance(word, str) or not isinstance(logprob, int | float) or not math.isfinite(logprob):
            return ()
        found.append((_clean(word), min(0.0, float(logprob))))
    return tuple(found)


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOKENS_MOST
    return value if is_count else None


def _integer(digits: str) -> int | None:
    """An integer of a JSON text; None for one of thousands of digits, which Python refuses to read."""
    return int(digits) if len(digits) <= _DIGITS_MOST else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _clean(text: str) -> str:
    """The text without halves of characters, which no database takes."""
    return _SURROGATES.sub("\ufffd", text)
