"""Task records as they are shown, and the waiting for news of them.

Owns the places in the line (which only the accountant knows, and the records do not keep), the bytes that lists are sent as, and those
who wait for the next change. The records themselves stay the supervisor's: here they are only read.
"""

import asyncio
import pickle
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from actors.core.task_flow import TaskFlow
from actors.core.tasks import Task, TaskState
from actors.messages import EncodedPage, TaskQuery
from actors.task_feed import FeedPosition, TaskChange, TaskFeed, TaskNews
from actors.task_index import TaskIndex

#: Changes in one answer; what is more comes with the next.
CHANGES_PER_ANSWER: Final = 200
#: A line that moves moves everybody in it: it is told at most once in this time, and so many places a second.
LINE_NEWS_S: Final = 1.0
PLACES_PER_S: Final = 200


class TaskWatch:
    """What is told of tasks; every change must be noted here. Nothing is sent to anybody who does not ask."""

    def __init__(self, flow: TaskFlow, index: TaskIndex) -> None:
        self._flow = flow
        self._index = index
        self._feed = TaskFeed(uuid.uuid4().hex[:16])
        self._change = asyncio.Event()
        self._positions: dict[str, int] = {}
        #: Attempts whose place is another than was told.
        self._moved: set[str] = set()
        self._line_news: asyncio.TimerHandle | None = None
        self._encoded: dict[str, bytes] = {}

    def note(self, task_id: str) -> None:
        """Take in that a task is new or changed, and wake those who wait for it."""
        self._feed.note(task_id)
        self._change.set()
        self._change = asyncio.Event()

    def forget(self, task_id: str) -> None:
        """Take in that a task is gone."""
        self._encoded.pop(task_id, None)
        self.note(task_id)

    def take_line(self, order: Iterable[str]) -> None:
        """Take in the line as it is now: attempt ids, best first. Those whose place changed are told of a moment later."""
        before, self._positions = self._positions, {attempt_id: place for place, attempt_id in enumerate(order, start=1)}
        self._moved |= {attempt_id for attempt_id, _ in before.items() ^ self._positions.items()}
        if self._moved and self._line_news is None:
            wait_s = max(LINE_NEWS_S, len(self._moved) / PLACES_PER_S)
            self._line_news = asyncio.get_running_loop().call_later(wait_s, self._tell_line)

    def view(self, task: Task) -> Task:
        """The record with its place in the line."""
        position = self._positions.get(task.attempt_id)
        if position is None or task.state not in (TaskState.PENDING, TaskState.QUEUED):
            return task
        return replace(task, queue_position=position)

    def page(self, query: TaskQuery) -> EncodedPage:
        """The tasks that a query asks for, newest first, without their histories."""
        page = self._index.page(query, self._flow.tasks)
        return EncodedPage(tuple(self._encode(task) for task in page.tasks), page.next_cursor)

    async def news(self, position: FeedPosition, wait_s: float) -> TaskNews:
        """What changed since a position; waits up to ``wait_s`` for the first of it. Somebody new learns where the feed stands."""
        if not self._feed.has_news(position):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._change.wait(), wait_s)
        feed = self._feed
        if not feed.knows(position):
            return TaskNews(feed.incarnation, feed.last, is_reset=bool(position.incarnation))
        found = feed.since(position.after, CHANGES_PER_ANSWER)
        changes = tuple(TaskChange(number, task_id, self._newest(task_id)) for number, task_id in found)
        return TaskNews(feed.incarnation, changes[-1].seq if changes else position.after, changes)

    def _newest(self, task_id: str) -> Task | None:
        task = self._flow.tasks.get(task_id)
        return None if task is None else replace(self.view(task), history=())

    def _tell_line(self) -> None:
        self._line_news = None
        moved, self._moved = self._moved, set()
        for attempt_id in sorted(moved):
            task = self._flow.current(attempt_id)
            if task is not None and task.state is not TaskState.RUNNING:
                self.note(task.task_id)

    def _encode(self, task: Task) -> bytes:
        """A task as bytes; those of a task that has ended are made once."""
        if not task.state.is_final:
            return pickle.dumps(replace(self.view(task), history=()))
        if task.task_id not in self._encoded:
            self._encoded[task.task_id] = pickle.dumps(replace(task, history=()))
        return self._encoded[task.task_id]
