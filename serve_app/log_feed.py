"""One long-poll for many viewers of a log.

Owns the sharing: viewers that stand at the same line of the same log wait for the same call to the log hub and get the same rendered
bytes. They get them some at a time, so that a line with hundreds of viewers does not keep other requests waiting until all of them have
it. A viewer that is slow stands at another line, so it asks for itself and keeps nobody waiting; what is kept for it is one page.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from actors.core.tasks import TaskState
from serve_app.ports import LogsPort
from serve_app.shape import log_json

#: An idle long-poll ends with nothing after this time, and the viewers get their comment: within the contract's 15 s.
POLL_S = 14.0
PAGE_LINES = 1000
#: Viewers that are served between two looks at what else came in: about a millisecond's work.
VIEWERS_PER_TURN = 20
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
    """A call to the hub under way, and those who wait for it, in their order."""

    reader: asyncio.Task[None]
    waiters: dict[asyncio.Future[LogPage], None] = field(default_factory=dict)


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
            call = self._calls[key] = _Call(asyncio.create_task(self._serve(key)))
        waiter: asyncio.Future[LogPage] = asyncio.get_running_loop().create_future()
        call.waiters[waiter] = None
        try:
            return await waiter
        finally:
            del call.waiters[waiter]
            if not call.waiters:
                self._drop(key, call)
                call.reader.cancel()

    async def _serve(self, key: tuple[str, int]) -> None:
        """Read a page and hand it to all who wait for it, some at a time; an error instead, if that is what came."""
        outcome: LogPage | Exception
        try:
            outcome = await self._read(*key)
        except Exception as error:  # noqa: BLE001 - it is the waiters' to handle
            outcome = error
        call = self._calls.pop(key)
        for number, waiter in enumerate(list(call.waiters), 1):
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)
            if number % VIEWERS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _read(self, task_id: str, after: int) -> LogPage:
        part = await self._logs.read(task_id, after=after, limit=PAGE_LINES, wait_s=self._poll_s)
        events = b"".join(b"id: %d\ndata: %b\n\n" % (line.seq, log_json(line)) for line in part.lines)
        last = part.lines[-1] if part.lines else None
        is_final = last is not None and part.is_complete and last.status in _FINAL_STATES
        return LogPage(events, last.seq if last else after, part.is_complete, is_final)

    def _drop(self, key: tuple[str, int], call: _Call) -> None:
        if self._calls.get(key) is call:
            del self._calls[key]
