"""Where the embedded Argilla listens: on this machine, or for others where it was given credentials."""

from __future__ import annotations

import errno
import ipaddress
import socket

from tutelage.core.errors import ServerError
from tutelage.feedback.server.credentials import GivenCredentials

HOST = "127.0.0.1"
PORT = 6900
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what this machine itself calls them by


def check_reach(host: str, given: GivenCredentials | None) -> None:
    """Refuse an address that other machines reach where the owner's password and key were not given.

    Raises
    ------
    ServerError
        With what to set.
    """
    if given is None and not _is_loopback(host):
        raise ServerError(
            f"Other machines can reach {host}, so the owner's password and API key must be yours: set "
            "ARGILLA_PASSWORD and ARGILLA_API_KEY, or ARGILLA_PASSWORD_FILE and ARGILLA_API_KEY_FILE, "
            "and run the command again."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def free_port(wanted: int = PORT) -> int:
    """The wanted port, or 0, which stands for any free one, where it is in use."""
    try:
        with listener_on(HOST, wanted):
            return wanted
    except ServerError:
        return 0


def listener_on(host: str, port: int) -> socket.socket:
    """A listening socket, bound here so that a port in use is reported at once."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise ServerError(
                f"Argilla cannot listen on {host}:{port}: {error.strerror}. Choose another address."
            ) from error
        raise ServerError(
            f"Port {port} of {host} is in use by another program, so Argilla cannot listen there. "
            "Stop that program or choose another port (0 picks a free one)."
        ) from error
    return listener


def url_of_listener(listener: socket.socket) -> str:
    """The address by which programs on this machine reach it."""
    host, port = listener.getsockname()[:2]
    host = _LOOPBACK_OF.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
