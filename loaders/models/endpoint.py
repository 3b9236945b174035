"""A model behind an endpoint with OpenAI's API. The only file that calls it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from tutelage.core.errors import TeacherError
from tutelage.core.teachers import Teacher
from tutelage.loaders.models.dialect import Dialect, FormTrial
from tutelage.loaders.models.model import OVERFLOW, Busy, Keep, Refused, Rejected, Reply, Request, not_kept
from tutelage.loaders.models.waiting import account_is_empty, rest_of, wait_asked_for
from tutelage.loaders.models.wire import read_reply

FILTERED = "content_filter"
_REQUEST_ERRORS = {400, 403, 413, 415, 422, 451, 501}  # the request is rejected: its text, or a parameter
_CRASHES = {500, 502}  # may be due to a response format that the server cannot handle
_KEEP_ALIVE = 5.0  # seconds that an idle connection is kept
_LONGEST_WAIT = 900.0  # seconds of Retry-After above which the run ends
_LONG_BODY = 100_000  # bytes from which reading would hold up other calls
_QUOTE_MAX_LENGTH = 300  # characters of an endpoint's message that are shown
_OVERFLOWS = re.compile(
    r"context.?(length|window|size)|maximum (context|sequence|input)|too many (input )?tokens|prompt is too long"
    r"|input.{0,20}too long|exceeds?.{0,40}(context|tokens)",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"request too large|too large for|reduce (your|the) (message|prompt|input)", re.IGNORECASE)
_FILTERS = re.compile(r"content.?(filter|policy|management)|safety (system|filter)|moderation", re.IGNORECASE)


class Endpoint:
    """Calls the endpoint through the ``openai`` client, without its retries: ``RetryingModel`` counts them."""

    def __init__(
        self, teacher: Teacher, key: str, *, dialect: Dialect, remember: Callable[[Dialect], None] = lambda _: None
    ) -> None:
        import httpx
        import openai

        self._response = httpx.Response
        self._teacher, self._key, self._remember = teacher, key, remember
        self._dialect = self._remembered = dialect
        self._trials: defaultdict[str, FormTrial] = defaultdict(FormTrial)
        self._openai = openai
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=teacher.base_url,
            max_retries=0,
            timeout=teacher.limits.timeout,
            http_client=openai.DefaultAioHttpClient(limits=_connections(teacher)),  # half the time of the default
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def answer(self, request: Request, keep: Keep = not_kept) -> Reply:
        """One chat completion, in the dialect that the endpoint supports."""
        known = dialect = self._dialect
        while True:
            form = dialect.form if request.labels and self._trials[dialect.form].is_worth_asking else ""
            try:
                reply = await self._completion(request, replace(dialect, form=form), keep)
            except self._openai.APIStatusError as error:
                dialect = self._simpler(error, dialect, form, request)
                continue
            self._learn(reply, request, known, dialect)
            return reply

    async def _completion(self, request: Request, dialect: Dialect, keep: Keep) -> Reply:
        body = dialect.body(request, model=self._teacher.model, logprobs=self._teacher.logprobs)
        try:
            async with asyncio.timeout(self._teacher.limits.timeout):  # the client's own timeout is per read
                # `post` takes half the time of `chat.completions.create`, and accepts bodies that are no completion.
                response = await self._client.post("/chat/completions", cast_to=self._response, body=body)
        except TimeoutError:
            raise Busy("timeout", lost=True) from None
        except self._openai.APIConnectionError as error:  # the client counts most of these among its time-outs
            raise _without_answer(error) from None
        form = dialect.form if request.labels else ""
        keep(response.content, form)
        if len(response.content) > _LONG_BODY:
            reply = await asyncio.to_thread(read_reply, response.content, form)
        else:
            reply = read_reply(response.content, form)
        return replace(reply, rest=rest_of(response.headers))

    def _simpler(self, error: Any, dialect: Dialect, form: str, request: Request) -> Dialect:
        """A dialect that may work after this HTTP status; raises the error that it stands for where there is none."""
        status, message = int(error.status_code), _message(error)
        if status in _REQUEST_ERRORS:
            self._check_refusal(status, message)
        is_refused = status in _REQUEST_ERRORS or (status >= 500 and form and dialect.is_about_form(message))
        simpler = dialect.without(message, request) if is_refused else None
        if not simpler or (not form and simpler.form != dialect.form):
            if status in _CRASHES and form:
                self._trials[form].failed()
            self._raise(status, message, error)
        return simpler

    def _check_refusal(self, status: int, message: str) -> None:
        if _FILTERS.search(message):
            raise Refused(FILTERED, self._quote(message))
        if status == 413 or _OVERFLOWS.search(message):
            raise Refused(OVERFLOW, self._quote(message))

    def _raise(self, status: int, message: str, error: Any) -> NoReturn:
        if status == 429 and _TOO_LARGE.search(message):
            raise Refused("too_large", self._quote(message))
        if status in {408, 409, 425, 429} or (status >= 500 and status not in _REQUEST_ERRORS):
            after = self._wait(status, message, error.response.headers)
            raise Busy(_kind(status), after=after, lost=_may_be_charged(status, told_to_wait=after is not None))
        words = f"teacher {self._teacher.name!r}: {self._advice(status)} ({status}: {self._quote(message)})"
        if status in _REQUEST_ERRORS:
            raise Rejected(str(status), words)
        raise TeacherError(words)

    def _advice(self, status: int) -> str:
        where = self._teacher.base_url
        if status in {401, 403}:
            return f"{where} rejected the API key; check api_key_env or api_key_file"
        if status == 402:
            return f"{where} has no credits left for this account; add credits there"
        if status == 404:
            return f"{where} has no model {self._teacher.model!r}; correct model or base_url"
        return f"{where} rejected the request; check model, parameters and extra_body"

    def _wait(self, status: int, message: str, headers: Any) -> float | None:
        """Seconds to wait, as the endpoint asks for; None where it does not say."""
        if status == 429 and account_is_empty(headers, message):
            raise TeacherError(
                f"teacher {self._teacher.name!r}: {self._advice(402)} ({status}: {self._quote(message)})"
            )
        wait = wait_asked_for(headers, message)
        if wait is not None and wait > _LONGEST_WAIT:
            raise TeacherError(
                f"teacher {self._teacher.name!r}: {self._teacher.base_url} accepts no calls for {wait:.0f} s;"
                " all answers so far are kept, run it again then"
            )
        return wait

    def _quote(self, message: str) -> str:
        """The endpoint's message on one line, without the key."""
        return " ".join(message.replace(self._key, "[key]").split())[:_QUOTE_MAX_LENGTH]

    def _learn(self, reply: Reply, request: Request, known: Dialect, dialect: Dialect) -> None:
        """Keep the dialect of an answer, and whether that followed the form."""
        if request.labels and reply.finish == "stop":
            followed = bool(reply.structured) and _is_vote(reply.text)
            self._judge(reply.structured, dialect.form, followed=followed)
            dialect = replace(dialect, settled=dialect.settled or followed)
        self._adopt(known, dialect)
        if self._dialect != self._remembered:
            self._remembered = self._dialect
            self._remember(self._dialect)

    def _judge(self, asked: str, form: str, *, followed: bool) -> None:
        if asked:
            self._trials[asked].answered(followed=followed)
        else:
            self._trials[form].answered_without()

    def _adopt(self, old: Dialect, new: Dialect) -> None:
        if self._dialect == old:  # else a concurrent call has changed it already
            self._dialect = new


def _message(error: Any) -> str:
    """The whole body of an error response, as text that any file takes."""
    body = error.body if error.body is not None else error.message
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()


def _connections(teacher: Teacher) -> Any:
    import httpx2

    return httpx2.Limits(max_connections=teacher.limits.concurrency, keepalive_expiry=_KEEP_ALIVE)


def _without_answer(error: BaseException | None) -> Busy:
    """What went wrong on the way, by the errors that led to this one."""
    names = set[str]()
    while error:
        names |= {kind.__name__ for kind in type(error).__mro__}
        error = error.__cause__
    if "ClientConnectorError" in names:
        return Busy("no connection")
    return Busy("timeout" if "ServerTimeoutError" in names else "dropped", lost=True)


def _may_be_charged(status: int, *, told_to_wait: bool) -> bool:
    """Whether the model may have been at work before the error, as when a gateway in front of it gives up."""
    return status == 408 or (status >= 500 and not (status in {503, 529} and told_to_wait))


def _kind(status: int) -> str:
    return str(status) if status < 500 else "5xx"


def _is_vote(text: str) -> bool:
    try:
        data = json.loads(text)
    except ValueError:
        return False
    return isinstance(data, dict) and {"reason", "label"} <= data.keys()
