"""Argilla over HTTP: retries while a server is briefly unreachable, a clear error where it stays so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import httpx

from tutelage.core.errors import ServerError

BULK_LIMIT = 500
PAGE = 1000
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between attempts, while the server does not answer or answers with 429 or 5xx: longer than a restart."""
SAY_FROM = 2.0
"""A wait as long as this is said."""
LATE = 5.0
"""An answer that takes longer is said too: a server that starts takes connections before it answers."""

T = TypeVar("T")


class RefusedError(ServerError):
    """The server rejected a request (4xx)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Remote:
    """JSON requests to one Argilla server, through an authenticated HTTP client."""

    def __init__(
        self, http: httpx.Client, *, waits: Sequence[float] = WAITS, say: Callable[[str], None] = lambda _words: None
    ) -> None:
        self._http, self._waits, self._say = http, waits, say

    @property
    def url(self) -> str:
        """The server's address without a slash at the end."""
        return str(self._http.base_url).rstrip("/")

    def patiently(self, call: Callable[[], T], is_passing: Callable[[Exception], bool]) -> T:
        """The result of ``call``, retried after each wait while its error is transient.

        Raises
        ------
        ServerError
            When the last attempt failed too.
        """
        for number, wait in enumerate(self._waits):
            try:
                return call()
            except Exception as error:
                if not is_passing(error):
                    raise
                self._wait(number, wait, error)
        try:
            return call()
        except Exception as error:
            if not is_passing(error):
                raise
            raise ServerError(
                f"Argilla at {self.url} does not answer ({_describe(error)}). Everything sent so far is kept; "
                "when the server is up, run the same command again."
            ) from None

    def _wait(self, number: int, wait: float, error: Exception) -> None:
        """Wait, and say so once where it takes long enough to wonder."""
        if wait >= SAY_FROM > max(self._waits[:number], default=0):
            left = sum(self._waits[number:])
            self._say(f"Argilla at {self.url} does not answer ({_describe(error)}); waiting up to {left:.0f} s for it.")
        time.sleep(wait)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """The JSON body of the answer to a request, None where it is empty.

        Raises
        ------
        RefusedError
            On 4xx, with the server's message.
        ServerError
            When the server stays unreachable, or what answers is no Argilla.
        """
        response = self.patiently(lambda: self._once(method, path, options), is_passing)
        if response.is_client_error:
            raise RefusedError(f"{method} {path}: {response.status_code} {_detail(response)}", response.status_code)
        return _body(response) if response.content or method == "GET" else None

    def change(self, method: str, path: str, body: Any = None) -> None:
        """Make or change a thing; the answer must show it, else nothing was done."""
        answer = self.request(method, path, json=body)
        if not answer or "id" not in answer:
            raise ServerError(
                f"{method} {path} at {self.url} was answered without what it makes, so it counts as not done. "
                "Is there a gateway before Argilla? Run the same command again."
            )

    def _once(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        late = threading.Timer(LATE, self._say, [f"Argilla at {self.url} is slow to answer; still waiting for it."])
        late.daemon = True
        late.start()
        try:
            response = self._http.request(method, f"/api/v1/{path}", **options)
        finally:
            late.cancel()
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            response.raise_for_status()
        return response

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All items of a listing, page by page."""
        offset = 0
        while items := self.request("GET", path, params={**params, "offset": offset, "limit": PAGE})["items"]:
            yield from items
            offset += len(items)


class _Answer(dict[str, Any]):
    """An object in an answer; where a key is missing that Argilla always sends, somebody else has answered."""

    def __init__(self, pairs: Iterable[tuple[str, Any]], response: httpx.Response) -> None:
        super().__init__(pairs)
        self._response = response

    def __missing__(self, key: str) -> Any:
        raise _foreign(self._response, f"no {key!r}")


def _body(response: httpx.Response) -> _Answer:
    """The object that an answer holds; a gateway may answer anything with status 200."""
    try:
        body = response.json(object_pairs_hook=lambda pairs: _Answer(pairs, response))
    except (ValueError, RecursionError):
        raise _foreign(response, "a body that is not JSON") from None
    if not isinstance(body, _Answer):
        raise _foreign(response, "no JSON object")
    items = body.get("items", [])
    if not isinstance(items, list) or not all(isinstance(item, _Answer) for item in items):
        raise _foreign(response, "no list of objects as 'items'")
    return body


def _foreign(response: httpx.Response, what: str) -> ServerError:
    request = response.request
    return ServerError(
        f"{request.method} {request.url} was answered {response.status_code} with {what}; "
        "is that the address of an Argilla server (ARGILLA_API_URL), or does a gateway before it answer in its place?"
    )


def is_passing(error: Exception) -> bool:
    """Whether an error is transient: no answer, 429, or 5xx."""
    if isinstance(error, httpx.TransportError):
        return True
    if isinstance(
        error.__cause__, Exception
    ):  # the SDK's errors have status 500 where it is unknown; their cause has the real one
        return is_passing(error.__cause__)
    status = getattr(getattr(error, "response", error), "status_code", 0)
    return bool(status == httpx.codes.TOO_MANY_REQUESTS or status >= 500)


def _describe(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return str(error) or type(error).__name__


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
