"""What the environment, or ``.env`` in the task directory, says: addresses and secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tutelage.core.errors import TaskError


class Settings(BaseSettings):
    """Without ``ARGILLA_API_URL`` every command speaks to the embedded Argilla.

    A secret may stand in a file, as containers have it: ``ARGILLA_API_KEY_FILE`` names it where there is no
    ``ARGILLA_API_KEY``, and so for the password.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    argilla_api_url: str | None = None
    argilla_api_key: SecretStr | None = None
    argilla_api_key_file: Path | None = None
    argilla_password: SecretStr | None = None
    argilla_password_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in ("argilla_api_key", "argilla_password"):
            file = values.get(f"{name}_file")
            if file and not values.get(name):
                values[name] = _secret_in(Path(file), f"{name}_file".upper())
        return values


def load_settings(directory: Path) -> Settings:
    """The environment's settings; those in ``directory/.env`` where the environment has none."""
    check_env_file(directory)
    return Settings(_env_file=directory / ".env")  # type: ignore[call-arg]  # its types do not list it


def _secret_in(path: Path, name: str) -> str:
    try:
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{name} names {path}, which cannot be read: {error}") from None
    if not secret:
        raise TaskError(f"{name} names {path}, which is empty; it must hold the secret and nothing else")
    return secret


def check_env_file(directory: Path) -> None:
    """Refuse a ``.env`` that is no text.

    Raises
    ------
    TaskError
        With what to do about it.
    """
    path = directory / ".env"
    try:
        path.read_text("utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read: {error}. Save it as a UTF-8 text file.") from None


def unprintable(key: str) -> int:
    """The place, from 1, of the first character that cannot stand in an API key; 0 where all can."""
    return next((place for place, char in enumerate(key, 1) if not "!" <= char <= "~"), 0)


_USERINFO = re.compile(r"^(\w+://)([^/?#]*)@")


def split_userinfo(url: str) -> tuple[str, tuple[str, str] | None]:
    """An address without the user name and password in it, and these; None where it has none.

    A gateway before the server may ask for them. They are sent to it, and neither kept nor shown.
    """
    found = _USERINFO.match(url)
    if found is None:
        return url, None
    user, _, password = found[2].partition(":")
    return _USERINFO.sub(r"\1", url), (unquote(user), unquote(password))
