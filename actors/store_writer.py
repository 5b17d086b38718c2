"""Task records on their way to the store: one thread, one commit for all that has come together.

The supervisor's event loop never waits for a disk. It hands over a version of a record and may await the future that comes back; what
arrives while a commit is under way goes into the next one together, so a hundred submissions at once cost a few syncs, not a hundred.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from actors.core.errors import StoreUnavailableError
from actors.core.tasks import Task
from actors.store import Store

_RETRY_S = 1.0


@dataclass(slots=True)
class _Write:
    """One record on its way. ``task`` is None for a deletion; ``is_final_try``: give up where the first commit fails."""

    task_id: str
    task: Task | None
    is_final_try: bool
    done: "Future[None]" = field(default_factory=Future)


class StoreWriter:
    """The one writer of task records.

    Invariant: for each task the versions are committed in the order they were handed over; one that a newer version has overtaken may
    be skipped, and its future is cancelled where the newer one waits for room, too. What could not be committed is tried again every
    second, except acceptances, whose caller is told instead. ``trouble`` is why a commit failed last; it stays until somebody who has seen
    that there is room again takes it away: on a disk that is nearly full one record may find a place and the next one none.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.trouble = ""
        self._inbox: SimpleQueue[_Write | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def accept(self, task: Task) -> "Future[None]":
        """Write a new task; the future fails with StoreUnavailableError where it could not be made durable at once."""
        return self._hand_over(_Write(task.task_id, task, is_final_try=True))

    def save(self, task: Task) -> "Future[None]":
        """Write a newer version of a task; tried until it succeeds."""
        return self._hand_over(_Write(task.task_id, task, is_final_try=False))

    def forget(self, task_id: str) -> "Future[None]":
        """Delete a task's record; tried until it succeeds."""
        return self._hand_over(_Write(task_id, None, is_final_try=False))

    def close(self) -> None:
        """Commit what was handed over and end the thread."""
        self._inbox.put(None)
        self._thread.join()

    def _hand_over(self, write: _Write) -> "Future[None]":
        self._inbox.put(write)
        return write.done

    def _run(self) -> None:
        waiting: list[_Write] = []
        is_open = True
        while is_open or waiting:
            is_open = self._collect(waiting) and is_open
            if not waiting:
                continue
            try:
                self._commit(waiting)
            except StoreUnavailableError as error:
                self.trouble = error.reason
                waiting = _keep_after(error, waiting, is_open=is_open)
            else:
                _settle(waiting, lambda done: done.set_result(None))
                waiting = []

    def _collect(self, waiting: list[_Write]) -> bool:
        """Take everything that is there; wait for the first if nothing is due. False when the end was asked for."""
        is_open = True
        try:
            write = self._inbox.get(timeout=_RETRY_S if waiting else None)
            while True:
                if write is None:
                    is_open = False
                else:
                    waiting.append(write)
                write = self._inbox.get_nowait()
        except Empty:
            return is_open

    def _commit(self, waiting: list[_Write]) -> None:
        latest = {write.task_id: write.task for write in waiting}
        tasks = [task for task in latest.values() if task is not None]
        self._store.write_tasks(tasks, [task_id for task_id, task in latest.items() if task is None])


def _keep_after(error: StoreUnavailableError, waiting: list[_Write], *, is_open: bool) -> list[_Write]:
    """Tell those who do not wait for another try; return the newest version of each task of the others.

    A disk may stay full for days, in which a running task has many versions: only the last one is worth its place.
    """
    newest = {write.task_id: write for write in waiting if not write.is_final_try and is_open}
    kept = list(newest.values())
    for write in waiting:
        if write.is_final_try or not is_open:
            _settle([write], lambda done: done.set_exception(error))
        elif newest[write.task_id] is not write:
            write.done.cancel()
    return kept


def _settle(writes: list[_Write], settle: "Callable[[Future[None]], None]") -> None:
    for write in writes:
        if write.done.set_running_or_notify_cancel():
            settle(write.done)
