"""The student that ``serve-student`` answers with: another one takes over where it becomes the champion."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from tutelage.training.prediction.engines.selection import ChosenEngine, Say
from tutelage.training.prediction.serving.batching import BatchQueue
from tutelage.training.registry import Entry

LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class ServedStudent:
    """A student on an engine, and the requests that wait for it."""

    entry: Entry
    chosen: ChosenEngine
    batches: BatchQueue


class Following:
    """Serves a student, and in its place each new champion as soon as that is loaded; no request is lost.

    Parameters
    ----------
    first
        Answers at the beginning.
    champion
        The id of the student that is to answer; None for the one that does.
    load
        Makes a student of this id ready, in a thread beside the one that answers.
    """

    def __init__(
        self, first: ServedStudent, champion: Callable[[], str | None], load: Callable[[str], ServedStudent], say: Say
    ) -> None:
        self.now = first
        self._champion, self._load, self._say = champion, load, say

    @contextlib.asynccontextmanager
    async def running(self):  # type: ignore[no-untyped-def]  # noqa: ANN201  # an async generator of nothing
        """Answer while the block runs."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            async with self.now.batches.running():
                # Requests for the next one wait until the last for this one is answered.
                before, self.now = self.now, await self._next()
                await before.batches.drain()
            del before  # or two students would stay in memory

    async def _next(self) -> ServedStudent:
        refused: str | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            wanted = None
            try:
                wanted = self._champion()
                if wanted not in {None, refused, self.now.entry.id}:
                    found = await asyncio.to_thread(self._load, str(wanted))
                    self._say(f"{wanted} is the champion now and answers, with {found.chosen.name}")
                    return found
            except Exception as error:  # whatever ails the new one: the server goes on
                self._say(f"the new champion cannot answer, {self.now.entry.id} goes on: {error}")
                refused = wanted
