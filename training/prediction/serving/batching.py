"""Dynamic batching for ``serve-student``: waiting texts are predicted together, one batch at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tutelage.core.arrays import Floats
from tutelage.core.errors import SnapshotError
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.training.prediction.calibrated import calibrated
from tutelage.training.prediction.engines.engine import Classifier, truncated
from tutelage.training.prediction.engines.selection import ChosenEngine, Say, choose_engine
from tutelage.training.registry import Entry

TEXTS_A_BATCH = 512
WAITING = 8192
"""Maximum length of the queue in texts; a request beyond it is refused, unless the queue is empty."""


def ready_student(workspace: Workspace, entry: Entry, engine: str, say: Say) -> tuple[ChosenEngine, Classifier]:
    """The student on an engine, checked on the texts of its training snapshot."""
    entry.manifest.check_labels(workspace.task.label_names)
    try:
        texts = load_snapshot(workspace.snapshots, entry.manifest.snapshot).frame()["text"].tolist()
    except SnapshotError:
        texts = []
    chosen, classifier = choose_engine(entry.load(), entry.manifest.kind, entry.path, texts, engine, say)
    classifier.compute(classifier.prepare(["a warm-up text"]))
    return chosen, calibrated(entry.manifest, classifier)


class QueueFullError(Exception):
    """The queue is full."""


class BatchQueue:
    """Answers requests of any size; those that arrive while a batch is computed form the next one.

    ``observe`` is called with the size of each batch, and how many of its texts are truncated.
    """

    def __init__(self, classifier: Classifier, observe: Callable[[int, int], None] = lambda _texts, _cut: None) -> None:
        self._classifier, self._pool, self._observe = classifier, ThreadPoolExecutor(1), observe
        self._requests: asyncio.Queue[tuple[list[str], asyncio.Future[Floats]]] = asyncio.Queue()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """The number of texts that wait or are being computed."""
        return self._waiting

    async def answer(self, texts: list[str]) -> Floats:
        """Probabilities of shape (N, K).

        Raises
        ------
        QueueFullError
            When the queue is full.
        """
        if self._waiting and self._waiting + len(texts) > WAITING:
            raise QueueFullError
        future: asyncio.Future[Floats] = asyncio.get_running_loop().create_future()
        self._waiting += len(texts)
        try:
            self._requests.put_nowait((texts, future))
            return await future
        finally:
            self._waiting -= len(texts)

    async def drain(self) -> None:
        """Wait until all that waits is answered; nothing new may come."""
        while self._waiting:  # noqa: ASYNC110  # a moment, once a champion
            await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def running(self):  # type: ignore[no-untyped-def]  # noqa: ANN201  # an async generator of nothing
        """Compute batches while the block runs."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            self._pool.shutdown(cancel_futures=True)

    async def _work(self) -> None:
        while True:
            batch = await self._gather()
            texts = [text for request, _ in batch for text in request]
            try:
                probs = await asyncio.get_running_loop().run_in_executor(self._pool, self._compute, texts)
            except Exception as error:  # the error is the answer to this batch's requests; the server goes on
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            _distribute(batch, probs)

    async def _gather(self) -> list[tuple[list[str], asyncio.Future[Floats]]]:
        """The waiting requests, up to a batch; cancelled ones are dropped."""
        batch = [await self._requests.get()]
        while not self._requests.empty() and sum(len(texts) for texts, _ in batch) < TEXTS_A_BATCH:
            batch.append(self._requests.get_nowait())
        return [(texts, future) for texts, future in batch if not future.done()]

    def _compute(self, texts: list[str]) -> Floats:
        if not texts:
            return np.empty((0, 0))
        prepared = self._classifier.prepare(texts)
        self._observe(len(texts), truncated(prepared))
        return self._classifier.compute(prepared)


def _distribute(batch: Sequence[tuple[list[str], asyncio.Future[Floats]]], probs: Floats) -> None:
    start = 0
    for texts, future in batch:
        if not future.done():
            future.set_result(probs[start : start + len(texts)])
        start += len(texts)
