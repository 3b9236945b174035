"""A model behind an endpoint that speaks OpenAI's protocol. The one file that talks to it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from tutelage.core.errors import TeacherError
from tutelage.core.teachers import Teacher
from tutelage.loaders.models.dialect import Dialect
from tutelage.loaders.models.model import OVERFLOW, Busy, Refused, Reply, Request

FILTERED = "content_filter"
_COMPLAINTS = {400, 403, 413, 415, 422, 451, 501}  # the request is at fault: its text, or a parameter
_LONGEST_WAIT = 900.0  # seconds that an endpoint may ask for before the run ends
_QUOTES_MOST = 300  # characters of an endpoint's message that are shown
_OVERFLOWS = re.compile(
    r"context.?(length|window|size)|maximum (context|sequence|input)|too many (input )?tokens|prompt is too long"
    r"|input.{0,20}too long|exceeds?.{0,40}(context|tokens)",
    re.IGNORECASE,
)
_FILTERS = re.compile(r"content.?(filter|policy|management)|safety (system|filter)|moderation", re.IGNORECASE)
_USED_UP = re.compile(r"insufficient_quota|exceeded your current quota|billing|credit", re.IGNORECASE)


class Endpoint:
    """Asks through the ``openai`` client, once a call: patience is the asker's, where it is counted."""

    def __init__(
        self, teacher: Teacher, key: str, *, dialect: Dialect, remember: Callable[[Dialect], None] = lambda _: None
    ) -> None:
        import openai

        self._teacher, self._key, self._remember = teacher, key, remember
        self._dialect = self._remembered = dialect
        self._openai = openai
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=teacher.base_url, max_retries=0, timeout=teacher.limits.timeout
        )
        self._answered = False

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def answer(self, request: Request) -> Reply:
        """One chat completion, in the dialect that the endpoint takes."""
        while True:
            dialect = self._dialect
            try:
                reply = await self._completion(request, dialect)
            except self._openai.APIStatusError as error:
                self._judge(error, dialect, request)
                continue  # in the humbler dialect
            self._learn(reply, request, dialect)
            return reply

    async def _completion(self, request: Request, dialect: Dialect) -> Reply:
        body = dialect.body(request, model=self._teacher.model, logprobs=self._teacher.logprobs)
        try:
            async with asyncio.timeout(self._teacher.limits.timeout):  # the client's own limit is for each read
                # Its plain `post` takes half the time of `chat.completions.create`, and bodies that are no completion.
                content = await self._client.post("/chat/completions", cast_to=str, body=body)
        except (TimeoutError, self._openai.APITimeoutError):
            raise Busy("timeout", lost=True) from None
        except self._openai.APIConnectionError as error:
            unheard = type(error.__cause__).__name__ == "ConnectError"
            raise Busy("no connection" if unheard else "dropped", lost=not unheard) from None
        return _reply(content, dialect.form if request.labels else "")

    def _judge(self, error: Any, dialect: Dialect, request: Request) -> None:
        """Raise what an HTTP error means; return where a humbler dialect may do."""
        status, said = int(error.status_code), _said(error)
        if status in _COMPLAINTS:
            self._refuse_text(status, said)
            if humbler := dialect.without(said, request):
                self._adopt(dialect, humbler)
                return
        self._raise(status, said, error)

    def _refuse_text(self, status: int, said: str) -> None:
        if _FILTERS.search(said):
            raise Refused(FILTERED, self._quote(said))
        if status == 413 or _OVERFLOWS.search(said):
            raise Refused(OVERFLOW, self._quote(said))

    def _raise(self, status: int, said: str, error: Any) -> None:
        if status in {408, 409, 425, 429} or status >= 500:
            raise Busy(_kind(status), after=self._wait(status, said, error.response.headers))
        if status in _COMPLAINTS and self._answered:
            raise Refused("bad_request", self._quote(said))
        raise TeacherError(f"teacher {self._teacher.name!r}: {self._blame(status)} ({status}: {self._quote(said)})")

    def _blame(self, status: int) -> str:
        where = self._teacher.base_url
        if status in {401, 403}:
            return f"{where} refuses the key; check api_key_env or api_key_file"
        if status == 402:
            return f"{where} wants to be paid first; add credits there"
        if status == 404:
            return f"{where} knows no model {self._teacher.model!r}; correct model or base_url"
        return f"{where} refuses the request; check model, parameters and extra_body"

    def _wait(self, status: int, said: str, headers: Any) -> float | None:
        """Seconds that the endpoint wants to be left alone; None where it does not say."""
        if status == 429 and _USED_UP.search(said):
            raise TeacherError(f"teacher {self._teacher.name!r}: {self._blame(402)} ({status}: {self._quote(said)})")
        wait = retry_after(headers)
        if wait is not None and wait > _LONGEST_WAIT:
            raise TeacherError(
                f"teacher {self._teacher.name!r}: {self._teacher.base_url} takes no calls for {wait:.0f} s;"
                " what arrived is kept, run it again then"
            )
        return wait

    def _quote(self, said: str) -> str:
        """The endpoint's words on one line, without the key."""
        return " ".join(said.replace(self._key, "[key]").split())[:_QUOTES_MOST]

    def _learn(self, reply: Reply, request: Request, dialect: Dialect) -> None:
        self._answered = True
        if request.labels and not dialect.settled and reply.finish == "stop":
            self._adopt(dialect, dialect.confirmed(obeyed=_is_vote(reply.text)))
        if self._dialect != self._remembered:
            self._remembered = self._dialect
            self._remember(self._dialect)

    def _adopt(self, old: Dialect, new: Dialect) -> None:
        if self._dialect == old:  # a call that ran beside this one may have learned it already
            self._dialect = new


def _said(error: Any) -> str:
    """Everything that the endpoint says about an error: its body as text."""
    body = error.body if error.body is not None else error.message
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)


def _kind(status: int) -> str:
    return str(status) if status < 500 else "5xx"


def retry_after(headers: Any) -> float | None:
    """Seconds from ``retry-after-ms`` or ``Retry-After``, which is seconds or a date (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, _timestamp(headers["retry-after"]) - _now(headers))
    except (KeyError, ValueError):
        return None


def _now(headers: Any) -> float:
    """The endpoint's own clock where it shows it."""
    return _timestamp(headers["date"]) if "date" in headers else time.time()


def _timestamp(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


def _reply(content: str, form: str) -> Reply:
    """Read a completion's body; anything that is none is worth another attempt."""
    try:
        data = json.loads(content)
        choices, usage = data["choices"], data.get("usage") or {}
        choice = choices[0] if choices else None
        message = choice["message"] if choice else {}
        text, finish = _content(message), str(choice.get("finish_reason") or "stop") if choice else ""
        tokens = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise Busy("garbage", lost=True) from None
    if choice is None:
        raise Busy("empty choices", lost=True)
    return Reply(text, "refusal" if message.get("refusal") else finish, *tokens, form, _logprobs(choice))


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or message.get("refusal") or ""
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _logprobs(choice: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    tokens = ((choice.get("logprobs") or {}).get("content")) or ()
    return tuple((str(token["token"]), float(token["logprob"])) for token in tokens)


def _is_vote(text: str) -> bool:
    try:
        data = json.loads(text)
    except ValueError:
        return False
    return isinstance(data, dict) and {"reason", "label"} <= data.keys()
