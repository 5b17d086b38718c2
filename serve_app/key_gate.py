"""Finds out who a request comes from, before any route is looked for, and notes down what became of it.

Owns the ways in which a key can be sent, and the rule for a service without keys: users of this machine may do everything, all others
nothing, whatever address the service listens on. Plain ASGI, and everything it needs is in memory. What a caller may do is the
routes' to say (``access``).
"""

import asyncio
import time
from collections.abc import Iterable
from urllib.parse import parse_qs

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.access import AuditEntry, KeyTable, Role, new_entry_id
from serve_app.access import ACCESS, CALLER, LOCAL, NOBODY, SUBJECT, TICKET_PARAMETER, Access, Caller, GuardedRoute, refuse_unknown
from serve_app.audit import AuditTrail
from serve_app.http_errors import describe_error
from serve_app.key_ring import KeyRing
from serve_app.ports import AccessPort, NotReadyError
from serve_app.security import SAFE_METHODS, is_loopback
from serve_app.tickets import TicketOffice

#: How long a request waits for the keys of a process that has just begun; open pages do with less.
_KEYS_S = 3.0
_KEYS_OF_OPEN_PAGES_S = 0.5
_MOST_SUBJECT = 1_000
_KEY_HEADERS = (b"x-api-key", b"authorization")
#: The end of a route's path that stands for every path below.
_ANY_PATH = "{path:path}"
_NO_KEYS_YET = "the service has no keys yet and answers only on its own machine; `rfuav keys add` there makes one"


class Door:
    """What one process knows of who may come in: the keys, its tickets, and the audit entries on their way."""

    def __init__(self, port: AccessPort) -> None:
        self.keys = KeyRing(port)
        self.tickets = TicketOffice()
        self.audit = AuditTrail(port)

    def still_knows(self, key_id: str) -> bool:
        """Whether the key of somebody who came in has not been revoked since; "" is nobody's."""
        table = self.keys.current
        return not key_id or table is None or key_id in table.keys


class OpenPaths:
    """The paths that answer without a key: those of routes that say so, and pages (the documentation, static files)."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        exact: set[str] = set()
        below: set[str] = set()
        for route in routes:
            if isinstance(route, GuardedRoute):
                if route.access.role is None:
                    exact.add(route.path)
                    below |= {route.path.removesuffix(_ANY_PATH)} if route.path.endswith(_ANY_PATH) else set()
            elif isinstance(route, Mount):
                exact.add(route.path)
                below.add(f"{route.path}/")
            elif isinstance(route, Route):
                exact.add(route.path)
        self._exact = frozenset(exact)
        self._below = tuple(below)

    def __contains__(self, path: str) -> bool:
        """Whether a path is open."""
        return path in self._exact or path.startswith(self._below)


class KeyGate:
    """Answers 401 to those without a right key, and hands all others on with their ``Caller``."""

    def __init__(self, app: ASGIApp, open_paths: OpenPaths) -> None:
        self._app = app
        self._open_paths = open_paths
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door: Door = scope["app"].state.service.door
        caller: Caller | None
        try:
            caller = await self._identify(scope, door)
        except NotReadyError as error:
            await describe_error(error).response(scope["path"])(scope, receive, send)
            return
        if caller is None:
            text = refuse_unknown(_NO_KEYS_YET) if _has_no_keys(door) else refuse_unknown()
            await describe_error(text).response(scope["path"])(scope, receive, send)
            return
        scope[CALLER] = caller
        if scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        # Serve cancels a request whose client leaves. A change that has begun goes on to its end all the same, and is noted: else a
        # batch could be left half submitted, and whoever hangs up in time would change things without an entry.
        change = asyncio.create_task(self._pass_on(scope, receive, send, trail=door.audit))
        self._under_way.add(change)
        change.add_done_callback(self._under_way.discard)
        await asyncio.shield(change)

    async def _identify(self, scope: Scope, door: Door) -> Caller | None:
        """The caller; None for somebody who must not get any further. Raises NotReadyError."""
        if scope["path"] not in self._open_paths:
            table = door.keys.current or await door.keys.wait(_KEYS_S)
            return identify(scope, table, door.tickets)
        try:
            table = door.keys.current or await door.keys.wait(_KEYS_OF_OPEN_PAGES_S)
        except NotReadyError:
            return NOBODY
        return identify(scope, table, door.tickets) or NOBODY

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, *, trail: AuditTrail) -> None:
        """Hand the request on; note what a route that changes things answered."""

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(scope, message["status"], trail)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            _note(scope, 500, trail)
            raise


def identify(scope: Scope, table: KeyTable, tickets: TicketOffice) -> Caller | None:
    """Find the caller of a request.

    Returns:
        None where a key is needed and none that is right was sent. A key that was sent counts, and no ticket beside it.
    """
    if not table.keys:
        return LOCAL if _is_from_here(scope) else None
    token = _sent_key(scope)
    if token is not None:
        key = table.find(token)
        return Caller(key.role, key.key_id, key.name) if key else None
    ticket = tickets.read(_sent_ticket(scope))
    if ticket is None or ticket.key_id not in table.keys:
        return None
    return Caller(Role.VIEWER, ticket.key_id, table.keys[ticket.key_id].name, ticket.task_id)


def _has_no_keys(door: Door) -> bool:
    return door.keys.current is not None and not door.keys.current.keys


def _is_from_here(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and is_loopback(str(client[0]))


def _sent_key(scope: Scope) -> str | None:
    """The key that was sent, whether it is right or not; None without one."""
    sent: dict[bytes, bytes] = {name: value for name, value in scope["headers"] if name in _KEY_HEADERS}
    if b"x-api-key" in sent:
        return sent[b"x-api-key"].decode("latin-1").strip()
    scheme, _, token = sent.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _sent_ticket(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    if TICKET_PARAMETER.encode() not in query:
        return ""
    return parse_qs(query.decode("latin-1")).get(TICKET_PARAMETER, [""])[0]


def _note(scope: Scope, status: int, trail: AuditTrail) -> None:
    """Put an entry down if the request got as far as a route that changes things. Once: the route is taken back from the scope."""
    access: Access | None = scope.pop(ACCESS, None)
    if access is None or not access.action:
        return
    caller: Caller = scope[CALLER]
    subject = scope.get(SUBJECT) or "/".join(map(str, scope.get("path_params", {}).values()))
    address = scope["client"][0] if scope.get("client") else ""
    entry = AuditEntry(
        entry_id=new_entry_id(),
        at=time.time(),
        key_id=caller.key_id,
        key_name=caller.name,
        address=str(address)[:64],
        action=access.action,
        subject=subject[:_MOST_SUBJECT],
        status=status,
    )
    trail.put(entry)
