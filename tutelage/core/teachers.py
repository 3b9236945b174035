"""The teachers in the task file: which model is asked, with which prompts, how often, how fast and at what price."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

HUGGING_FACE = "https://router.huggingface.co/v1"

NonEmpty = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Votes = Annotated[int, Field(ge=1, le=99)]
Temperature = Annotated[float, Field(ge=0, le=5)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1)]


class Prompt(Strict):
    """A prompt of a teacher: a shipped one, or ``file`` in the task directory. What it omits, the teacher sets."""

    name: Annotated[str, Field(max_length=60)]
    file: str = ""
    votes: Votes | None = None
    temperature: Temperature | None = None
    max_tokens: Tokens | None = None

    @field_validator("name")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
            raise ValueError("use letters, digits, '.', '_' and '-', starting with a letter or digit")
        return value


class RateLimits(Strict):
    """What an endpoint allows: requests and tokens per minute, concurrent calls; ``timeout`` in seconds per call."""

    rpm: Annotated[float, Field(gt=0)] | None = None
    tpm: Annotated[float, Field(gt=0)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=2000)] = 32
    timeout: Annotated[float, Field(gt=0)] = 60.0
    attempts: Annotated[int, Field(ge=1)] = 8


Dollars = Annotated[float, Field(ge=0)]


class Price(Strict):
    """US dollars per million tokens, in force from the day ``since``.

    ``cached`` is for input that the endpoint reads from its cache, ``reasoning`` for the tokens of a
    model's thinking; where they are not given, they cost what ``input`` and ``output`` cost.
    """

    since: date
    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    reasoning: Dollars | None = None


class DatedValue(Strict):
    """A price or a factor, in force from the day ``since``."""

    since: date
    value: Annotated[float, Field(ge=0)]


class Costs(Strict):
    """What the report computes money and carbon with; each has a default, dated in the report.

    ``country`` (three letters, such as DEU) takes kg of CO2 per kWh from codecarbon's table, ``grid`` states it;
    ``core_hour`` and ``gpu_hour`` are US dollars an hour, ``review`` is US dollars for one text that people review.
    """

    country: str = ""
    grid: DatedValue | None = None
    core_hour: DatedValue | None = None
    gpu_hour: DatedValue | None = None
    review: DatedValue | None = None

    @field_validator("country")
    @classmethod
    def _is_a_code(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Z]{3}", value):
            raise ValueError("must be a country's code of three capitals (ISO 3166-1), such as DEU or USA")
        return value

    @field_validator("grid")
    @classmethod
    def _is_kilograms(cls, value: DatedValue | None) -> DatedValue | None:
        if value and value.value > 2:
            raise ValueError("is in kg of CO2 per kWh, such as 0.38; no grid has more than 2")
        return value


class Escalate(Strict):
    """Ask this teacher only where the votes before it tie, abstain, or agree less than ``agreement_below``."""

    agreement_below: Fraction = 0.7


class LocalSettings(Strict):
    """How a model runs in this process; ``batch`` is how many answers are generated together."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch: Annotated[int, Field(ge=1)] = 8
    seed: int = 0


class Teacher(Strict):
    """An LLM that votes. ``license`` names the licence or terms of its output.

    Without ``model`` it is not asked: its votes were imported. With ``engine: transformers`` the
    model runs in this process; otherwise ``base_url`` is an endpoint with OpenAI's API. API keys are
    never in the task file: ``api_key_env`` names an environment variable, ``api_key_file`` a file.
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
            raise ValueError("must start with http:// or https:// and name a host")
        if parts.username or parts.password or parts.query:
            raise ValueError("must contain no key, password or query; name the key's variable in api_key_env")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError(
                "must be the name of an environment variable in capitals, such as HF_TOKEN, not the key itself"
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
            raise ValueError(f"prompts: {max(names, key=names.count)!r} is listed twice; set its votes instead")
        for prompt in self.prompts:
            temperature = self.temperature if prompt.temperature is None else prompt.temperature
            if temperature == 0 and (prompt.votes or self.votes) > 1:
                raise ValueError(
                    f"prompts: {prompt.name!r} has several votes at temperature 0, where all answers are the same;"
                    " set its votes to 1 or raise its temperature"
                )
        return self

    def price_on(self, day: date) -> Price | None:
        """The price in force on ``day``: the latest one listed by then; None where there is none."""
        return max((price for price in self.prices if price.since <= day), key=lambda p: p.since, default=None)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
