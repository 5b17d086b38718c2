"""The service itself: devices, limits, health, keys, and what happens in it. Each function is a method of both clients."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from actors.access import Role
from cluster.client import contract
from cluster.client.contract import AnyHealth
from cluster.client.event_reader import EventReader, ServiceEvent
from cluster.client.flows import Flow, Items, ask_bytes, pages
from cluster.client.operation import Call
from cluster.client.retry import Manner
from cluster.client.streams import follow
from serve_app.schemas.access import AuditEntryResponse, AuditResponse, KeyListResponse, KeyResponse, NewKeyResponse
from serve_app.schemas.resources import CheckResponse, CpuResponse, GpuResponse, ResourceConfigResponse, ResourceResponse
from serve_app.schemas.system import InfoResponse, RootResponse


def resources() -> Call[ResourceResponse]:
    """Who holds what of which device, who may, and how long the line is."""
    return contract.RESOURCES.call()


def gpus() -> Call[GpuResponse]:
    """Every GPU as its driver sees it."""
    return contract.GPUS.call()


def cpu() -> Call[CpuResponse]:
    """How busy the processor of the service's node is."""
    return contract.CPU.call()


def check_books() -> Call[CheckResponse]:
    """Compare the ledger with Ray's books and the live processes."""
    return contract.CHECK_BOOKS.call()


def set_limits(max_concurrent: Mapping[str, Any]) -> Call[ResourceConfigResponse]:
    """Change limits, such as ``{"cuda": {"training": 2}, "cpu": {"inference": 4}}``; what is left out stays."""
    return contract.SET_LIMITS.send({"max_concurrent": dict(max_concurrent)}, {})


def about() -> Call[RootResponse]:
    """Name, version, features and the route table."""
    return contract.ABOUT.call()


def health() -> Call[AnyHealth]:
    """Whether every part of the service answers; in brief where a key is needed and none is sent."""
    return contract.HEALTH.call()


def info() -> Call[InfoResponse]:
    """What the service is and can do."""
    return contract.INFO.call()


def prometheus(manner: Manner) -> Flow[bytes]:
    """The figures for a Prometheus, as text."""
    return ask_bytes(manner, contract.PROMETHEUS.call())


def keys() -> Call[KeyListResponse]:
    """All keys, oldest first; for admins."""
    return contract.KEYS.call()


def add_key(name: str, role: Role | str) -> Call[NewKeyResponse]:
    """Make a key; the answer is the only place where it is ever shown. Repeated only where nothing reached the service."""
    return contract.ADD_KEY.send({"name": name, "role": role}, {})


def revoke_key(key_id: str) -> Call[KeyResponse]:
    """Take a key back. Repeated only where nothing reached the service."""
    return contract.REVOKE_KEY.call(key_id=key_id)


def audit(manner: Manner, *, page_size: int = 100) -> Items[AuditEntryResponse]:
    """Yield who asked for which change, newest first, page by page as they are wanted."""
    return pages(manner, partial(_audit_after, page_size), lambda page: page.entries, lambda page: page.next_cursor)


def events(manner: Manner) -> Items[ServiceEvent]:
    """Yield what happens in the service, without an end: tasks, devices and models as they change.

    The devices come first, and then a change as soon as there is one. Of a task that changes often only the newest state comes. After a
    lost connection nothing is missing; where the service cannot know that, a ``ResetEvent`` says so: read the lists again.
    """
    return follow(manner, contract.EVENTS.call(), EventReader())


def _audit_after(limit: int, cursor: str | None) -> Call[AuditResponse]:
    return contract.AUDIT.call(query={"limit": limit, "cursor": cursor})
