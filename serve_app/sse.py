"""Streams of server-sent events, and a task's log as one of them or as a JSON array.

Owns the framing: events without a name (browsers' ``onmessage`` sees only those), the line's number as id, a comment when nothing
happens, and the record that ends every stream. Once an answer has begun, an error is a last record, never a status.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from actors.core.tasks import Task
from actors.messages import LogSlice
from serve_app.access import refuse_unknown
from serve_app.bodies import JSON_TYPE
from serve_app.context import Service
from serve_app.http_errors import describe_error
from serve_app.log_feed import PAGE_LINES, LogPage
from serve_app.ports import NotReadyError
from serve_app.shape import log_json, task_message

COMMENT = b": still here\n\n"
#: How often a stream asks a log hub that does not answer (it is back from a crash in about a second) before it gives up.
MOST_FAILURES = 10
_LOGGER = logging.getLogger(__name__)


class EventStream(StreamingResponse):
    """A stream that closes its source at once when the viewer goes, wherever it stands. Counts as open from its first byte on."""

    media_type = "text/event-stream"

    def __init__(self, service: Service, events: AsyncGenerator[bytes, None], *, key_id: str = "") -> None:
        self._events = events
        self._place = service.feed.viewing(key_id, service.settings.max_log_streams)
        super().__init__(self._events, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Raises RequestRefusedError, before anything is sent, where the caller has too many."""
        with self._place:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the events one by one; nothing is read ahead of what the viewer takes."""
        async with aclosing(self._events):
            await super().stream_response(send)


async def follow_log(service: Service, task_id: str, after: int, *, key_id: str = "") -> AsyncGenerator[bytes, None]:
    """Yield a task's log from a position until its end, as events; no further than to the end of the viewer's key."""
    viewer = _Viewer(service, task_id, after, key_id)
    try:
        page = await viewer.next_page()
        yield page.events or COMMENT
        while not page.is_complete and not viewer.is_stranded(page):
            page = await viewer.next_page()
            yield page.events or COMMENT
        if not page.has_final_record:
            yield _data(_final_record(await service.ports.tasks.get(task_id)))
    except Exception as error:  # noqa: BLE001 - an edge: the viewer must be told, and this is the only way left
        yield _data(_error_record(error))


async def answer_array(service: Service, task_id: str, after: int) -> StreamingResponse:
    """Answer with what the log holds now as one JSON array. Raises NotReadyError while the log hub does not answer."""
    first = await service.ports.logs.read(task_id, after=after, limit=PAGE_LINES)
    return StreamingResponse(_array_chunks(service, task_id, first), media_type=JSON_TYPE)


async def _array_chunks(service: Service, task_id: str, part: LogSlice) -> AsyncGenerator[bytes, None]:
    """Yield the array page by page; an error on the way breaks it off, so that nobody takes a part for the whole."""
    opening = b"["
    while part.lines:
        yield opening + b",".join(map(log_json, part.lines))
        opening = b","
        if part.is_complete:
            break
        part = await service.ports.logs.read(task_id, after=part.lines[-1].seq, limit=PAGE_LINES)
    yield b"]" if opening == b"," else b"[]"


class _Viewer:
    """Where one stream stands; only its methods move it on."""

    def __init__(self, service: Service, task_id: str, after: int, key_id: str) -> None:
        self._door = service.door
        self._key_id = key_id
        self._feed = service.feed
        self._task_id = task_id
        self._after = after
        self._failures = 0
        self._is_ended = False

    async def next_page(self) -> LogPage:
        """The next page, over a restart of the log hub too: an empty one stands for a hub that does not answer yet.

        Raises:
            RequestRefusedError: the viewer's key was revoked meanwhile.
            NotReadyError, TaskNotFoundError: see ``LogFeed.next_page``.
        """
        try:
            page = await self._feed.next_page(self._task_id, self._after)
        except NotReadyError as error:
            self._failures += 1
            if self._failures > MOST_FAILURES:
                raise
            await asyncio.sleep(min(error.retry_after_s, self._feed.pace.retry_s))
            return LogPage(b"", self._after)
        if not self._door.still_knows(self._key_id):
            raise refuse_unknown("the key of this stream was revoked")
        self._failures, self._after = 0, page.last_seq
        return page

    def is_stranded(self, page: LogPage) -> bool:
        """Whether the task had ended one idle page ago already, yet its log does not say so, and never will."""
        if page.events or self._failures:
            return False
        was_ended, self._is_ended = self._is_ended, page.is_after_end
        return was_ended and self._is_ended


def _final_record(task: Task) -> dict[str, Any]:
    """The end of a task whose log does not tell it (or not after where the viewer stands)."""
    return {"status": task.state.value, "message": task_message(task)}


def _error_record(error: Exception) -> dict[str, Any]:
    fault = describe_error(error)
    if fault.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOGGER.error("a log stream broke off", exc_info=error, extra={"action": "log_stream_failed"})
    return fault.body()


def _data(record: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(record).encode() + b"\n\n"
