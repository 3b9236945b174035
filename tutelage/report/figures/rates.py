"""Dated prices and grid factors: the task's, codecarbon's for a country, else defaults that name their source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tutelage.core.teachers import Costs, DatedValue
from tutelage.training.cost import GRID_KG_CO2_PER_KWH, USD_PER_CORE_HOUR, USD_PER_GPU_HOUR

_TABLE = Path("data", "private_infra", "global_energy_mix.json")
USD_PER_REVIEW = 0.25


@dataclass(frozen=True)
class Rate:
    """A value, and where and when it is from."""

    value: float
    basis: str


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Kg of CO2 per kWh; US dollars for an hour of a core, an hour of a GPU, and one text that people review."""

    grid: Rate
    core_hour: Rate
    gpu_hour: Rate
    review: Rate


def rates_on(costs: Costs, today: date) -> Rates:
    """The rates in force on a day."""
    return Rates(
        grid=_own(costs.grid, today) or _of_country(costs.country),
        core_hour=_own(costs.core_hour, today)
        or Rate(USD_PER_CORE_HOUR, "list price of a core of a general-purpose cloud machine, November 2025"),
        gpu_hour=_own(costs.gpu_hour, today) or Rate(USD_PER_GPU_HOUR, "a T4, Laurer, February 2024"),
        review=_own(costs.review, today) or Rate(USD_PER_REVIEW, "an assumption: 30 seconds at 30 dollars an hour"),
    )


def _own(value: DatedValue | None, today: date) -> Rate | None:
    """What the task file says, where it is in force."""
    if value is None or value.since > today:
        return None
    return Rate(value.value, f"task.yaml, since {value.since.isoformat()}")


def _of_country(code: str) -> Rate:
    world = "world average of 2024, IEA, Electricity 2025"
    if not code:
        return Rate(GRID_KG_CO2_PER_KWH, world)
    try:
        row = _codecarbon()[code]
        basis = f"{row['country_name']}, {row['year']}, table of codecarbon {version('codecarbon')}"
        return Rate(float(row["carbon_intensity"]) / 1000, basis)
    except (PackageNotFoundError, OSError):
        return Rate(GRID_KG_CO2_PER_KWH, f"{world}; for {code}: pip install 'tutelage[carbon]'")
    except (LookupError, ValueError, TypeError):
        return Rate(GRID_KG_CO2_PER_KWH, f"{world}; codecarbon's table has no factor for {code}")


def _codecarbon() -> dict[str, dict[str, str | float]]:
    """Its table of countries; the package itself, which looks for hardware, is not imported."""
    spec = find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        raise PackageNotFoundError("codecarbon")
    text = Path(spec.submodule_search_locations[0], _TABLE).read_text("utf-8")
    return dict(json.loads(text))
