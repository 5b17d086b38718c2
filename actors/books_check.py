"""Whether the ledger, Ray's own books and the live processes say the same.

Takes three pictures of one moment and compares them. Between two pictures something may have moved on, so a difference counts only
if it is there again in every one of several looks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ray._private import state as ray_state
from ray.util import list_named_actors

from actors.core.model import DeviceKind
from actors.core.units import UNITS_PER_DEVICE
from actors.lease_store import StoredLease
from actors.messages import Difference
from actors.names import PREDICTOR

_LOOKS = 8
_BETWEEN_LOOKS_S = 0.4
_ATTEMPT_CLASS = "AttemptActor"
#: How Serve calls the actors of the predictor's replicas; what follows is the replica's id.
_REPLICA_NAME = f"SERVE_REPLICA::{PREDICTOR}#{PREDICTOR}#"
#: The names of Ray's resources by kind of device.
_RESOURCES = {DeviceKind.GPU: "GPU", DeviceKind.CPU: "CPU"}


@dataclass(frozen=True, slots=True)
class BookedDevice:
    """What the ledger says of one device: the resource that its group has in Ray, and the units of its leases."""

    device_id: str
    resource: str
    resource_per_device: float
    share_units: int
    bound_units: int
    held_units: int


@dataclass(frozen=True, slots=True)
class BookedServing:
    """What the accountant says of the serving share of a node's devices of one kind.

    Attributes:
        node_id: of the node.
        kind: of the devices.
        resource_per_device: what Ray calls a whole device: 1 of a GPU, or a CPU's cores.
        serving_units: what the groups of all of them leave.
        replica_units: of one replica.
        replica_ids: those that report themselves there.
    """

    node_id: str
    kind: DeviceKind
    resource_per_device: float
    serving_units: int
    replica_units: int
    replica_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Picture:
    """The ledger at one moment: open leases with their processes, devices, and the replicas."""

    leases: tuple[StoredLease, ...]
    devices: tuple[BookedDevice, ...]
    own_node_id: str
    serving: tuple[BookedServing, ...] = ()


@dataclass(frozen=True, slots=True)
class RayBooks:
    """Ray at one moment.

    Attributes:
        free: what is free of every group's resource.
        attempts: the names of the attempts' live actors.
        free_on: what is free outside of the groups, by (node, resource).
        replicas: the live replicas of the predictor, and those that are coming up.
    """

    free: dict[str, float]
    attempts: frozenset[str]
    free_on: Mapping[tuple[str, str], float] = field(default_factory=dict)
    replicas: frozenset[str] = frozenset()


def read_ray() -> RayBooks:
    """Ask Ray's control store; blocking, some milliseconds."""
    books = ray_state.state
    by_node = books.available_resources_per_node()
    free = {name: amount for node in by_node.values() for name, amount in node.items()}
    free_on = {(node, name): resources.get(name, 0.0) for node, resources in by_node.items() for name in _RESOURCES.values()}
    actors = books.actor_table(None, actor_state_name="ALIVE").values()
    coming = books.actor_table(None, actor_state_name="PENDING_CREATION").values()
    ours = set(list_named_actors())  # of this service's namespace: an adopted Ray may serve others too
    names = {actor["Name"] for actor in actors if _ATTEMPT_CLASS in actor["ActorClassName"]}
    replicas = {
        actor["Name"].removeprefix(_REPLICA_NAME) for actor in (*actors, *coming) if actor["Name"].startswith(_REPLICA_NAME)
    }
    return RayBooks(free, frozenset(names & ours), free_on, frozenset(replicas))


async def find_lasting_differences(take_picture: Callable[[], Awaitable[Picture]]) -> tuple[Difference, ...]:
    """Compare until a look finds nothing; what all looks found is a difference."""
    lasting: set[tuple[str, str]] | None = None
    found: tuple[Difference, ...] = ()
    for _ in range(_LOOKS):
        ray_books = await asyncio.to_thread(read_ray)
        found = tuple(compare(await take_picture(), ray_books))
        kinds = {(difference.subject, difference.ledger) for difference in found}
        lasting = kinds if lasting is None else lasting & kinds
        if not lasting:
            return ()
        await asyncio.sleep(_BETWEEN_LOOKS_S)
    return tuple(difference for difference in found if (difference.subject, difference.ledger) in (lasting or ()))


def compare(picture: Picture, ray_books: RayBooks) -> Iterable[Difference]:
    """Every difference between the ledger and the two others."""
    for device in picture.devices:
        yield from _compare_device(device, ray_books)
    for serving in picture.serving:
        yield from _compare_serving(serving, ray_books)
    for stored in picture.leases:
        yield from _compare_lease(stored, picture.own_node_id)
    known = {stored.lease.request.request_id for stored in picture.leases}
    for name in sorted(ray_books.attempts):
        if name.partition(".rank")[0] not in known:
            yield Difference(f"process {name}", "no open lease", "alive in Ray")


def _compare_device(device: BookedDevice, ray_books: RayBooks) -> Iterable[Difference]:
    """Ray must count at least what bound processes hold, and at most what the ledger has granted."""
    free = ray_books.free.get(device.resource, 0.0)
    used = device.share_units - round(free / device.resource_per_device * UNITS_PER_DEVICE)
    # Ray keeps ten-thousandths of a core or GPU; a CPU's portion is rounded once more by its number of cores.
    slack = 2 * max(1, device.held_units // 300)
    if not device.bound_units - slack <= used <= device.held_units + slack:
        yield Difference(
            device.device_id, f"{device.held_units} units held, {device.bound_units} by live processes", f"Ray counts {used}"
        )


def _compare_serving(serving: BookedServing, ray_books: RayBooks) -> Iterable[Difference]:
    """Every replica that reports itself must live in Ray and be counted there; what else Ray counts must be coming up."""
    for name in sorted(serving.replica_ids - ray_books.replicas):
        yield Difference(f"replica {name}", "reports itself", "not alive in Ray")
    free = ray_books.free_on.get((serving.node_id, _RESOURCES[serving.kind]), 0.0)
    used = serving.serving_units - round(free / serving.resource_per_device * UNITS_PER_DEVICE)
    slack = 2 * max(1, len(ray_books.replicas))
    least = len(serving.replica_ids) * serving.replica_units - slack
    most = len(ray_books.replicas) * serving.replica_units + slack
    # Programs of users may run on what is left of a CPU; of a GPU nobody else may take anything.
    if used < least or (serving.kind is DeviceKind.GPU and used > most):
        where = f"serving share of the {serving.kind.value} devices of node {serving.node_id[:8]}"
        said = f"{len(serving.replica_ids)} replicas of {serving.replica_units} units"
        yield Difference(where, said, f"Ray counts {used} units, and {len(ray_books.replicas)} replicas")


def _compare_lease(stored: StoredLease, own_node_id: str) -> Iterable[Difference]:
    local = [holder.presence for holder in stored.holders if holder.node_id == own_node_id]
    if stored.is_ending or not local or any(presence.process() is not None for presence in local):
        return
    pids = ", ".join(str(presence.pid) for presence in local)
    yield Difference(
        f"lease {stored.lease.lease_id} of {stored.lease.request.task_id}", f"held by process {pids}", "no such process"
    )
