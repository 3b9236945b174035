"""The teachers' part of the task file: which model is asked how, how often, how fast and at what price."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

HUGGING_FACE = "https://router.huggingface.co/v1"

NonEmpty = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    """A frozen model that takes no key it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Votes = Annotated[int, Field(ge=1, le=99)]
Temperature = Annotated[float, Field(ge=0, le=5)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1)]


class Prompt(Strict):
    """A prompt that a teacher is asked with: one that is shipped, or ``file`` in the task directory.

    What is left out is as the teacher says.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]
    file: str = ""
    votes: Votes | None = None
    temperature: Temperature | None = None
    max_tokens: Tokens | None = None


class RateLimits(Strict):
    """What an endpoint allows: requests and tokens a minute, calls at once; ``timeout`` in seconds for a whole call."""

    rpm: Annotated[float, Field(gt=0)] | None = None
    tpm: Annotated[float, Field(gt=0)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=2000)] = 32
    timeout: Annotated[float, Field(gt=0)] = 60.0
    attempts: Annotated[int, Field(ge=1)] = 8


class Price(Strict):
    """US dollars for a million tokens, as listed on the day ``since``."""

    since: date
    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class Escalate(Strict):
    """Ask this teacher only where the votes before it tie, abstain, or agree less than ``agreement_below``."""

    agreement_below: Fraction = 0.7


class LocalSettings(Strict):
    """How a model runs in this process; ``batch`` is how many answers are written at once."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch: Annotated[int, Field(ge=1)] = 8
    seed: int = 0


class Teacher(Strict):
    """An LLM that votes. ``license`` names the licence or terms of its output.

    Without ``model`` it is not asked: its votes were imported. With ``engine: transformers`` the
    model runs in this process; otherwise ``base_url`` is an endpoint that speaks OpenAI's protocol.
    Keys never stand here: ``api_key_env`` names an environment variable, ``api_key_file`` a file.
    """

    name: NonEmpty
    license: NonEmpty
    model: str = ""
    engine: Literal["openai", "transformers"] = "openai"
    base_url: str = HUGGING_FACE
    api_key_env: str = ""
    api_key_file: str = ""
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)] = (Prompt(name="cot"),)
    votes: Votes = 3
    temperature: Temperature | None = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Tokens = 512
    seed: int | None = None
    logprobs: bool = False
    extra_body: dict[str, Any] = Field(default_factory=dict)
    early_stop: bool = False
    escalate: Escalate | None = None
    limits: RateLimits = RateLimits()
    prices: tuple[Price, ...] = ()
    local: LocalSettings = LocalSettings()

    @field_validator("prompts", mode="before")
    @classmethod
    def _plain_names(cls, value: Any) -> Any:
        """``- cot`` is short for ``- name: cot``."""
        return [{"name": item} if isinstance(item, str) else item for item in value] if _is_list(value) else value

    @field_validator("base_url")
    @classmethod
    def _has_no_secret(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must begin with http:// or https:// and name a host")
        if parts.username or parts.password or parts.query:
            raise ValueError("must hold no key, password or query; name the key's variable in api_key_env")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError(
                "must be the name of an environment variable in capitals, such as HF_TOKEN, never the key itself"
            )
        return value

    @field_validator("escalate", mode="before")
    @classmethod
    def _plain_true(cls, value: Any) -> Any:
        """``escalate: true`` takes the defaults."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Teacher:
        names = [prompt.name for prompt in self.prompts]
        if len(set(names)) < len(names):
            raise ValueError(f"prompts: {max(names, key=names.count)!r} stands twice; give its votes a number instead")
        for prompt in self.prompts:
            heat = self.temperature if prompt.temperature is None else prompt.temperature
            if heat == 0 and (prompt.votes or self.votes) > 1:
                raise ValueError(
                    f"prompts: {prompt.name!r} would be asked several times at temperature 0 and say the same;"
                    " set its votes to 1 or its temperature higher"
                )
        return self

    def price_on(self, day: date) -> Price | None:
        """The price in force on ``day``: the newest that is not later; None where none is listed."""
        return max((price for price in self.prices if price.since <= day), key=lambda p: p.since, default=None)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
