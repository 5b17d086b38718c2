"""One long-poll for many viewers of a log.

Owns the sharing: viewers that stand at the same line of the same log wait for the same call to the log hub and get the same rendered
bytes. A viewer that is slow stands at another line, so it asks for itself and keeps nobody waiting; what is kept for it is one page.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from actors.core.tasks import TaskState
from serve_app.ports import LogsPort
from serve_app.shape import log_json

#: An idle long-poll ends with nothing after this time, and the viewers get their comment: within the contract's 15 s.
POLL_S = 14.0
PAGE_LINES = 1000
_FINAL_STATES = frozenset(state.value for state in TaskState if state.is_final)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines, rendered once for all who want them.

    Attributes:
        events: the lines as server-sent events.
        last_seq: the position after them.
        is_complete: nothing will follow.
        has_final_record: the last of them tells the state that the task ended in.
    """

    events: bytes
    last_seq: int
    is_complete: bool
    has_final_record: bool


@dataclass(slots=True)
class _Call:
    """A call to the hub under way, and how many wait for it."""

    task: asyncio.Task[LogPage]
    waiting: int = 0


class LogFeed:
    """Reads logs for viewers. ``viewers`` counts the open streams of this process; only this class's methods change state."""

    def __init__(self, logs: LogsPort, poll_s: float = POLL_S) -> None:
        self._logs = logs
        self._poll_s = poll_s
        self._calls: dict[tuple[str, int], _Call] = {}
        self.viewers = 0

    @contextmanager
    def viewing(self) -> Iterator[None]:
        """Count one viewer while the block runs."""
        self.viewers += 1
        try:
            yield
        finally:
            self.viewers -= 1

    async def next_page(self, task_id: str, after: int) -> LogPage:
        """The lines after a position; an empty page if none came within the poll time.

        Raises:
            NotReadyError: the log hub does not answer.
            TaskNotFoundError: the log was deleted meanwhile.
        """
        key = (task_id, after)
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call(asyncio.create_task(self._read(task_id, after)))
            call.task.add_done_callback(lambda _: self._drop(key, call))
        call.waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.waiting -= 1
            if not call.waiting:
                self._drop(key, call)
                call.task.cancel()

    async def _read(self, task_id: str, after: int) -> LogPage:
        part = await self._logs.read(task_id, after=after, limit=PAGE_LINES, wait_s=self._poll_s)
        events = b"".join(b"id: %d\ndata: %b\n\n" % (line.seq, log_json(line)) for line in part.lines)
        last = part.lines[-1] if part.lines else None
        is_final = last is not None and part.is_complete and last.status in _FINAL_STATES
        return LogPage(events, last.seq if last else after, part.is_complete, is_final)

    def _drop(self, key: tuple[str, int], call: _Call) -> None:
        if self._calls.get(key) is call:
            del self._calls[key]
