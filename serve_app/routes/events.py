"""What happens in the service, as it happens: one stream for everything that a page shows."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from actors.access import Role
from serve_app.access import caller_of, requires
from serve_app.bodies import JsonRoute
from serve_app.context import ServiceDep
from serve_app.document import model_reference
from serve_app.events import follow_events, read_position
from serve_app.http_errors import error_responses
from serve_app.schemas.events import Event
from serve_app.schemas.fields import EmptyMeansNone
from serve_app.sse import EventStream

router = APIRouter(route_class=JsonRoute, tags=["events"])

EVENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "server-sent events without a name, each with one of these as data",
        "content": {EventStream.media_type: {"schema": model_reference(Event)}},
    },
    **error_responses(400, 422, 429, 503),
}
EventId = Annotated[str | None, EmptyMeansNone]


@router.get("/api/v2/events", response_class=Response, responses=EVENT_RESPONSES)
@requires(Role.VIEWER)
async def follow_all(
    request: Request,
    service: ServiceDep,
    last_event_header: Annotated[EventId, Header(alias="Last-Event-ID", max_length=100)] = None,
    last_event_id: Annotated[EventId, Query(max_length=100, description="where the header cannot be sent")] = None,
) -> Response:
    """Tasks, devices and models as they change. A stream that broke off goes on after the id it ended with."""
    key_id = caller_of(request).key_id
    position = read_position(last_event_header if last_event_header is not None else last_event_id)
    return EventStream(service, follow_events(service, position, key_id=key_id), key_id=key_id)
