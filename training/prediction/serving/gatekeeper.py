"""Which requests ``serve-student`` hears: none that a foreign web page makes a browser send.

A page can make the browser of whoever looks at it send requests to this machine. It cannot choose ``Origin`` and
``Host``, nor send JSON to another origin without asking first, which is not answered:

- Where only this machine can connect, ``Host`` must be a loopback name or an IP address: the name of a page that now
  points here (DNS rebinding) is none.
- Where there is an ``Origin``, it must be the ``Host``.
- The body of a request must be declared to be JSON.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

JSON = "application/json"


class Gatekeeper:
    """An ASGI application that refuses foreign requests, and hands the others on.

    Parameters
    ----------
    app
        Gets what is let in.
    local
        Whether only this machine can connect.
    """

    def __init__(self, app: Any, *, local: bool) -> None:
        self._app, self._local = app, local

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 403, or let it in."""
        from starlette.datastructures import Headers
        from starlette.responses import JSONResponse

        why = refusal(Headers(scope=scope), local=self._local) if scope["type"] == "http" else ""
        await (JSONResponse({"error": why}, 403) if why else self._app)(scope, receive, send)


def refusal(headers: Mapping[str, str], *, local: bool) -> str:
    """Why a request with these headers is refused; empty where it is not."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if local and host and not _is_local(_name_and_port(f"http://{host}")[0]):
        return f"the host {host!r} is not this machine's; ask for http://127.0.0.1 or http://localhost"
    if origin is not None and not _is_same(origin, host):
        return f"web pages of {origin!r} may not ask this student; a proxy in front of both can let them"
    return ""


def _is_local(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _is_same(origin: str, host: str) -> bool:
    page = _name_and_port(origin)
    return bool(page[0]) and page == _name_and_port(f"{origin.partition('://')[0]}://{host}")


def _name_and_port(url: str) -> tuple[str, int | None]:
    """In lower case, with the port that the scheme stands for; an empty name for what is no URL."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").rstrip("."), parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None


def is_json(content_type: str) -> bool:
    """Whether a body of this ``Content-Type`` is declared to be JSON."""
    return content_type.partition(";")[0].strip().lower() == JSON
