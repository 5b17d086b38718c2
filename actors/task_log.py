"""The supervisor's own lines in the logs of tasks.

Each step of a task's life is a line, and the number of the step is the line's: whoever tells it again, after a crash that may have
come before or after the first time, adds nothing to the log that has it. Remarks beside the steps are told once, if at all.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from actors.clock import Clock
from actors.core.task_events import Announce, tell_step
from actors.core.tasks import Task
from actors.messages import LogDraft

#: The source of the lines that tell a task's steps, whichever supervisor sends them.
STEPS = "supervisor"

#: Waits until what is known of a task is on disk.
Written = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SaidLines:
    """Lines of one source for one task's log, as the hub takes them."""

    task_id: str
    source: str
    drafts: tuple[LogDraft, ...]


class TaskLogWriter:
    """Numbers and keeps in order the lines that the supervisor adds to the logs.

    Invariant: a line is handed out only when the record that it tells of is on disk. Steps are numbered by their place in the task's
    history; remarks are a source of their own in each supervisor.
    """

    def __init__(self, clock: Clock, written: Written) -> None:
        self._clock = clock
        self._written = written
        self._remarks = f"{STEPS}-{uuid.uuid4().hex[:8]}"
        self._indexes: dict[str, int] = {}
        self._lines: asyncio.Queue[SaidLines] = asyncio.Queue()

    def put(self, said: Announce) -> None:
        """Take in an announcement, to be sent after all before it."""
        source, index = (STEPS, said.step) if said.step else (self._remarks, self._count_remark(said))
        if said.is_last:
            self._indexes.pop(said.task_id, None)
        self._lines.put_nowait(SaidLines(said.task_id, source, (_draft(said, index, self._clock.now()),)))

    def retell(self, task: Task) -> None:
        """Tell every step of a task again; the log takes those that it lacks."""
        steps = enumerate(task.history, start=1)
        drafts = tuple(_draft(tell_step(task, number), number, change.at) for number, change in steps)
        self._lines.put_nowait(SaidLines(task.task_id, STEPS, drafts))

    def forward(self, task_id: str, attempt_id: str, drafts: Sequence[LogDraft]) -> None:
        """Take over lines that an attempt could not send, to be sent before whatever is announced from now on."""
        self._lines.put_nowait(SaidLines(task_id, attempt_id, tuple(drafts)))

    async def next_line(self) -> SaidLines:
        """The next lines to send, once it is sure that what they tell will be known after a crash."""
        said = await self._lines.get()
        await self._written(said.task_id)
        return said

    def _count_remark(self, said: Announce) -> int:
        index = self._indexes.get(said.task_id, 0) + 1
        self._indexes[said.task_id] = index
        return index


def _draft(said: Announce, index: int, at: float) -> LogDraft:
    return LogDraft(index, at, said.level, said.message, status=said.state.value, is_last=said.is_last)
