"""Who may talk to the service at all.

Owns the check of the Host header, which keeps web pages of other sites from reaching a service on loopback under a name of theirs
(DNS rebinding). Plain ASGI: it costs microseconds and never touches a body.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.http_errors import HttpFault

_ANY_ADDRESS = frozenset({"0.0.0.0", "::", ""})


class HostGate:
    """Lets through requests whose Host is a loopback name or one of ``names``; all others get a 400."""

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names) - _ANY_ADDRESS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        message = "the Host header must be localhost, a loopback address or the configured host"
        await HttpFault(400, "host_not_allowed", message).response()(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        host = host_name(hosts[0].decode("latin-1"))
        return host in self._names or is_loopback(host)


def host_name(header: str) -> str:
    """The host of a Host header in lower case, without port and brackets."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
