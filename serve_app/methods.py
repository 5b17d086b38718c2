"""Methods that every route has by HTTP's own rules: HEAD beside GET, and OPTIONS.

Owns how HEAD is answered (as GET, without the body) and which methods a path takes. Plain ASGI, and nothing of what routes do.
"""

import asyncio
from collections.abc import Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class HeadAsGet:
    """Answers HEAD with the status and headers of GET; what would be streamed is not even begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, a HEAD as a GET whose client leaves once it has the headers."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server must still know that no body belongs to this answer.
        as_get = {**scope, "method": "GET"}
        is_read, answered = False, asyncio.Event()

        async def receive_until_answered() -> Message:
            nonlocal is_read
            if is_read:
                await answered.wait()
                return {"type": "http.disconnect"}
            is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.start":
                return
            answered.set()
            if "route" in as_get:
                scope["route"] = as_get["route"]  # for the request meter
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(as_get, receive_until_answered, send_head)


def allowed_methods(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """The methods that a path takes, as an Allow header lists them."""
    taken = [method for method in _METHODS if any(_takes(route, {**scope, "method": method}) for route in routes)]
    return ", ".join(sorted({*taken, "OPTIONS"} | ({"HEAD"} if "GET" in taken else set())))


def _takes(route: BaseRoute, scope: Scope) -> bool:
    return route.matches(scope)[0] is Match.FULL
