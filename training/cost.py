"""What a training run took: time, energy, money. Energy and money are estimates whose basis is stated beside them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

CPU_WATTS_A_CORE = 10.0
"""A busy server core with its share of memory and cooling; data sheets give 4 to 12 W a core."""

GPU_WATTS = 300.0
"""Where the driver does not say; between a T4 (70 W) and an H100 (700 W)."""

GRID_KG_CO2_A_KWH = 0.445
"""World average of electricity in 2024 (IEA, Electricity 2025)."""

USD_A_CORE_HOUR = 0.05
"""List price of a core of a general-purpose cloud machine, November 2025; GPU hours are not in it."""


@dataclass(frozen=True)
class Took:
    """Seconds on the wall and of processor time; energy in kWh, CO2 in kg, cost in US dollars, all estimates."""

    wall_s: float
    cpu_s: float
    energy_kwh: float
    co2_kg: float
    cost_usd: float
    basis: str


class Meter:
    """Measures the block that it is the context of; ``took`` has the result afterwards."""

    took: Took

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.took = estimate(time.perf_counter() - self._wall, time.process_time() - self._cpu, gpus=_gpus())


def estimate(wall_s: float, cpu_s: float, *, gpus: int = 0) -> Took:
    """Energy from processor time and stated watts; money from processor time and a stated price."""
    energy = (cpu_s * CPU_WATTS_A_CORE + wall_s * gpus * GPU_WATTS) / 3_600_000
    basis = f"estimate: {CPU_WATTS_A_CORE:g} W a busy core, {GPU_WATTS:g} W a GPU"
    basis += f", {GRID_KG_CO2_A_KWH} kg CO2 a kWh, {USD_A_CORE_HOUR} $ a core hour"
    cost = cpu_s / 3600 * USD_A_CORE_HOUR
    return Took(round(wall_s, 2), round(cpu_s, 2), energy, energy * GRID_KG_CO2_A_KWH, cost, basis)


def _gpus() -> int:
    import sys

    torch = sys.modules.get("torch")  # a student that never loaded torch used no GPU
    return torch.cuda.device_count() if torch and torch.cuda.is_available() else 0
