"""What it costs to know who a request comes from: the layers around the routes, over an application that does nothing.

In process, without a network: what is measured is added to every request. The aim for authentication is below 0.2 ms.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.access import KeyTable, NewKey, Role, mint_key
from serve_app.access import Access, check_access
from serve_app.key_gate import Door, KeyGate, OpenPaths
from serve_app.security import AnswerHeaders, HostGate, OriginGate
from tests.fakes import FakeAccess

KEYS = 1_000
CALLS = 5_000
ROUNDS = 7


async def answer_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The application in the middle."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def answer_if_allowed(scope: Scope, receive: Receive, send: Send) -> None:
    """The same behind the check of the role, as a route does it."""
    check_access(Access(Role.VIEWER), scope["caller"], "")
    await answer_nothing(scope, receive, send)


async def discard(_message: Message) -> None:
    """The network."""


async def receive_nothing() -> Message:
    """The network, the other way."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def microseconds(app: ASGIApp, make_scope: Callable[[], Scope]) -> float:
    """The best median of one call: the machine is shared, and only what the code takes is of interest."""
    medians = []
    for _ in range(ROUNDS):
        times = []
        for _ in range(CALLS):
            scope = make_scope()
            began = time.perf_counter()
            await app(scope, receive_nothing, discard)
            times.append(time.perf_counter() - began)
        medians.append(statistics.median(times))
    return min(medians) * 1e6


async def make_door() -> tuple[Door, NewKey]:
    """A door with many keys, and one of them."""
    keys = [mint_key(f"key {number}", Role.VIEWER, now=0.0) for number in range(KEYS)]
    port = FakeAccess()
    await port.put(KeyTable(1, {new.key.key_id: new.key for new in keys}))
    door = Door(port)
    await door.keys.wait(1.0)
    return door, keys[KEYS // 2]


def scope_maker(door: Door, *headers: tuple[bytes, bytes], query: bytes = b"") -> Callable[[], Scope]:
    """Makes the scope of a GET, anew for each call since layers write into it."""
    app = SimpleNamespace(state=SimpleNamespace(service=SimpleNamespace(door=door)))
    fields = {
        "type": "http",
        "app": app,
        "method": "GET",
        "path": "/api/v2/tasks/t1/logs",
        "query_string": query,
        "headers": [(b"host", b"localhost:8000"), (b"accept", b"*/*"), (b"user-agent", b"bench"), *headers],
        "client": ("127.0.0.1", 5),
    }
    return fields.copy


async def main() -> None:
    """Measure and print."""
    door, new = await make_door()
    gate = KeyGate(answer_if_allowed, OpenPaths(()))
    whole = AnswerHeaders(HostGate(OriginGate(gate)))
    ticket, _ = door.tickets.issue("t1", new.key.key_id)
    with_key = scope_maker(door, (b"x-api-key", new.token.encode()))
    bare = await microseconds(answer_nothing, with_key)
    rows = {
        "a right key": (gate, with_key),
        "a wrong key (and its 401)": (gate, scope_maker(door, (b"x-api-key", new.token[:-1].encode() + b"!"))),
        "a stream ticket, as far as the route": (
            KeyGate(answer_nothing, OpenPaths(())),
            scope_maker(door, query=f"ticket={ticket}".encode()),
        ),
        "a right key, Host, origin and headers": (whole, with_key),
    }
    print(f"{KEYS} keys; added to a request, in ms:")
    for name, (app, make_scope) in rows.items():
        print(f"  {name:40} {(await microseconds(app, make_scope) - bare) / 1000:.4f}")


if __name__ == "__main__":
    asyncio.run(main())
