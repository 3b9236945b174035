"""The embedded Argilla in the foreground: for containers and for services that another program watches."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tutelage.core.errors import ServerError
from tutelage.feedback.server.credentials import GivenCredentials, ensure_credentials
from tutelage.feedback.server.lifecycle import (
    STDERR,
    STOP_SECONDS,
    DetachedProcess,
    Server,
    alone_in,
    holder_of,
    report_crash,
    start_process,
)
from tutelage.feedback.server.listening import HOST, check_reach


def run_in_foreground(
    data_dir: Path | None = None,
    port: int | None = None,
    *,
    host: str = HOST,
    given: GivenCredentials | None = None,
    on_progress: Callable[[str], None],
    ready: Callable[[Server], None],
) -> None:
    """Run the embedded Argilla until SIGTERM or SIGINT, its log on standard error; parameters as for ``up``.

    ``ready`` is called when it answers.

    Raises
    ------
    ServerError
        As ``up``; also when one runs already, and when it ends by itself.
    """
    check_reach(host, given)
    # The first process of a container gets only the signals that it asks for.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with alone_in(data_dir, on_progress) as directory:
            _refuse_second(directory)
            report_crash(directory, on_progress)
            ensure_credentials(directory, given)
            server, process = start_process(directory, (host, port), STDERR, on_progress)
        _wait_for_end(process, lambda: ready(server))
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse_second(directory: Path) -> None:
    if holder := holder_of(directory):
        raise ServerError(
            f"The Argilla of {directory} runs already (process {holder['pid']}, {holder['url']}). "
            "Stop it first, with `tutelage down` or where it was started."
        )


def _wait_for_end(process: DetachedProcess, ready: Callable[[], None]) -> None:
    try:
        ready()
        status = process.wait()
    except KeyboardInterrupt:
        _stop(process)
    else:
        raise ServerError(f"Argilla ended by itself (exit status {status}); its log, above, says why. Start it again.")


def _stop(process: DetachedProcess) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # it hangs, or the person is in a hurry
        process.kill()
        process.wait()
