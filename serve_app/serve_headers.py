"""Keeps a request's headers from giving orders to Ray Serve, which reads some before the application sees anything of the request.

With them anybody, without a key, could set a time after which Serve breaks a request off, or make Serve fail with a plain 500 by a
value that is no UTF-8. Plain ASGI; knows nothing of Ray.
"""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

#: With every hyphen an underscore, as Serve compares most of them.
_ORDERS: Final = frozenset(
    {b"x_request_timeout_seconds", b"x_request_disconnect_disabled", b"serve_multiplexed_model_id", b"x_session_id"}
)
#: A name that a request may be given for Serve's logs.
_REQUEST_ID: Final = b"x_request_id"


class WithoutOrders:
    """Hands requests on without the headers that Serve would obey, or fail on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if "headers" in scope:
            scope = {**scope, "headers": [header for header in scope["headers"] if not _is_order(*header)]}
        await self._app(scope, receive, send)


def _is_order(name: bytes, value: bytes) -> bool:
    plain = name.lower().replace(b"-", b"_")
    return plain in _ORDERS or (plain == _REQUEST_ID and not value.isascii())
