"""Keeps web pages of others from using a visitor's browser against the service, and the service's own pages from being used by them.

Owns the checks of Host (a foreign name that was pointed at loopback: DNS rebinding) and of where a request was made (a page of another
site), and the headers that every answer carries. Plain ASGI: each costs microseconds and never touches a body. It knows nothing of keys.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.http_errors import HttpFault

_ANY_ADDRESS = frozenset({"0.0.0.0", "::", ""})
#: What changes nothing.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ANY_ORIGIN: Final = "*"
_PAGES: Final = ("/ui", "/docs", "/redoc")
#: As for the page, and nothing but what the documentation's scripts do: styles of their own making, and work beside the page.
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "worker-src blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PAGE_POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
#: Data that a browser takes for a page after all can do nothing.
_DATA_POLICY: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"


class HostGate:
    """Lets through requests whose Host is a loopback name or one of ``names``; all others get a 400."""

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.strip("[] ").lower() for name in names) - _ANY_ADDRESS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        message = (
            "the Host header must be localhost, a loopback address or the configured host; "
            "further names of this machine can be set with RFUAV_HOST_NAMES"
        )
        await HttpFault(400, "host_not_allowed", message).response(scope["path"])(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        hosts = _header_values(scope, b"host")
        if len(hosts) != 1:
            return False
        host = host_name(hosts[0])
        return host in self._names or is_loopback(host)


class OriginGate:
    """Refuses what a page of another site asks for in its visitor's name, unless its origin is one of ``origins``.

    A browser says where a request was made: ``Origin`` with everything that may change something, ``Sec-Fetch-Site`` with everything.
    Programs say neither and are let through; following a link to the service is let through too. ``*`` among the origins means every
    page that sends a key: without one, any page that a user of this machine happens to open would be let in as that user.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str] = ()) -> None:
        self._app = app
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or self._is_welcome(scope):
            await self._app(scope, receive, send)
            return
        message = "pages of other sites may not use this service; CORS_ORIGINS lists those that may"
        await HttpFault(403, "origin_not_allowed", message).response(scope["path"])(scope, receive, send)

    def _is_welcome(self, scope: Scope) -> bool:
        origins = _header_values(scope, b"origin")
        if origins and (origins[0].lower() in self._origins or (_ANY_ORIGIN in self._origins and _carries_key(scope))):
            return True
        is_foreign = "cross-site" in _header_values(scope, b"sec-fetch-site")
        if scope["method"] in SAFE_METHODS:
            is_link = scope["method"] == "GET" and "navigate" in _header_values(scope, b"sec-fetch-mode")
            return not is_foreign or is_link or scope["method"] == "OPTIONS"
        return not is_foreign and all(_is_own(origin, scope) for origin in origins)


class AnswerHeaders:
    """Adds to every answer what keeps browsers from guessing, caching, framing and telling addresses on; what is set already stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = _headers_for(scope["path"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                missing = [(name, value) for name, value in added if name not in present]
                message["headers"] = [*message.get("headers", ()), *missing]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def host_name(header: str) -> str:
    """The host of a Host header in lower case, without port and brackets."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # A socket for both protocols shows clients of the older one as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _header_values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _carries_key(scope: Scope) -> bool:
    return any(_header_values(scope, name) for name in (b"x-api-key", b"authorization"))


def _is_own(origin: str, scope: Scope) -> bool:
    """Whether a page of this service made the request: it came from where the request went."""
    return urlsplit(origin.lower()).netloc in [host.lower() for host in _header_values(scope, b"host")]


def _headers_for(path: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an answer: pages may load what they need, everything else is data."""
    page = next((page for page in _PAGES if path == page or path.startswith(f"{page}/")), None)
    policy = _DATA_POLICY if page is None else _PAGE_POLICY if page == "/ui" else _DOCS_POLICY
    return (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store" if page is None else b"no-cache"),
        (b"content-security-policy", policy.encode()),
        (b"x-frame-options", b"DENY"),
    )
