"""Task records on their way to the store, and the wait for them: what follows from a record must not happen before it is on disk.

A supervisor that begins anew knows only what the store holds. Had it ended an attempt, or told of its end, before that end was
written, the next one would take the attempt for lost and let the work be done a second time.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from actors.core.tasks import Task
from actors.store_writer import StoreWriter


class RecordKeeper:
    """Hands records to the writer, and knows of each task the last version that was handed over. For one event loop.

    Invariant: ``written`` returns only when the version that was the last at its call, or a later one, is on disk.
    """

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer
        self._last: dict[str, Future[None]] = {}

    def save(self, task: Task) -> None:
        """Hand over a newer version of a task."""
        self._last[task.task_id] = self._writer.save(task)

    def forget(self, task_id: str) -> None:
        """Hand over the deletion of a task."""
        self._last.pop(task_id, None)
        self._writer.forget(task_id)

    async def written(self, task_id: str, *, most_s: float | None = None) -> None:
        """Wait until what was handed over of a task is on disk, or for so long; returns at once where it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._written(task_id)

    async def _written(self, task_id: str) -> None:
        while (saving := self._last.get(task_id)) is not None:
            try:
                await asyncio.shield(asyncio.wrap_future(saving))
            except asyncio.CancelledError:
                if not saving.cancelled():
                    raise
                # A later version has taken its place in the writer; that one is waited for.
            if self._last.get(task_id) is saving:
                del self._last[task_id]
            if not saving.cancelled():
                return

    async def then(self, task_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Do some work once what was handed over of a task is on disk."""
        await self.written(task_id)
        await work
