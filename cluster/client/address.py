"""Where the service is and which key opens it: what the caller says, else the environment, else this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

import httpx

from cluster.service_errors import InvalidRequestError

URL_VARIABLE: Final = "RFUAV_URL"
KEY_VARIABLE: Final = "RFUAV_API_KEY"
USUAL_URL: Final = "http://127.0.0.1:8000"
_LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is; the key is shown to nobody but it. Invariant: the URL is one of HTTP and does not end with a slash."""

    url: str
    api_key: str = field(repr=False)

    @property
    def is_this_machine(self) -> bool:
        """Whether the service is on this machine, where no proxy is in between."""
        host = httpx.URL(self.url).host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def is_direct(self) -> bool:
        """Whether neither TLS nor a proxy can come in between: then no certificates have to be read, which takes a fifth of a second."""
        return self.is_this_machine and self.url.startswith("http:")

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        key = {"X-API-Key": self.api_key} if self.api_key else {}
        return {"Accept": "application/json"} | key


def find_service(url: str = "", api_key: str = "", *, environ: Mapping[str, str] = os.environ) -> Address:
    """The address of the service. Raises InvalidRequestError where nothing can be at that URL, or no key can look like this one."""
    where = (url or environ.get(URL_VARIABLE, "") or USUAL_URL).strip().rstrip("/")
    key = (api_key or environ.get(KEY_VARIABLE, "")).strip()
    try:
        parsed = httpx.URL(where)
    except httpx.InvalidURL as error:
        raise _no_url(where, str(error)) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _no_url(where, "it needs http:// or https:// and a host")
    if parsed.port is not None and not 0 < parsed.port <= _LAST_PORT:
        raise _no_url(where, f"{parsed.port} is no port")
    if not (key.isascii() and key.isprintable()):
        raise InvalidRequestError(f"the key has characters that no key has; look at {KEY_VARIABLE}")
    return Address(where, key)


def _no_url(url: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"no service can be at {url!r}: {reason}; write it like {USUAL_URL}, or set {URL_VARIABLE}")
