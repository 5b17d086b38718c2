"""Tells whether a service, or a node that has joined one, is up, how it is, and how to reach it from a shell. Only reads."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from actors import presence
from cluster.bring_down import UP
from cluster.http_probe import Health, probe_health
from cluster.processes import find_processes, instance_mark
from cluster.run_record import ServiceRecord, read_node, read_record

#: The state of a node whose service is on another machine.
JOINED: Final = "joined"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as it is now.

    Attributes:
        state: healthy, degraded or unhealthy as the service says; starting; unreachable; down; or joined, of a node whose service is on
            another machine.
        reason: why it is not healthy; of a node, what it has joined.
        url: its page, "" while there is none.
        ray_address: host:port of Ray's head.
        dashboard_url: Ray's dashboard, where `ray job submit` goes.
        http_mode: how HTTP arrives: at the ingress itself, through HAProxy, or through Serve's proxy.
        predictor: how many replicas serve, "" where that is not known.
        state_dir: its state folder.
        processes: how many processes of it live.
    """

    state: str
    reason: str
    url: str
    ray_address: str
    dashboard_url: str
    http_mode: str
    predictor: str
    state_dir: str
    processes: int

    @property
    def is_healthy(self) -> bool:
        """Whether the service is up and every component answers."""
        return self.state in {"healthy", JOINED}


def read_status(state_dir: Path) -> ServiceStatus:
    """Look at the service of a state folder."""
    record = read_record(state_dir)
    count = len(find_processes(instance_mark(state_dir)))
    health = _health_of(state_dir, record, count)
    return ServiceStatus(
        state=health.status,
        reason=health.reason,
        url=record.url if record else "",
        ray_address=record.ray_address if record else "",
        dashboard_url=record.dashboard_url if record else "",
        http_mode=_http_mode(record),
        predictor=health.predictor,
        state_dir=str(state_dir),
        processes=count,
    )


def read_where(state_dir: Path) -> dict[str, str]:
    """Where the service of a state folder is, by its notes alone; of a node, the Ray that it has joined. "" is what is not known."""
    record, node = read_record(state_dir), read_node(state_dir)
    return {
        "url": record.url if record else "",
        "state_dir": str(state_dir),
        "ray_address": record.ray_address if record else node.head if node else "",
        "dashboard": record.dashboard_url if record else "",
    }


def shell_exports(state_dir: Path, *, path: str) -> Mapping[str, str] | None:
    """The variables that a bare shell needs to talk to the service and to its Ray; None when nothing is up.

    Args:
        state_dir: of the service.
        path: the shell's PATH.
    """
    record = read_record(state_dir)
    if record is None:
        return None
    exports = {"RFUAV_URL": record.url.rstrip("/"), "RFUAV_STATE_DIR": str(state_dir), "RAY_ADDRESS": record.ray_address}
    if record.dashboard_url:
        # `ray job submit` prefers this one and would take RAY_ADDRESS for it otherwise.
        exports["RAY_API_SERVER_ADDRESS"] = record.dashboard_url
    if record.token_path:
        exports |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": record.token_path}
    own_bin = str(Path(sys.executable).parent)
    exports["PATH"] = os.pathsep.join([own_bin, *(each for each in path.split(os.pathsep) if each and each != own_bin)])
    return exports


def as_shell(exports: Mapping[str, str]) -> str:
    """The variables as lines for ``eval``."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in exports.items())


def _health_of(state_dir: Path, record: ServiceRecord | None, count: int) -> Health:
    found = presence.find(state_dir, UP)
    is_starting = found is not None and found.process() is not None and not (record and record.has_been_ready)
    if is_starting:
        return Health("starting", "`rfuav up` has not got it ready yet")
    if record is None and (node := read_node(state_dir)) is not None:
        if node.raylet.process() is None:
            return Health("down", "its node has ended; `rfuav down` clears up")
        return Health(JOINED, f"as {node.name} with {', '.join(node.devices)}; the service is at {node.head}")
    if record is None:
        return Health("down", f"{count} processes of it are left; `rfuav down` ends them" if count else "")
    if record.head is not None and record.head.process() is None:
        return Health("down", "its Ray has ended; `rfuav down` clears up")
    health = probe_health(record.url)
    if not record.is_kept:
        return replace(health, reason="what kept it up was killed; `rfuav down` ends it, `rfuav up` starts it anew")
    return health


def _http_mode(record: ServiceRecord | None) -> str:
    if record is None:
        return ""
    if record.is_adopted:
        return "Serve's proxy (adopted Ray: the most replicas stay what its devices carried)"
    return "HAProxy (other machines may join)" if record.nodes == "several" else "direct ingress"
