"""The supervisor's own lines in the logs of tasks.

Each step of a task's life is a line, and the number of the step is the line's: whoever tells it again, after a crash that may have
come before or after the first time, adds nothing to the log that has it. Remarks beside the steps are told once, if at all.

Logs are deleted here too, since a line of a deleted task that came after would begin its log anew. Lines that an attempt could not send
wait in memory only: a supervisor that ends before the hub takes them takes them with it.
"""

import asyncio
import heapq
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from actors.clock import Clock
from actors.core.task_events import Announce, tell_step
from actors.core.tasks import Task
from actors.messages import LogDraft

#: The source of the lines that tell a task's steps, whichever supervisor sends them.
STEPS = "supervisor"

#: So many tasks, the newest, are told of again by a supervisor that begins.
_RETOLD: Final = 1_000

#: Waits until what is known of a task is on disk.
Written = Callable[[str], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class SaidLines:
    """Lines of one source for one task's log, as the hub takes them."""

    task_id: str
    source: str
    drafts: tuple[LogDraft, ...]

    @property
    def message(self) -> tuple[Any, ...]:
        """The hub's method and its arguments."""
        return "append", self.task_id, self.source, self.drafts


@dataclass(frozen=True, slots=True)
class ForgottenLog:
    """The log of a task that was deleted, on its way out of the hub."""

    task_id: str

    @property
    def message(self) -> tuple[Any, ...]:
        """The hub's method and its arguments."""
        return "forget", self.task_id


class TaskLogWriter:
    """Numbers and keeps in order the lines that the supervisor adds to the logs.

    Invariants: a line is handed out only when the record that it tells of is on disk. A deletion is handed out before all lines, so that
    it makes room where lines wait for some; what was said of its task before is handed out no more, what is said later comes behind it.
    Steps are numbered by their place in the task's history; remarks are a source of their own in each supervisor.
    """

    def __init__(self, clock: Clock, written: Written) -> None:
        self._clock = clock
        self._written = written
        self._remarks = f"{STEPS}-{uuid.uuid4().hex[:8]}"
        self._indexes: dict[str, int] = {}
        self._lines: deque[SaidLines] = deque()
        #: The tasks whose logs are to be deleted, in their order; the values say nothing.
        self._forgotten: dict[str, None] = {}
        self._has_news = asyncio.Event()
        self._waiting: asyncio.Future[Any] | None = None

    def put(self, said: Announce) -> None:
        """Take in an announcement, to be sent after all before it."""
        source, index = (STEPS, said.step) if said.step else (self._remarks, self._count_remark(said))
        if said.is_last:
            self._indexes.pop(said.task_id, None)
        self._add(SaidLines(said.task_id, source, (_draft(said, index, self._clock.now()),)))

    def retell_newest(self, tasks: Iterable[Task]) -> None:
        """Tell the steps of the newest tasks again: an earlier supervisor may have ended before it had told them."""
        for task in heapq.nlargest(_RETOLD, tasks, key=lambda task: task.updated_at):
            self.retell(task)

    def retell(self, task: Task) -> None:
        """Tell every step of a task again; the log takes those that it lacks."""
        steps = enumerate(task.history, start=1)
        drafts = tuple(_draft(tell_step(task, number), number, change.at) for number, change in steps)
        self._add(SaidLines(task.task_id, STEPS, drafts))

    def forward(self, task_id: str, attempt_id: str, drafts: Sequence[LogDraft]) -> None:
        """Take over lines that an attempt could not send, to be sent before whatever is announced from now on."""
        self._add(SaidLines(task_id, attempt_id, tuple(drafts)))

    def forget(self, task_id: str) -> None:
        """Have a task's log deleted, and drop what is still to be said of the task."""
        self._indexes.pop(task_id, None)
        self._lines = deque(said for said in self._lines if said.task_id != task_id)
        self._forgotten[task_id] = None
        self._has_news.set()
        if self._waiting is not None:
            self._waiting.cancel()

    async def next_message(self) -> SaidLines | ForgottenLog:
        """What the hub is to take next; the same again until it is ``done`` or a deletion comes before it.

        Lines are handed out once it is sure that what they tell will be known after a crash.
        """
        while True:
            if self._forgotten:
                return ForgottenLog(next(iter(self._forgotten)))
            if not self._lines:
                self._has_news.clear()
                await self._has_news.wait()
            elif await self._unless_forgotten(self._written(self._lines[0].task_id)):
                return self._lines[0]

    def done(self, message: SaidLines | ForgottenLog) -> None:
        """Take note that the hub has taken a message."""
        if isinstance(message, ForgottenLog):
            self._forgotten.pop(message.task_id, None)
        elif self._lines and self._lines[0] is message:  # else its task was deleted meanwhile
            self._lines.popleft()

    def _add(self, said: SaidLines) -> None:
        self._lines.append(said)
        self._has_news.set()

    async def _unless_forgotten(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for some work; False where a deletion came first."""
        self._waiting = asyncio.ensure_future(work)
        try:
            await asyncio.wait({self._waiting})
            if self._waiting.cancelled():
                return False
            self._waiting.result()
            return not self._forgotten
        finally:
            self._waiting.cancel()
            self._waiting = None

    def _count_remark(self, said: Announce) -> int:
        index = self._indexes.get(said.task_id, 0) + 1
        self._indexes[said.task_id] = index
        return index


def _draft(said: Announce, index: int, at: float) -> LogDraft:
    return LogDraft(index, at, said.level, said.message, status=said.state.value, is_last=said.is_last)
