"""One long-poll for many viewers of a log.

Owns the sharing: viewers that stand at the same line of the same log wait for the same call to the log hub and get the same rendered
bytes. They get them a few at a time, with a pause after each few, so that a line with hundreds of viewers never keeps other requests
waiting; what is written meanwhile comes with the next page. A viewer that is slow stands at another line, so it asks for itself and
keeps nobody waiting; what is kept for it is one page.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from weakref import WeakValueDictionary

from actors.core.tasks import TaskState
from serve_app.http_errors import RequestRefusedError
from serve_app.ports import LogsPort, NotReadyError, TasksPort
from serve_app.shape import log_json

PAGE_LINES = 1000
#: Viewers that are served between two pauses: less than a millisecond's work.
VIEWERS_PER_TURN = 10
#: Streams end with their tasks, which takes minutes rather than seconds.
RETRY_AFTER_S = 30
_FINAL_STATES = frozenset(state.value for state in TaskState if state.is_final)


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of log streams, in seconds.

    The first three together are the longest silence of a stream, whatever the log hub does: under the 15 s of the contract.

    Attributes:
        poll_s: an idle long-poll ends with nothing after this time, and the viewers get their comment.
        answer_s: how much longer the log hub may take before it counts as away.
        retry_s: the longest pause before it is asked again.
        turn_s: the pause between two turns of viewers.
    """

    poll_s: float = 10.0
    answer_s: float = 2.0
    retry_s: float = 2.0
    turn_s: float = 0.005


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines, rendered once for all who want them.

    Attributes:
        events: the lines as server-sent events.
        last_seq: the position after them.
        is_complete: nothing will follow.
        has_final_record: the last of them tells the state that the task ended in.
        is_after_end: there are none, although the task had ended when they were asked for.
    """

    events: bytes
    last_seq: int
    is_complete: bool = False
    has_final_record: bool = False
    is_after_end: bool = False


@dataclass(slots=True)
class _Call:
    """A call to the hub under way, and those who wait for it, in their order."""

    reader: asyncio.Task[None]
    waiters: dict[asyncio.Future[LogPage], None] = field(default_factory=dict)


class LogFeed:
    """Reads logs for viewers, and counts the open streams of this process; only this class's methods change state."""

    def __init__(self, logs: LogsPort, tasks: TasksPort, pace: Pace | None = None) -> None:
        self._logs = logs
        self._tasks = tasks
        self.pace = pace or Pace()
        self._calls: dict[tuple[str, int], _Call] = {}
        #: Held while a page of a log is handed out, so that its viewers stay together; gone when nobody hands out any.
        self._handing_out: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._streams: Counter[str] = Counter()

    @property
    def viewers(self) -> int:
        """The open streams of all."""
        return self._streams.total()

    @contextmanager
    def viewing(self, key_id: str, most: int) -> Iterator[None]:
        """Count one stream of a key while the block runs; "" stands for all who need none. Raises RequestRefusedError beyond the most."""
        if self._streams[key_id] >= most:
            message = f"{most} streams are open for this caller, the most that one may have (RFUAV_MAX_LOG_STREAMS); close some"
            raise RequestRefusedError(
                HTTPStatus.TOO_MANY_REQUESTS, "too_many_streams", message, {"Retry-After": str(RETRY_AFTER_S)}
            )
        self._streams[key_id] += 1
        try:
            yield
        finally:
            self._streams[key_id] -= 1
            self._streams += Counter()  # forgets keys without streams

    async def next_page(self, task_id: str, after: int) -> LogPage:
        """The lines after a position; an empty page if none came within the poll time.

        Raises:
            NotReadyError: the log hub does not answer, or not in time.
            TaskNotFoundError: the task was deleted meanwhile.
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
        """Read a page and hand it to all who wait for it by then; an error instead, if that is what came."""
        outcome: LogPage | Exception
        try:
            outcome = await self._read(*key)
        except Exception as error:  # noqa: BLE001 - it is the waiters' to handle
            outcome = error
        async with self._handing_out.setdefault(key[0], asyncio.Lock()):
            await self._hand_out(outcome, list(self._calls.pop(key).waiters))

    async def _hand_out(self, outcome: LogPage | Exception, waiters: list[asyncio.Future[LogPage]]) -> None:
        for first in range(0, len(waiters), VIEWERS_PER_TURN):
            if first:
                await asyncio.sleep(self.pace.turn_s)
            for waiter in waiters[first : first + VIEWERS_PER_TURN]:
                _settle(waiter, outcome)

    async def _read(self, task_id: str, after: int) -> LogPage:
        asked = "log_hub"
        try:
            async with asyncio.timeout(self.pace.poll_s + self.pace.answer_s):
                part = await self._logs.read(task_id, after=after, limit=PAGE_LINES, wait_s=self.pace.poll_s)
                if not part.lines:
                    asked = "supervisor"
                    is_over = (await self._tasks.get(task_id)).state.is_final
                    return LogPage(b"", after, part.is_complete, is_after_end=is_over)
        except TimeoutError:
            raise NotReadyError(asked) from None
        events = b"".join(b"id: %d\ndata: %b\n\n" % (line.seq, log_json(line)) for line in part.lines)
        last = part.lines[-1]
        return LogPage(events, last.seq, part.is_complete, part.is_complete and last.status in _FINAL_STATES)

    def _drop(self, key: tuple[str, int], call: _Call) -> None:
        if self._calls.get(key) is call:
            del self._calls[key]


def _settle(waiter: asyncio.Future[LogPage], outcome: LogPage | Exception) -> None:
    """Give a viewer what came, unless it has gone meanwhile."""
    if waiter.done():
        return
    if isinstance(outcome, Exception):
        waiter.set_exception(outcome)
    else:
        waiter.set_result(outcome)
