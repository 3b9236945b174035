"""Money, time and carbon for any number of texts: the student as measured here, and staying on the LLM."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import date

from tutelage.core.compute import cores, has_gpu
from tutelage.core.task import Task
from tutelage.loaders.teacher.teacher_ledger import Spent
from tutelage.report.figures.blog_table import (
    LLM_BASIS,
    LLM_ENERGY_BASIS,
    LLM_KWH,
    LLM_NAME,
    LLM_USD_PER_MILLION,
    TOKENS,
    Published,
    Span,
    exactly,
    laurers_table,
)
from tutelage.report.figures.rates import Rates, rates_on
from tutelage.training.cost import CPU_WATTS_PER_CORE, GPU_WATTS
from tutelage.training.registry import Entry
from tutelage.training.students.kinds import LINEAR

SECONDS_MEASURED = 2.0
_AT_ONCE, _SINGLES = 64, 5
CORPUS = 1_000_000
"""Texts that the page counts with until its reader says another number."""


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """A student's speed on this machine, and its latency for one text; times in seconds."""

    texts: int
    wall_s: float
    cpu_s: float
    on_gpu: bool
    cores: int
    latency_s: float


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to label texts: what one text costs in US dollars, seconds and kg of CO2; None where unknown."""

    name: str
    usd: Span | None
    usd_basis: str
    seconds: Span | None
    seconds_basis: str
    kg: Span | None
    kg_basis: str


@dataclass(frozen=True, kw_only=True)
class Economy:
    """Money, time and carbon.

    Parameters
    ----------
    student, llm
        The two ways; the student's is None without a student.
    votes_usd, training_usd, reviews
        What the student has cost so far: votes and training in US dollars, texts that people answered.
    break_even
        Texts from which the student is cheaper in all; None where it never is, or a price is unknown.
    laurer
        The published table, computed again.
    """

    rates: Rates
    throughput: Throughput | None
    student: Way | None
    llm: Way
    votes_usd: float | None
    votes_basis: str
    training_usd: float
    reviews: int
    break_even: int | None
    laurer: tuple[Published, ...]


def measure_throughput(entry: Entry, texts: Sequence[str]) -> Throughput | None:
    """Predict for two seconds at most, after a first text that loads what is loaded late."""
    if not texts:
        return None
    student = entry.load()
    predict: Callable[[Sequence[str]], object] = student.predict_proba
    singles = [_timed(predict, texts[:1]) for _ in range(_SINGLES)]
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while done < len(texts) and time.perf_counter() - wall < SECONDS_MEASURED:
        predict(texts[done : done + _AT_ONCE])
        done = min(len(texts), done + _AT_ONCE)
    return Throughput(
        texts=done,
        wall_s=time.perf_counter() - wall,
        cpu_s=time.process_time() - cpu,
        on_gpu=entry.manifest.kind != LINEAR and has_gpu(),
        cores=cores(),
        latency_s=statistics.median(singles),
    )


def _timed(predict: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    began = time.perf_counter()
    predict(texts)
    return time.perf_counter() - began


def economy(
    task: Task,
    throughput: Throughput | None,
    spent: Sequence[Spent],
    votes: Sequence[int],
    students: Sequence[Entry],
    reviews: int,
    today: date,
    *,
    current: Container[tuple[str, str]],
) -> Economy:
    """From what was measured.

    ``votes`` holds the number of votes of each record that has any. ``current`` are the teachers and prompts whose
    votes count: going on with the LLM means to ask these, and not also those that they took the place of.
    """
    rates = rates_on(task.costs, today)
    student = student_way(throughput, rates) if throughput else None
    asked = [one for one in spent if (one.teacher, one.prompt) in current] or spent
    llm = asked_way(task, asked, rates, today) if asked else usual_way(votes, rates)
    votes_usd, votes_basis = _paid_for_votes(task, spent, sum(votes), today)
    training = sum(entry.manifest.took.cost_usd for entry in students)
    fixed = (votes_usd or 0.0) + training + reviews * rates.review.value
    return Economy(
        rates=rates,
        throughput=throughput,
        student=student,
        llm=llm,
        votes_usd=votes_usd,
        votes_basis=votes_basis,
        training_usd=training,
        reviews=reviews,
        break_even=break_even(fixed, student.usd if student else None, llm.usd),
        laurer=laurers_table(rates),
    )


def break_even(fixed: float, student: Span | None, llm: Span | None) -> int | None:
    """Texts from which a student that has cost ``fixed`` dollars is cheaper than the LLM."""
    if student is None or llm is None or llm.low <= student.high:
        return None
    return int(fixed / (llm.low - student.high)) + 1


def student_way(measured: Throughput, rates: Rates) -> Way:
    """The student at the speed that was measured."""
    wall, cpu = measured.wall_s / measured.texts, measured.cpu_s / measured.texts
    gpu = wall if measured.on_gpu else 0.0
    kwh = (cpu * CPU_WATTS_PER_CORE + gpu * GPU_WATTS) / 3_600_000
    busy = max(cpu, wall)  # a core that waits is paid for too
    money = f"${rates.core_hour.value:.2g} a core hour ({rates.core_hour.basis})"
    power = f"{CPU_WATTS_PER_CORE:g} W a busy core"
    if measured.on_gpu:
        money += f", ${rates.gpu_hour.value:.2f} a GPU hour ({rates.gpu_hour.basis})"
        power += f", {GPU_WATTS:g} W a GPU"
    return Way(
        name="The student, on this machine",
        usd=exactly(busy / 3600 * rates.core_hour.value + gpu / 3600 * rates.gpu_hour.value),
        usd_basis=money,
        seconds=exactly(wall),
        seconds_basis=f"{measured.texts:,} texts in {measured.wall_s:.2f} s, measured while this page was written",
        kg=exactly(kwh * rates.grid.value),
        kg_basis=f"{power}, {rates.grid.value:g} kg CO2 per kWh ({rates.grid.basis})",
    )


def asked_way(task: Task, spent: Sequence[Spent], rates: Rates, today: date) -> Way:
    """The task's teachers, as they were asked: their calls, tokens and seconds, at the prices of today."""
    texts, calls = max(one.calls for one in spent), sum(one.calls for one in spent)
    usd, basis = _spent_usd(task, spent, today)
    at_once = {teacher.name: teacher.limits.concurrency for teacher in task.teachers}
    seconds = sum(one.latency / at_once.get(one.teacher, 1) for one in spent) / texts
    return Way(
        name="Staying on the LLM: the task's teachers",
        usd=None if usd is None else exactly(usd / texts),
        usd_basis=basis,
        seconds=exactly(seconds),
        seconds_basis=f"{calls / texts:.2g} calls a text as measured, as many at once as limits.concurrency allows",
        kg=Span(*(kwh * calls / texts * rates.grid.value for kwh in LLM_KWH)),
        kg_basis=f"{LLM_ENERGY_BASIS}, {rates.grid.value:g} kg CO2 per kWh; very rough",
    )


def _spent_usd(task: Task, spent: Sequence[Spent], today: date) -> tuple[float | None, str]:
    """What the calls so far cost at today's prices; as recorded where the task states none now."""
    prices = {teacher.name: teacher.price_on(today) for teacher in task.teachers}
    known = [(one, price) for one in spent if (price := prices.get(one.teacher))]
    if len(known) == len(spent):
        usd = sum(one.tokens_in * price.input + one.tokens_out * price.output for one, price in known) / 1e6
        since = max(price.since for _, price in known).isoformat()
        return usd, f"tokens as counted, prices in task.yaml since {since}"
    if all(one.priced == one.calls for one in spent):
        return sum(one.cost for one in spent), "as recorded when the teachers were asked"
    return None, "no price is known: set prices under the teacher in task.yaml"


def usual_way(votes: Sequence[int], rates: Rates) -> Way:
    """A large LLM at a list price, asked as often as the records have votes, where no teacher was asked from here."""
    calls = sum(votes) / len(votes) if votes else 1.0
    return Way(
        name=f"Staying on an LLM: {LLM_NAME}, {calls:.2g} {'call' if calls == 1 else 'calls'} a text",
        usd=exactly(calls * TOKENS * LLM_USD_PER_MILLION / 1e6),
        usd_basis=f"102 tokens a call as in Laurer's article, {LLM_BASIS}; no teacher was asked from this task",
        seconds=None,
        seconds_basis="depends on the provider's limits",
        kg=Span(*(calls * kwh * rates.grid.value for kwh in LLM_KWH)),
        kg_basis=f"{LLM_ENERGY_BASIS}, {rates.grid.value:g} kg CO2 per kWh; very rough",
    )


def _paid_for_votes(task: Task, spent: Sequence[Spent], votes: int, today: date) -> tuple[float | None, str]:
    if spent:
        return _spent_usd(task, spent, today)
    return votes * TOKENS * LLM_USD_PER_MILLION / 1e6, f"{votes:,} imported votes, each as one call of {LLM_NAME}"
