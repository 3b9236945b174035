"""The costs of M. Laurer's "Synthetic data: save money, time and carbon with open source" (February 2024), again.

What the article published for 1,000,000 sentences, what its own assumptions come to, and the same with today's
prices and grid. Where it gives only a total, the assumption is the one that its totals imply: $153 with GPT-3.5 at
$1.50 and $3061 with GPT-4 at $30 a million tokens are both 102 tokens a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tutelage.report.figures.rates import Rates

SENTENCES = 1_000_000
T4_SENTENCES_PER_SECOND = 61.0
T4_WATTS = 70.0
T4_USD_PER_HOUR = 0.6
VIRGINIA_KG_PER_KWH = 0.37
TOKENS = 3061 / 30
"""A sentence with its prompt; answers are not counted."""
GPT4_USD_PER_MILLION = 30.0
GPT4_KWH = (0.0017, 0.0026)
USA_KG_PER_KWH = 0.433

LLM_USD_PER_MILLION = 2.0
LLM_NAME = "GPT-4.1"
LLM_BASIS = "GPT-4.1's list price of April 2025, $2 a million tokens in"
LLM_KWH = (0.00024, 0.00034)
LLM_ENERGY_BASIS = "0.24 Wh (Google, median Gemini prompt, August 2025) to 0.34 Wh (OpenAI, June 2025) a call"


class Span(NamedTuple):
    """A value for one text, from low to high; the same where it is known."""

    low: float
    high: float


def exactly(value: float) -> Span:
    """A span of one value."""
    return Span(value, value)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A line of the article for 1,000,000 sentences, and what one sentence costs by its assumptions and today's.

    ``what`` is usd, seconds or kg; ``published`` is in the article's words.
    """

    who: str
    what: str
    published: str
    again: Span
    again_basis: str
    today: Span
    today_basis: str


def laurers_table(rates: Rates) -> tuple[Published, ...]:
    """The article's student and GPT-4: money, time and carbon."""
    seconds = 1 / T4_SENTENCES_PER_SECOND
    student, gpt = "RoBERTa-base on a T4", "GPT-4"
    return (
        Published(
            who=student,
            what="usd",
            published="$2.7",
            again=exactly(seconds / 3600 * T4_USD_PER_HOUR),
            again_basis="61 sentences a second, $0.60 an hour",
            today=exactly(seconds / 3600 * rates.gpu_hour.value),
            today_basis=f"61 sentences a second, ${rates.gpu_hour.value:.2f} an hour ({rates.gpu_hour.basis})",
        ),
        Published(
            who=gpt,
            what="usd",
            published="$3061",
            again=exactly(TOKENS * GPT4_USD_PER_MILLION / 1e6),
            again_basis="102 tokens a sentence, $30 a million",
            today=exactly(TOKENS * LLM_USD_PER_MILLION / 1e6),
            today_basis=f"102 tokens a sentence, {LLM_BASIS}",
        ),
        Published(
            who=student,
            what="seconds",
            published="4.52 hours; 0.13 s for one",
            again=exactly(seconds),
            again_basis="61 sentences a second",
            today=exactly(seconds),
            today_basis="the same card",
        ),
        Published(
            who=student,
            what="kg",
            published="0.12 kg",
            again=exactly(_kg(seconds / 3600, T4_WATTS / 1000, VIRGINIA_KG_PER_KWH)),
            again_basis="70 W, 0.37 kg CO2 per kWh (N. Virginia)",
            today=exactly(_kg(seconds / 3600, T4_WATTS / 1000, rates.grid.value)),
            today_basis=f"70 W, {rates.grid.value:g} kg CO2 per kWh ({rates.grid.basis})",
        ),
        Published(
            who=gpt,
            what="kg",
            published="735 to 1100 kg",
            again=Span(*(kwh * USA_KG_PER_KWH for kwh in GPT4_KWH)),
            again_basis="0.0017 to 0.0026 kWh a call, 0.433 kg CO2 per kWh (USA)",
            today=Span(*(kwh * rates.grid.value for kwh in LLM_KWH)),
            today_basis=f"{LLM_ENERGY_BASIS}, {rates.grid.value:g} kg CO2 per kWh",
        ),
    )


def _kg(hours: float, kilowatts: float, kg_per_kwh: float) -> float:
    return hours * kilowatts * kg_per_kwh
