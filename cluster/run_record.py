"""What a running service leaves in STATE/run, so that later commands find it, and the lock that keeps a second one out.

One writer: the process that brings the service up, or down. Readers get None for a missing or unreadable note.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.presence import Presence


class StateFolderBusyError(Exception):
    """Another command works on the same state folder."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self.state_dir = state_dir

    def __str__(self) -> str:
        return f"state folder {self.state_dir} is in use by another `rfuav` command; wait for it, or run `rfuav down` there"


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One running service.

    Attributes:
        url: the page, with a slash at the end.
        started_at: seconds since the epoch.
        keeper: the process that answers for the service: ``rfuav up`` itself, or the watchdog's keeper once ``up`` has detached.
        head: the control store of our own Ray, whose end is the end of the service; None when the Ray was adopted.
        ray_address: host:port of Ray's head.
        dashboard_url: where `ray job submit` goes, "" without one.
        token_path: file of Ray's token, "" when the Ray was adopted.
        temp_dir: Ray's temporary folder of this service, "" when the Ray was adopted.
        started_serve: whether Serve was started by us (always on our own Ray).
        processes: every process of the service when it became ready; none before.
        nodes: "several" where HTTP comes through HAProxy, and other machines may join.
    """

    url: str
    started_at: float
    keeper: Presence
    head: Presence | None
    ray_address: str
    dashboard_url: str
    token_path: str
    temp_dir: str
    started_serve: bool
    processes: tuple[Presence, ...] = ()
    nodes: str = "one"

    @property
    def is_adopted(self) -> bool:
        """Whether the Ray belongs to somebody else."""
        return self.head is None

    @property
    def has_been_ready(self) -> bool:
        """Whether ``rfuav up`` got it ready."""
        return bool(self.processes)

    @property
    def is_kept(self) -> bool:
        """Whether the process that answers for the service lives, and its Ray: one that outlives its Ray has yet to notice."""
        return self.keeper.process() is not None and (self.head is None or self.head.process() is not None)


def write_record(state_dir: Path, record: ServiceRecord) -> None:
    """Write the record, whole or not at all."""
    _write(_record_path(state_dir), asdict(record))


def read_record(state_dir: Path) -> ServiceRecord | None:
    """The record of the last service that was brought up and not brought down."""
    try:
        content: dict[str, Any] = json.loads(_record_path(state_dir).read_text(encoding="utf-8"))
        keeper = Presence(**content.pop("keeper"))
        head = content.pop("head")
        processes = tuple(Presence(**each) for each in content.pop("processes"))
        return ServiceRecord(**content, keeper=keeper, head=Presence(**head) if head else None, processes=processes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def remove_record(state_dir: Path) -> None:
    """Forget the service, or the node."""
    _record_path(state_dir).unlink(missing_ok=True)
    _node_path(state_dir).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node that has joined the service of another machine.

    Attributes:
        head: host:port of the service's Ray.
        name: of the node.
        devices: what the service calls its devices.
        raylet: the process whose end is the end of the node.
    """

    head: str
    name: str
    devices: tuple[str, ...]
    raylet: Presence


def write_node(state_dir: Path, node: NodeRecord) -> None:
    """Write the note of a node that has joined."""
    _write(_node_path(state_dir), asdict(node))


def read_node(state_dir: Path) -> NodeRecord | None:
    """The node that joined last from this state folder and was not brought down."""
    try:
        content: dict[str, Any] = json.loads(_node_path(state_dir).read_text(encoding="utf-8"))
        raylet = Presence(**content.pop("raylet"))
        return NodeRecord(**content | {"devices": tuple(content["devices"])}, raylet=raylet)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


@contextlib.contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold the state folder's lock; the kernel releases it when the process ends, however it ends.

    Raises:
        StateFolderBusyError: somebody else holds it.
    """
    folder = state_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateFolderBusyError(state_dir) from None
        yield


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    draft.replace(path)


def _node_path(state_dir: Path) -> Path:
    return state_dir / "run" / "node.json"


def _record_path(state_dir: Path) -> Path:
    return state_dir / "run" / "service.json"
