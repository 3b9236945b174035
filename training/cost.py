"""The cost of training: time, energy, money. Energy and money are estimates, stated with their basis."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tutelage.core.compute import has_gpu, process_number
from tutelage.core.files import write_text

CPU_WATTS_PER_CORE = 10.0
"""Per busy server core, memory and cooling included; data sheets give 4 to 12 W per core."""

GPU_WATTS = 300.0
"""Assumed of every GPU, whatever its load; between a T4 (70 W) and an H100 (700 W)."""

GRID_KG_CO2_PER_KWH = 0.445
"""World average carbon intensity of electricity in 2024 (IEA, Electricity 2025)."""

USD_PER_CORE_HOUR = 0.05
"""List price of a core of a general-purpose cloud machine, November 2025."""

USD_PER_GPU_HOUR = 0.6
"""A T4 (Laurer, February 2024); larger ones cost several times as much."""


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """Wall-clock and CPU seconds; estimates of energy in kWh, CO2 in kg, cost in US dollars."""

    wall_s: float
    cpu_s: float
    energy_kwh: float
    co2_kg: float
    cost_usd: float
    basis: str


class Meter:
    """A context manager that measures its block, and adds the cost of earlier, killed runs in the same ``work``.

    Each process has a file of its own in ``work``.
    """

    def __init__(self, work: Path) -> None:
        self._work, self._file = work, work / f"took-{process_number()}.json"
        self._before = _read(self._file) if self._file.exists() else {}

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.keep()

    def keep(self) -> None:
        """Save the cost so far, so that a kill loses only what comes after."""
        wall = time.perf_counter() - self._wall
        now = {"wall_s": wall, "cpu_s": time.process_time() - self._cpu, "gpu_s": wall * _uses_gpu()}
        write_text(self._file, json.dumps({name: self._before.get(name, 0.0) + value for name, value in now.items()}))

    def total(self) -> TrainingCost:
        """The cost of all processes together; wall-clock time is that of the slowest."""
        processes = [_read(path) for path in self._work.glob("took-*.json")]
        cpu_s, gpu_s = (sum(process[name] for process in processes) for name in ("cpu_s", "gpu_s"))
        return estimate_cost(max(process["wall_s"] for process in processes), cpu_s, gpu_s=gpu_s)


def estimate_cost(wall_s: float, cpu_s: float, *, gpu_s: float = 0.0) -> TrainingCost:
    """Energy from CPU and GPU seconds and the constants above; money likewise."""
    energy = (cpu_s * CPU_WATTS_PER_CORE + gpu_s * GPU_WATTS) / 3_600_000
    basis = f"estimate: {CPU_WATTS_PER_CORE:g} W per busy core, {GPU_WATTS:g} W per GPU"
    basis += f", {GRID_KG_CO2_PER_KWH} kg CO2 per kWh, {USD_PER_CORE_HOUR} $ per core hour"
    basis += f", {USD_PER_GPU_HOUR} $ per GPU hour (T4, February 2024)"
    cost = cpu_s / 3600 * USD_PER_CORE_HOUR + gpu_s / 3600 * USD_PER_GPU_HOUR
    return TrainingCost(
        wall_s=round(wall_s, 2),
        cpu_s=round(cpu_s, 2),
        energy_kwh=energy,
        co2_kg=energy * GRID_KG_CO2_PER_KWH,
        cost_usd=cost,
        basis=basis,
    )


def _read(path: Path) -> dict[str, float]:
    return dict(json.loads(path.read_text("utf-8")))


def _uses_gpu() -> bool:
    """Whether this process trains on a GPU; it uses one at most."""
    return "torch" in sys.modules and has_gpu()  # a student that never loaded torch used no GPU
