"""What a route demands of its callers, declared where the route is, and checked before the route sees anything of the request.

Owns the declaration (``requires``, ``open_to_all``), the route class that enforces it, and its traces in the OpenAPI document. Who the
caller is was found out before, by ``KeyGate``. A route without a declaration demands an admin.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from actors.access import Role
from serve_app.http_errors import RequestRefusedError, error_responses

TICKET_PARAMETER: Final = "ticket"
CALLER: Final = "caller"
SUBJECT: Final = "audit_subject"
ACCESS: Final = "audit_access"
_DECLARATION: Final = "declared_access"
_SCHEMES: Final = ("ApiKey", "Bearer")
_TICKET_SCHEME: Final = "StreamTicket"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """What a route demands.

    Attributes:
        role: the least role; None for everybody, without a key.
        action: what the audit log calls it; "" for what changes nothing.
        takes_ticket: whether a stream ticket will do.
    """

    role: Role | None
    action: str = ""
    takes_ticket: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from.

    Attributes:
        role: None for somebody without a key.
        key_id: "" without a key.
        name: of the key, or what stands for it.
        task_id: of a stream ticket: the only task whose log may be read; "" for everybody else.
    """

    role: Role | None
    key_id: str = ""
    name: str = ""
    task_id: str = ""


#: Users of this machine while there are no keys.
LOCAL: Final = Caller(Role.ADMIN, name="local")
NOBODY: Final = Caller(None)
_UNDECLARED: Final = Access(Role.ADMIN, action="undeclared")


def requires(role: Role, *, action: str = "", takes_ticket: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Declare the least role that an endpoint's routes demand; stands closest to the function."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _DECLARATION, Access(role, action, takes_ticket))
        return endpoint

    return declare


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Declare that an endpoint's routes answer without a key too."""
    setattr(endpoint, _DECLARATION, Access(None))
    return endpoint


def declared_access(endpoint: Callable[..., Any]) -> Access | None:
    """What an endpoint declares; None if nothing."""
    return getattr(endpoint, _DECLARATION, None)


def caller_of(request: Request) -> Caller:
    """Who a request comes from."""
    caller: Caller = request.scope.get(CALLER, NOBODY)
    return caller


class GuardedRoute(APIRoute):
    """A route that only those see who may use it. Bodies are not even read for the others."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.access = declared_access(endpoint) or _UNDECLARED
        refusals = (403,) if self.access.role is None else (401, 403, 503)  # 503: the keys are not known yet
        options["responses"] = error_responses(*refusals) | (options.get("responses") or {})
        options["openapi_extra"] = {"security": _security(self.access)} | (options.get("openapi_extra") or {})
        super().__init__(path, endpoint, **options)

    def guarded_handler(self) -> Handler:
        """What those get to see who may: for subclasses to extend."""
        return super().get_route_handler()

    def get_route_handler(self) -> Handler:
        """The handler, behind the check of the role."""
        handle = self.guarded_handler()

        async def handle_guarded(request: Request) -> Response:
            check_access(self.access, caller_of(request), request.path_params.get("task_id", ""))
            request.scope[ACCESS] = self.access
            return await handle(request)

        return handle_guarded


def check_access(access: Access, caller: Caller, task_id: str) -> None:
    """Refuse a caller whom a route does not take. Raises RequestRefusedError (401, 403)."""
    if access.role is None:
        return
    if caller.task_id and not (access.takes_ticket and caller.task_id == task_id):
        raise refuse_unknown("a stream ticket opens the log of its own task and nothing else")
    if caller.role is None:
        raise refuse_unknown()
    if not caller.role.covers(access.role):
        message = f"this needs a key with the role {access.role}; the key {caller.name!r} has the role {caller.role}"
        raise RequestRefusedError(403, "role_too_low", message)


def refuse_unknown(message: str = "send a key as X-API-Key, or as Authorization: Bearer") -> RequestRefusedError:
    """The answer to somebody without a right key."""
    return RequestRefusedError(401, "key_required", message, {"WWW-Authenticate": 'Bearer realm="rfuav"'})


def security_schemes() -> dict[str, Any]:
    """How keys are sent, for the OpenAPI document."""
    return {
        "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "Bearer": {"type": "http", "scheme": "bearer"},
        _TICKET_SCHEME: {
            "type": "apiKey",
            "in": "query",
            "name": TICKET_PARAMETER,
            "description": "of POST /api/v2/stream-tickets, for an EventSource, which cannot send headers",
        },
    }


def _security(access: Access) -> list[dict[str, list[str]]]:
    """The ways in, any of which will do. An empty one among them: while there are no keys, none is needed."""
    if access.role is None:
        return []
    names = [*_SCHEMES, *([_TICKET_SCHEME] if access.takes_ticket else [])]
    ways: list[dict[str, list[str]]] = [{name: []} for name in names]
    return [{}, *ways]
