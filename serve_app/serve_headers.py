"""Keeps requests from giving orders to Ray Serve, or asking it about itself, before the application sees anything of them.

With some headers anybody, without a key, could set a time after which Serve breaks a request off, or make Serve fail with a plain 500 by
a value that is no UTF-8. And a path of its own tells strangers the names of its applications. Plain ASGI; knows nothing of Ray.
"""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.http_errors import HttpFault

#: With every hyphen an underscore, as Serve compares most of them.
_ORDERS: Final = frozenset(
    {b"x_request_timeout_seconds", b"x_request_disconnect_disabled", b"serve_multiplexed_model_id", b"x_session_id"}
)
#: A name that a request may be given for Serve's logs.
_REQUEST_ID: Final = b"x_request_id"
#: What Serve answers by itself, with the names of its applications; its health check beside it tells one word.
_SERVE_ROUTES: Final = "/-/routes"


class WithoutOrders:
    """Hands requests on without the headers that Serve would obey, or fail on; its list of routes does not exist."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or say that there is nothing."""
        if scope.get("path") == scope.get("root_path", "") + _SERVE_ROUTES:
            fault = HttpFault(404, "not_found", f"{_SERVE_ROUTES} does not exist; / lists all routes")
            await fault.response()(scope, receive, send)
            return
        if "headers" in scope:
            scope = {**scope, "headers": [header for header in scope["headers"] if not _is_order(*header)]}
        await self._app(scope, receive, send)


def _is_order(name: bytes, value: bytes) -> bool:
    plain = name.lower().replace(b"-", b"_")
    return plain in _ORDERS or (plain == _REQUEST_ID and not value.isascii())
