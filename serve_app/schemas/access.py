"""Keys, stream tickets and the audit log."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from actors.access import Role
from serve_app.schemas.fields import RequestModel, ResponseModel, TaskId, Timestamp


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a name has no control characters")
    return text


KeyName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_check_printable)]


class KeyRequest(RequestModel):
    """A wish for a key."""

    name: Annotated[KeyName, Field(description="whose it is, or what for")]
    role: Annotated[Role, Field(description="viewer: look; operator: also submit, end and upload; admin: also limits and keys")]


class KeyResponse(ResponseModel):
    """One key, without what would let anybody use it."""

    key_id: str
    name: str
    role: Role
    created_at: Timestamp


class NewKeyResponse(KeyResponse):
    """A new key."""

    key: Annotated[str, Field(description="the key itself; it is shown here and never again")]


class KeyListResponse(ResponseModel):
    """All keys, oldest first."""

    keys: list[KeyResponse]


class StreamTicketRequest(RequestModel):
    """A wish for a ticket to the log of a task."""

    task_id: TaskId


class StreamTicketResponse(ResponseModel):
    """A ticket to the log of a task."""

    ticket: Annotated[str, Field(description="to be sent as ?ticket= with the log's address")]
    expires_at: Annotated[
        Timestamp, Field(description="until when a stream can be opened with it; an open one lives on with its key")
    ]
    path: Annotated[str, Field(description="the address of the stream, ticket included")]


class AuditEntryResponse(ResponseModel):
    """One change that somebody asked for."""

    at: Timestamp
    key_id: Annotated[str, Field(description="empty for changes made without a key")]
    name: Annotated[str, Field(description="of the key; local for this machine's users while there are no keys")]
    address: str
    action: str
    subject: Annotated[str, Field(description="the task, batch, key, device or path that it was about")]
    status: Annotated[int, Field(description="of the answer")]


class AuditResponse(ResponseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryResponse]
    next_cursor: str | None
