"""What the environment, or ``.env`` in the task directory, says: addresses and secrets."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Without ``ARGILLA_API_URL`` every command speaks to the embedded Argilla."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    argilla_api_url: str | None = None
    argilla_api_key: SecretStr | None = None


def load_settings(directory: Path) -> Settings:
    """The environment's settings; those in ``directory/.env`` where the environment has none."""
    return Settings(_env_file=directory / ".env")  # type: ignore[call-arg]  # its types do not list it
