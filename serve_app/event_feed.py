"""What happens in the service, gathered once for all who watch it: tasks, devices, models.

Owns the sharing: one long-poll to the supervisor and one look at the devices a second, however many watch, and none while nobody does.
Each change is rendered once. Nothing is queued for a viewer: only the newest state of each task is kept here, viewers take what is newer
than what they saw, and so a slow one gets fewer states and costs nothing. The limits of what is kept are the supervisor's to make up for.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from pydantic_core import to_json

from actors.core.errors import ActorSystemError
from actors.messages import DeviceView, ResourceView
from actors.task_feed import FeedPosition, TaskChange, TaskNews
from serve_app.log_feed import VIEWERS_PER_TURN
from serve_app.model_table import FollowedModels
from serve_app.ports import NotReadyError, ResourcesPort, TasksPort
from serve_app.shape import task_response
from serve_app.shape_resources import resource_response
from serve_app.task_list import TASKS_PER_TURN

#: Tasks whose newest state is kept ready; for older ones the supervisor is asked.
KEPT_TASKS: Final = 1_000
#: Tasks that one viewer gets at a time.
TASKS_PER_PAGE: Final = 200
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EventPace:
    """The times of the feed, in seconds.

    Attributes:
        poll_s: how long one question for changed tasks waits at the supervisor.
        gather_s: the pause after an answer: changes within it come together, the newest of each task only.
        look_s: between two looks at devices and models.
        retry_s: before a component that does not answer is asked again.
        comment_s: the longest silence of a stream; under the 15 s of the contract.
        turn_s: the pause between two turns of viewers.
    """

    poll_s: float = 10.0
    gather_s: float = 0.25
    look_s: float = 1.0
    retry_s: float = 0.5
    comment_s: float = 10.0
    turn_s: float = 0.005


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The newest state of something that is shown whole; versions of one kind only grow."""

    version: int
    data: bytes


class EventFeed:
    """The newest of everything. Invariant: while somebody watches, every task that changed after ``base`` is kept with its number."""

    def __init__(
        self, tasks: TasksPort, resources: ResourcesPort, models: FollowedModels, *, pace: EventPace | None = None
    ) -> None:
        self._tasks = tasks
        self._resources = resources
        self._models = models
        self.pace = pace or EventPace()
        self.snapshots: dict[str, Snapshot] = {}
        self._viewers = 0
        self._pumps: list[asyncio.Task[None]] = []
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._news = asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        """Know nothing, as before the first answer."""
        #: Where the feed stands; of no incarnation until the supervisor has answered.
        self.position = FeedPosition()
        self.base = 0
        self._changes: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._last_page: tuple[int, int, bytes, int] = (0, 0, b"", 0)
        self._shown: tuple[ResourceView | None, int | None] = (None, None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Gather while the block runs; with the last viewer it ends."""
        self._viewers += 1
        if not self._pumps:
            work = (self._follow_tasks(), self._look_around(), self._hand_out())
            self._pumps = [asyncio.get_running_loop().create_task(each) for each in work]
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                for pump in self._pumps:
                    pump.cancel()
                self._pumps = []
                self._forget()

    @contextmanager
    def next_change(self) -> Iterator[asyncio.Future[None]]:
        """What is done once something changes after now."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            yield waiter
        finally:
            del self._waiters[waiter]

    def since(self, after: int) -> tuple[bytes, int]:
        """The tasks that changed after a number not below ``base``, as events, and the number after them."""
        newest = self.position.after
        if self._last_page[:2] != (after, newest):
            newer = list(takewhile(lambda each: each[0] > after, reversed(self._changes.values())))[::-1]
            page = newer[:TASKS_PER_PAGE]
            end = page[-1][0] if len(page) < len(newer) else max(after, newest)
            self._last_page = (after, newest, b"".join(event for _, event in page), end)
        return self._last_page[2:]

    async def catch_up(self, position: FeedPosition) -> tuple[bytes, TaskNews]:
        """What the supervisor still knows of before ``base``, as events. Raises NotReadyError."""
        news = await self._tasks.watch(position, 0.0)
        return b"".join([event for _, _, event in await _render(news)]), news

    # --- gathering ---

    async def _follow_tasks(self) -> None:
        position = FeedPosition()

        async def take_news() -> None:
            nonlocal position
            news = await self._tasks.watch(position, self.pace.poll_s)
            await self._take(news)
            position = news.position
            await asyncio.sleep(self.pace.gather_s if news.changes else 0)

        await self._repeat(take_news)

    async def _look_around(self) -> None:
        async def look() -> None:
            self._take_models()
            await self._take_resources(await self._resources.view())
            await asyncio.sleep(self.pace.look_s)

        await self._repeat(look)

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again, whatever becomes of it: viewers cannot be told of faults, and stay."""
        while True:
            try:
                await work()
            except (NotReadyError, ActorSystemError):
                await asyncio.sleep(self.pace.retry_s)
            except Exception:
                _LOGGER.exception("what happens cannot be gathered", extra={"action": "events_failed"})
                await asyncio.sleep(self.pace.retry_s)

    async def _take(self, news: TaskNews) -> None:
        rendered = await _render(news)
        if news.is_reset or news.incarnation != self.position.incarnation:
            self._changes.clear()
            self.base = news.seq
        for task_id, seq, event in rendered:
            self._changes[task_id] = (seq, event)
            self._changes.move_to_end(task_id)
        while len(self._changes) > KEPT_TASKS:
            self.base = self._changes.popitem(last=False)[1][0]
        if news.position != self.position:
            self.position = news.position
            self._news.set()

    async def _take_resources(self, view: ResourceView) -> None:
        shown, revision = self._shown
        if shown is None or steady(view) != shown:
            self._shown = (steady(view), revision)
            data = b'{"kind":"resources","resources":%b}' % to_json(resource_response(view), inf_nan_mode="null")
            self._put("resources", data)

    def _take_models(self) -> None:
        table, (shown, revision) = self._models.current, self._shown
        if table is not None and table.revision != revision:
            self._shown = (shown, table.revision)
            self._put("models", b'{"kind":"models","revision":%d}' % table.revision)

    def _put(self, kind: str, data: bytes) -> None:
        last = self.snapshots.get(kind)
        self.snapshots[kind] = Snapshot(last.version + 1 if last else 1, data)
        self._news.set()

    async def _hand_out(self) -> None:
        """Wake viewers a few at a time, so that hundreds of them never keep other requests waiting."""
        while True:
            await self._news.wait()
            self._news.clear()
            waiters = list(self._waiters)
            for first in range(0, len(waiters), VIEWERS_PER_TURN):
                for waiter in waiters[first : first + VIEWERS_PER_TURN]:
                    if not waiter.done():
                        waiter.set_result(None)
                await asyncio.sleep(self.pace.turn_s)


def steady(view: ResourceView) -> ResourceView:
    """A view without what changes all the time: the time itself, and the driver's figures to the last digit."""
    return replace(view, at=0.0, oldest_wait_s=0.0, devices=tuple(map(_steady_device, view.devices)))


def event_id(position: FeedPosition) -> bytes:
    """The line that lets a client come back to here."""
    return b"id: %b-%d\n" % (position.incarnation.encode(), position.after)


def _steady_device(view: DeviceView) -> DeviceView:
    return replace(view, power_w=view.power_w // 10, temperature_c=view.temperature_c // 2, utilization=view.utilization // 5)


async def _render(news: TaskNews) -> list[tuple[str, int, bytes]]:
    """Each change with its task and number, as an event."""
    rendered: list[tuple[str, int, bytes]] = []
    for number, change in enumerate(news.changes, 1):
        event = event_id(FeedPosition(news.incarnation, change.seq)) + b"data: " + _change_json(change) + b"\n\n"
        rendered.append((change.task_id, change.seq, event))
        if number % TASKS_PER_TURN == 0:
            await asyncio.sleep(0)
    return rendered


def _change_json(change: TaskChange) -> bytes:
    if change.task is None:
        return b'{"kind":"task_deleted","task_id":%b}' % to_json(change.task_id)
    return b'{"kind":"task","task":%b}' % to_json(task_response(change.task), inf_nan_mode="null")
