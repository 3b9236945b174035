"""Signing in to the Argilla that a task is reviewed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tutelage.core.errors import ServerError
from tutelage.core.settings import Settings
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.remote import WAITS


def sign_in(
    settings: Settings,
    data_dir: Path | None = None,
    *,
    say: Callable[[str], None] = lambda _words: None,
    waits: Sequence[float] = WAITS,
) -> ArgillaClient:
    """Connect to the Argilla that the environment names, else to the embedded one.

    ``say`` tells of waiting for it; ``waits`` are the seconds between attempts.

    Raises
    ------
    ServerError
        When there is none, it does not answer, or it refuses the key.
    """
    from tutelage.feedback.server.lifecycle import await_server

    if settings.argilla_api_url:
        if settings.argilla_api_key is None:
            raise ServerError("ARGILLA_API_URL is set but ARGILLA_API_KEY is not; set both, in the environment or .env")
        return ArgillaClient(
            settings.argilla_api_url, settings.argilla_api_key.get_secret_value(), say=say, waits=waits
        )
    server = await_server(data_dir, say)
    if server is None:
        raise ServerError(
            "no Argilla is running; start one with: tutelage up (or set ARGILLA_API_URL, ARGILLA_API_KEY)"
        )
    return ArgillaClient(server.url, server.api_key, annotator=server.annotator, say=say, waits=waits)
