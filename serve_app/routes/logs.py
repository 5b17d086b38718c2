"""How a request says which part of a log it wants, and in which form."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from serve_app.access import caller_of
from serve_app.bodies import JSON_TYPE
from serve_app.context import Service
from serve_app.http_errors import error_responses
from serve_app.schemas.fields import EmptyMeansNone
from serve_app.schemas.tasks import LogRecord
from serve_app.sse import EventStream, answer_array, follow_log

LogPosition = Annotated[int, Field(ge=0, lt=2**63)]

#: The OpenAPI entries of a log route.
LOG_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "server-sent events, each with a LogRecord as data; an array of them with ?format=json",
        "model": list[LogRecord],
        "content": {EventStream.media_type: {"schema": {"type": "string"}}},
    },
    **error_responses(400, 404, 422, 429, 503),
}


@dataclass(frozen=True, slots=True)
class LogWish:
    """The lines after ``after``: as one array of what is there, or as a stream until the task's end or that of the caller's key."""

    after: int
    as_array: bool
    key_id: str


async def read_log_wish(
    request: Request,
    last_event_header: Annotated[LogPosition | None, EmptyMeansNone, Header(alias="Last-Event-ID")] = None,
    last_event_id: Annotated[LogPosition | None, EmptyMeansNone, Query(description="where the header cannot be sent")] = None,
    form: Annotated[Literal["json", "sse"] | None, EmptyMeansNone, Query(alias="format")] = None,
) -> LogWish:
    """Read the wish from headers and query; the header of a reconnecting browser wins over the query it began with."""
    after = last_event_header if last_event_header is not None else last_event_id
    accept = request.headers.get("accept", "")
    prefers_array = JSON_TYPE in accept and EventStream.media_type not in accept
    as_array = prefers_array if form is None else form == "json"
    return LogWish(after or 0, as_array=as_array, key_id=caller_of(request).key_id)


LogWishDep = Annotated[LogWish, Depends(read_log_wish)]


async def answer_log(service: Service, task_id: str, wish: LogWish) -> Response:
    """Answer with the log of a task that is known to exist."""
    if wish.as_array:
        return await answer_array(service, task_id, wish.after)
    events = follow_log(service, task_id, wish.after, key_id=wish.key_id)
    return EventStream(service, events, key_id=wish.key_id)
