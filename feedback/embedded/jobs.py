"""Argilla's job queue as asyncio tasks of the server's own process.

Argilla hands its jobs to an RQ queue on Redis. Here `Queue.enqueue_call` starts a task instead;
jobs of one queue run in order, up to a number at a time. Jobs that are running when the process is
killed are lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from .patching import replace

LOGGER = logging.getLogger("argilla.jobs")
REMEMBERED = 1000  # finished jobs whose status can still be asked for

Work = Callable[..., Coroutine[Any, Any, Any]]


class Connection:
    """Replaces the connection to Redis."""

    def ping(self) -> bool:
        """Always available: the queue is in this process."""
        return True


class Job:
    """What Argilla reads from an enqueued job: its id and status."""

    known: OrderedDict[str, Job] = OrderedDict()  # noqa: RUF012  # `Job` is not defined yet for ClassVar

    def __init__(self) -> None:
        self.id = str(uuid4())
        self.status = "queued"
        self.known[self.id] = self
        if len(self.known) > REMEMBERED:
            self.known.popitem(last=False)

    def get_status(self, refresh: bool = True) -> str:  # noqa: ARG002, FBT001, FBT002  # RQ's signature
        """One of RQ's statuses: queued, started, finished, failed."""
        return self.status


class Queue:
    """Runs jobs in this process, `width` at a time."""

    def __init__(self, width: int) -> None:
        self._free = asyncio.Semaphore(width)
        self._tasks: set[asyncio.Task[None]] = set()

    def enqueue_call(self, work: Work, args: Any = (), kwargs: Any = None, retry: Any = None, **_options: Any) -> Job:
        """Start `work` as soon as the queue allows; `retry` sets the attempts after a failure."""
        job = Job()
        task = asyncio.get_running_loop().create_task(self._run(job, work, args, kwargs or {}, retry))
        self._tasks.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._tasks.discard)
        return job

    async def _run(self, job: Job, work: Work, args: Any, kwargs: Any, retry: Any) -> None:
        for pause in [*_pauses(retry), None]:
            try:
                async with self._free:
                    job.status = "started"
                    await work(*args, **kwargs)
            except Exception as failure:
                LOGGER.warning("Job %s failed: %r%s", work.__name__, failure, _what_now(pause))
                job.status = "failed" if pause is None else "queued"
                await asyncio.sleep(pause or 0)
            else:
                job.status = "finished"
                return

    async def finish(self, timeout: float) -> None:  # noqa: ASYNC109  # at shutdown the caller has no other way
        """Wait for running jobs; cancel those that take longer than `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in self._tasks:
            task.cancel()


def _pauses(retry: Any) -> list[int]:
    """Seconds to wait before each further attempt, as RQ's ``Retry`` means them."""
    if retry is None:
        return []
    return [retry.intervals[min(n, len(retry.intervals) - 1)] for n in range(retry.max)]


def _what_now(pause: int | None) -> str:
    return "; no more attempts" if pause is None else f"; retrying in {pause} s"


def connect() -> None:
    """Make the parts of Argilla that use RQ directly use this queue; call it after Argilla's import."""
    from argilla_server.api.handlers.v1 import jobs as handler
    from argilla_server.jobs import webhook_jobs
    from rq.decorators import job
    from rq.job import Retry

    replace(handler, "_get_job", _get_job)
    again = Retry(max=3, interval=[10, 60, 180])
    replace(webhook_jobs, "notify_event_job", job(webhook_jobs.HIGH_QUEUE, retry=again)(_post_event))


def _get_job(job_id: str) -> Job:
    from fastapi import HTTPException

    job = Job.known.get(job_id)
    if job is None:
        raise HTTPException(status_code=404, detail=f"Job with id `{job_id}` not found")
    return job


async def _post_event(webhook_id: UUID, event: str, timestamp: datetime, data: dict[str, Any]) -> None:
    """Argilla's job of the same purpose, except that the request is sent from a thread, without blocking."""
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.models import Webhook
    from argilla_server.webhooks.v1.commons import notify_event

    async with AsyncSessionLocal() as db:
        webhook = await Webhook.get_or_raise(db, webhook_id)
    answer = await asyncio.to_thread(notify_event, webhook, event, timestamp, data)
    answer.raise_for_status()
