"""Keys, stream tickets and the audit log."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from actors.access import ApiKey, AuditEntry, Role
from actors.core.errors import StoreUnavailableError
from serve_app.access import caller_of, requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import Service, ServiceDep
from serve_app.http_errors import error_responses
from serve_app.ports import NotReadyError
from serve_app.routes.lookup import find_task
from serve_app.schemas.access import (
    AuditEntryResponse,
    AuditResponse,
    KeyListResponse,
    KeyRequest,
    KeyResponse,
    NewKeyResponse,
    StreamTicketRequest,
    StreamTicketResponse,
)
from serve_app.schemas.fields import EmptyMeansNone
from serve_app.shape import timestamp

router = APIRouter(route_class=JsonRoute, tags=["access"])

AuditPosition = Annotated[int, Field(ge=0, lt=2**63)]


@router.get("/api/v2/keys", response_model=KeyListResponse, responses=error_responses(400, 503))
@requires(Role.ADMIN)
async def list_keys(service: ServiceDep) -> Response:
    """All keys, oldest first; what they are is known to their owners alone."""
    table = await service.door.keys.refresh()
    return JsonAnswer(KeyListResponse(keys=[_key_response(key) for key in table.keys.values()]))


@router.post("/api/v2/keys", response_model=NewKeyResponse, responses=error_responses(400, 413, 415, 422, 503))
@requires(Role.ADMIN, action="add_key")
async def add_key(request: KeyRequest, service: ServiceDep) -> Response:
    """Make a key; the answer is the only place where it is ever shown."""
    new = await service.ports.access.add_key(request.name, request.role)
    await _learn_at_once(service)
    return JsonAnswer(NewKeyResponse(**_key_response(new.key).model_dump(), key=new.token), subject=str(new.key))


@router.delete("/api/v2/keys/{key_id}", response_model=KeyResponse, responses=error_responses(400, 404, 409, 413, 415, 422, 503))
@requires(Role.ADMIN, action="revoke_key")
async def revoke_key(key_id: str, service: ServiceDep) -> Response:
    """Take a key back; it is refused from now on. The last admin key cannot be revoked here."""
    key = await service.ports.access.revoke_key(key_id[:64])
    await _learn_at_once(service)
    return JsonAnswer(_key_response(key), subject=str(key))


@router.get("/api/v2/audit", response_model=AuditResponse, responses=error_responses(400, 422, 503))
@requires(Role.ADMIN)
async def read_audit(
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[AuditPosition | None, EmptyMeansNone, Query(description="next_cursor of the page before")] = None,
) -> Response:
    """Who asked for which change, newest first."""
    page = await service.ports.access.read_audit(cursor, limit)
    next_cursor = None if page.next_cursor is None else str(page.next_cursor)
    return JsonAnswer(AuditResponse(entries=[_entry_response(entry) for entry in page.entries], next_cursor=next_cursor))


@router.post("/api/v2/stream-tickets", response_model=StreamTicketResponse, responses=error_responses(400, 404, 413, 415, 422, 503))
@requires(Role.VIEWER)
async def issue_ticket(body: StreamTicketRequest, request: Request, service: ServiceDep) -> Response:
    """A ticket to the log of one task, for an EventSource, which can send no key."""
    await find_task(service, body.task_id)
    text, ticket = service.door.tickets.issue(body.task_id, caller_of(request).key_id)
    path = f"/api/v2/tasks/{body.task_id}/logs?ticket={text}"
    return JsonAnswer(StreamTicketResponse(ticket=text, expires_at=timestamp(ticket.expires_at), path=path))


async def _learn_at_once(service: Service) -> None:
    """Take in a change that was just made. It is made, whatever comes of this: the long poll brings it too."""
    with suppress(NotReadyError, StoreUnavailableError):
        await service.door.keys.refresh()


def _key_response(key: ApiKey) -> KeyResponse:
    return KeyResponse(key_id=key.key_id, name=key.name, role=key.role, created_at=timestamp(key.created_at))


def _entry_response(entry: AuditEntry) -> AuditEntryResponse:
    return AuditEntryResponse(
        at=timestamp(entry.at),
        key_id=entry.key_id,
        name=entry.key_name,
        address=entry.address,
        action=entry.action,
        subject=entry.subject,
        status=entry.status,
    )
