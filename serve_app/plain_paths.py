"""One slash too many at the end of a path.

The origin redirected such requests to the path without it, and its clients may still send them. They are answered at once: a redirect
costs a second way, and clients that do not follow one with a body would fail. Plain ASGI, and nothing of what paths mean.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class PlainPaths:
    """Hands requests on without the slash at the end of their path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path: str = scope.get("path", "")
        if scope["type"] == "http" and path.endswith("/") and len(path) > 1:
            scope = {**scope, "path": path[:-1]}
        await self._app(scope, receive, send)
