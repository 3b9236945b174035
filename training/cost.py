"""What a training run took: time, energy, money. Energy and money are estimates whose basis is stated beside them."""

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

CPU_WATTS_A_CORE = 10.0
"""A busy server core with its share of memory and cooling; data sheets give 4 to 12 W a core."""

GPU_WATTS = 300.0
"""Assumed of every GPU, whatever its load; between a T4 (70 W) and an H100 (700 W)."""

GRID_KG_CO2_A_KWH = 0.445
"""World average of electricity in 2024 (IEA, Electricity 2025)."""

USD_A_CORE_HOUR = 0.05
"""List price of a core of a general-purpose cloud machine, November 2025."""

USD_A_GPU_HOUR = 0.6
"""A T4 (Laurer, February 2024); larger ones cost several times as much."""


@dataclass(frozen=True)
class TrainingCost:
    """Seconds on the wall and of processor time; energy in kWh, CO2 in kg, cost in US dollars, all estimates."""

    wall_s: float
    cpu_s: float
    energy_kwh: float
    co2_kg: float
    cost_usd: float
    basis: str


class Meter:
    """Measures the block that it is the context of, and adds what killed runs of the same work took before.

    Each process keeps what it takes in a file of its own in ``work``.
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
        """Write down what was taken so far: a kill loses only what comes after."""
        wall = time.perf_counter() - self._wall
        now = {"wall_s": wall, "cpu_s": time.process_time() - self._cpu, "gpu_s": wall * _uses_gpu()}
        write_text(self._file, json.dumps({name: self._before.get(name, 0.0) + value for name, value in now.items()}))

    def took(self) -> TrainingCost:
        """What all processes took together; the wall's clock is that of the longest."""
        each = [_read(path) for path in self._work.glob("took-*.json")]
        cpu_s, gpu_s = (sum(one[name] for one in each) for name in ("cpu_s", "gpu_s"))
        return estimate_cost(max(one["wall_s"] for one in each), cpu_s, gpu_s=gpu_s)


def estimate_cost(wall_s: float, cpu_s: float, *, gpu_s: float = 0.0) -> TrainingCost:
    """Energy from processor and GPU time and stated watts; money from the same and stated prices."""
    energy = (cpu_s * CPU_WATTS_A_CORE + gpu_s * GPU_WATTS) / 3_600_000
    basis = f"estimate: {CPU_WATTS_A_CORE:g} W a busy core, {GPU_WATTS:g} W a GPU"
    basis += f", {GRID_KG_CO2_A_KWH} kg CO2 a kWh, {USD_A_CORE_HOUR} $ a core hour"
    basis += f", {USD_A_GPU_HOUR} $ a GPU hour (a T4, February 2024)"
    cost = cpu_s / 3600 * USD_A_CORE_HOUR + gpu_s / 3600 * USD_A_GPU_HOUR
    return TrainingCost(round(wall_s, 2), round(cpu_s, 2), energy, energy * GRID_KG_CO2_A_KWH, cost, basis)


def _read(path: Path) -> dict[str, float]:
    return dict(json.loads(path.read_text("utf-8")))


def _uses_gpu() -> bool:
    """Whether this process trains on a GPU: it takes one, however many there are."""
    return "torch" in sys.modules and has_gpu()  # a student that never loaded torch used no GPU
