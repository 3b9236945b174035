"""User names, passwords and API keys of the embedded Argilla: created once, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.core.errors import ServerError

FILE = "credentials.json"
WORKSPACE = "tutelage"
SHORTEST = 12


@dataclass(frozen=True)
class GivenCredentials:
    """The owner's, where a person chose them.

    Raises
    ------
    ServerError
        When one is so short that it can be guessed.
    """

    password: str = field(repr=False)
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, secret in (("ARGILLA_PASSWORD", self.password), ("ARGILLA_API_KEY", self.api_key)):
            if len(secret) < SHORTEST:
                raise ServerError(f"{name} has {len(secret)} characters and can be guessed: give {SHORTEST} or more.")


def read_credentials(data_dir: Path) -> dict[str, Any]:
    """The credentials of a data directory.

    Raises
    ------
    ServerError
        The file is missing or damaged.
    """
    path = data_dir / FILE
    try:
        credentials: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        accounts = [credentials["owner"], credentials["annotator"]]
        complete = credentials.keys() >= _new().keys() and all(
            account.keys() >= _account("").keys() for account in accounts
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise ServerError(
            f"The credentials of the embedded Argilla cannot be read: {path} is missing or damaged. "
            "Stop the server, remove the file and run `tutelage up`: it creates new passwords and keys; the data stay."
        )
    return credentials


def ensure_credentials(data_dir: Path, given: GivenCredentials | None = None) -> None:
    """Create the credentials where there are none yet; those that were given become the owner's."""
    exist = (data_dir / FILE).exists()
    credentials = read_credentials(data_dir) if exist and given else _new()
    if given:
        credentials["owner"] |= {"password": given.password, "api_key": given.api_key, "given": True}
    if given or not exist:
        _write(data_dir / FILE, credentials)


def note_password(data_dir: Path, username: str, password: str) -> bool:
    """Write down the new password of one of the two accounts; False where the name is neither's."""
    credentials = read_credentials(data_dir)
    accounts = [one for one in (credentials["owner"], credentials["annotator"]) if one["username"] == username]
    for account in accounts:
        account["password"] = password
        _write(data_dir / FILE, credentials)
    return bool(accounts)


def _new() -> dict[str, Any]:
    return {
        "owner": _account("owner"),
        "annotator": _account("annotator"),
        "auth_secret": secrets.token_hex(32),
        "workspace": WORKSPACE,
    }


def _account(name: str) -> dict[str, str]:
    return {"username": name, "password": secrets.token_urlsafe(12), "api_key": secrets.token_urlsafe(48)}


def _write(path: Path, credentials: dict[str, Any]) -> None:
    """Write the file atomically, and readable by its owner only from the start."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        json.dump(credentials, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.rename(path)
