"""One viewer of what happens in the service: where it stands, and what it gets next.

Owns the framing of the stream and the words for a position, as clients send them back. What is gathered, and how, is the feed's.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Final

from actors.task_feed import FeedPosition
from serve_app.context import Service
from serve_app.event_feed import EventFeed, event_id
from serve_app.ports import NotReadyError
from serve_app.sse import COMMENT

_RESET: Final = b'data: {"kind":"reset"}\n\n'
_POSITION: Final = re.compile(r"([0-9a-f]{1,64})-([0-9]{1,18})")
#: Of no supervisor's life: whoever sends what is no position has to read the lists again.
_UNKNOWN: Final = FeedPosition("unknown")


def read_position(text: str | None) -> FeedPosition:
    """The position that a Last-Event-ID means; that of somebody new where there is none."""
    if not text:
        return FeedPosition()
    match = _POSITION.fullmatch(text)
    return FeedPosition(match[1], int(match[2])) if match else _UNKNOWN


async def follow_events(service: Service, position: FeedPosition, *, key_id: str) -> AsyncGenerator[bytes, None]:
    """Yield events from a position on, until the viewer's key is revoked: nothing of what comes after that is told."""
    with service.events.watching():
        viewer = EventViewer(service.events, position)
        while True:
            events = await viewer.next()
            if not service.door.still_knows(key_id):
                return
            yield events or COMMENT


class EventViewer:
    """Where one stream stands. Invariant: whatever changed after ``position`` was not sent yet."""

    def __init__(self, feed: EventFeed, position: FeedPosition) -> None:
        self._feed = feed
        self._position = position
        self._seen: dict[str, int] = {}

    async def next(self) -> bytes:
        """The next events; none where nothing happens for as long as a stream may be silent."""
        try:
            async with asyncio.timeout(self._feed.pace.comment_s):
                while True:
                    with self._feed.next_change() as change:
                        if events := await self._take():
                            return events
                        await change
        except TimeoutError:
            return b""

    async def _take(self) -> bytes:
        """What is there now. Nothing before the feed has a position: whoever reads a list after the first event misses no change."""
        if not self._feed.position.incarnation:
            return b""
        return await self._take_tasks() + self._take_snapshots()

    async def _take_tasks(self) -> bytes:
        feed = self._feed
        if not self._position.incarnation:
            self._position = feed.position
            return b""
        if self._position.incarnation != feed.position.incarnation:
            return self._reset(feed.position)
        if self._position.after < feed.base:
            return await self._catch_up()
        events, after = feed.since(self._position.after)
        self._position = FeedPosition(self._position.incarnation, after)
        return events

    async def _catch_up(self) -> bytes:
        try:
            events, news = await self._feed.catch_up(self._position)
        except NotReadyError:
            return b""
        if news.is_reset:
            return self._reset(news.position)
        self._position = news.position
        return events

    def _reset(self, position: FeedPosition) -> bytes:
        self._position = position
        return event_id(position) + _RESET

    def _take_snapshots(self) -> bytes:
        found = b""
        for kind, snapshot in self._feed.snapshots.items():
            if self._seen.get(kind) != snapshot.version:
                self._seen[kind] = snapshot.version
                found += event_id(self._position) + b"data: " + snapshot.data + b"\n\n"
        return found
