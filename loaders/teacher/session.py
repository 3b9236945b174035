"""The step ``annotate``: a task's panels, prices and models, planned and run."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date

from tutelage.core.errors import TeacherError
from tutelage.core.locks import locked
from tutelage.core.records import Progress, ProgressCallback, unreported
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.teachers import Price, Teacher
from tutelage.core.workspace import Workspace
from tutelage.loaders.models.budget import Budget
from tutelage.loaders.models.dialect import Dialect
from tutelage.loaders.models.keys import key_of
from tutelage.loaders.models.model import Model
from tutelage.loaders.models.rate_limit import RateLimiter
from tutelage.loaders.models.retrying import RetryingModel
from tutelage.loaders.teacher.annotate import AnnotateResult, AnnotationRun
from tutelage.loaders.teacher.panel import Panel, panels_of
from tutelage.loaders.teacher.plan import PlannedPanel, plan_panels
from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

LOCK = "task.db.lock"


@dataclass(frozen=True, kw_only=True)
class _Limits:
    budget: float | None
    only: Collection[str] | None
    again: str | None


@dataclass(frozen=True)
class Session:
    """A task's panels, and the teachers' prices by name."""

    workspace: Workspace
    panels: tuple[Panel, ...]
    prices: Mapping[str, Price | None]

    @classmethod
    def of(cls, workspace: Workspace, *, votes: int | None = None, day: date | None = None) -> Session:
        """The session of a task; ``votes`` overrides its number of votes, ``day`` (today) decides the prices.

        Raises
        ------
        TeacherError
            When no teacher has a model, or a prompt cannot be used.
        """
        task, today = workspace.task, day or date.today()  # noqa: DTZ011 - price lists follow the local calendar
        panels = panels_of(task, workspace.root, votes=votes)
        if not panels:
            raise TeacherError(
                f"{workspace.root / 'task.yaml'}: has no teacher with a model; add one, for example"
                " teachers: [{name: NAME, license: LICENCE, model: OWNER/MODEL}]"
            )
        return cls(workspace, panels, {teacher.name: teacher.price_on(today) for teacher in task.teachers})

    def plan(self) -> list[PlannedPanel]:
        """Calls and cost of a run, at most."""
        with self._ledger() as ledger:
            return plan_panels(ledger, self.workspace.task, self.panels, self.prices)

    def run(
        self,
        *,
        budget: float | None = None,
        only: Collection[str] | None = None,
        again: str | None = None,
        progress: ProgressCallback = unreported,
    ) -> AnnotateResult:
        """Ask for every vote that is missing.

        Parameters
        ----------
        budget
            US dollars that this run may spend.
        only
            The ids of the records that may be asked about; all by default.
        again
            Which stored votes to ask for anew, as further attempts: one of ``AGAIN``, or none.
        progress
            Called after each answer; the total is the number of votes that were missing, at most.
        """
        self._check_prices(budget)
        with locked(self.workspace.root / LOCK, on_wait=self._refuse), self._ledger() as ledger:
            ledger.set_panels(self.panels)
            limits = _Limits(budget=budget, only=only, again=again)
            return asyncio.run(self._run(ledger, limits, progress))

    def _refuse(self, holder: str) -> None:
        raise TeacherError(
            f"{self.workspace.root}: another annotate is running here (process {holder}); wait for it or stop it"
        )

    def _ledger(self) -> TeacherLedger:
        ledger = TeacherLedger(self.workspace.db)
        if not ledger.record_count:
            raise TeacherError(f"{self.workspace.db}: no texts yet; add some with: tutelage load or tutelage import")
        return ledger

    def _check_prices(self, budget: float | None) -> None:
        without = [name for name in dict.fromkeys(p.teacher for p in self.panels) if not self.prices[name]]
        if budget is not None and without:
            raise TeacherError(
                f"--budget needs prices: set those of teacher {without[0]!r}, for example"
                " prices: [{since: 2026-01-31, input: 0.15, output: 0.60}] (US dollars per million tokens)"
            )

    async def _run(self, ledger: TeacherLedger, limits: _Limits, progress: ProgressCallback) -> AnnotateResult:
        missing = self._missing(ledger, limits.only)
        rejects = Rejects(self.workspace.rejects)
        async with AsyncExitStack() as stack:
            run = AnnotationRun(
                ledger,
                self.workspace.task,
                self.panels,
                self._models(ledger, Budget(limits.budget), stack),
                only=limits.only,
                again=limits.again,
                reject=lambda record_id, panel, why: rejects.add([_rejected(record_id, panel, why)]),
                progress=lambda done: progress(_progress(done, missing)),
            )
            return await run.run()

    def _missing(self, ledger: TeacherLedger, only: Collection[str] | None) -> int:
        always = [panel for panel in self.panels if panel.escalate is None]
        if only is not None:
            return len(only) * sum(panel.votes for panel in always)
        return ledger.record_count * sum(panel.votes for panel in always) - ledger.asked(always)

    def _models(self, ledger: TeacherLedger, budget: Budget, stack: AsyncExitStack) -> dict[str, RetryingModel]:
        models = {}
        for teacher in _with_model(self.workspace.task.teachers):
            model = self._model(teacher, ledger)
            stack.push_async_callback(model.close)
            models[teacher.name] = RetryingModel(
                teacher=teacher,
                model=model,
                rate_limiter=RateLimiter(teacher.limits),
                budget=budget,
                price=self.prices[teacher.name],
            )
        return models

    def _model(self, teacher: Teacher, ledger: TeacherLedger) -> Model:
        from tutelage.loaders.models.endpoint import Endpoint
        from tutelage.loaders.models.local import LocalModel

        if teacher.engine == "transformers":
            return LocalModel(teacher)
        where = teacher.base_url, teacher.model
        return Endpoint(
            teacher,
            key_of(teacher, self.workspace.root),
            dialect=Dialect.from_json(ledger.dialect(*where)),
            remember=lambda dialect: ledger.set_dialect(*where, dialect.to_json()),
        )


def _progress(done: AnnotateResult, missing: int) -> Progress:
    return Progress(
        f"asking teachers, {done.cost:.4f} USD so far", done.votes - done.again + done.saved, missing, "votes"
    )


def _with_model(teachers: Sequence[Teacher]) -> list[Teacher]:
    return [teacher for teacher in teachers if teacher.model]


def _rejected(record_id: str, panel: Panel, why: str) -> Reject:
    return Reject(source=f"{panel.teacher} {panel.prompt}", id=record_id, reason=why)
