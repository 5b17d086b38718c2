"""Builders of domain objects with sensible defaults, for tests of the core."""

from itertools import count

from actors.core.events import DeviceAdded, Grant, HolderGone, LeaseReleased, LeaseRequested
from actors.core.model import GIB, Device, DeviceKind, Lease, LeaseRequest, Policy, WorkKind
from actors.core.scheduler import Scheduler

_ids = count(1)


def make_gpu(index=0, *, node="node-a", memory_bytes=24 * GIB):
    return Device(f"cuda:{index}", DeviceKind.GPU, node, index, memory_bytes, simulated=True)


def make_cpu(number=0, *, node="node-a", cores=2):
    return Device(f"cpu:{number}", DeviceKind.CPU, node, 0, 16 * GIB, cores=cores)


def make_request(request_id=None, *, work=WorkKind.TRAINING, selector="cuda", priority=5, submitted_at=0.0, **changes):
    request_id = request_id or f"attempt-{next(_ids)}"
    return LeaseRequest(
        request_id=request_id,
        task_id=changes.pop("task_id", f"task-of-{request_id}"),
        work=work,
        selector=selector,
        priority=priority,
        submitted_at=submitted_at,
        **changes,
    )


def make_scheduler(*devices, policy=None, now=0.0):
    scheduler = Scheduler(policy or Policy())
    for device in devices or (make_gpu(),):
        scheduler.handle(DeviceAdded(device), now=now)
    return scheduler


def ask(scheduler, request, *, now=0.0):
    return scheduler.handle(LeaseRequested(request), now=now)


def granted(commands):
    return [command.lease for command in commands if isinstance(command, Grant)]


def must_grant(scheduler, request, *, now=0.0) -> Lease:
    (lease,) = granted(ask(scheduler, request, now=now))
    assert lease.request == request
    return lease


def end(scheduler, lease, *, now=0.0):
    """Release a lease and prove its process gone; returns what follows from the second step."""
    scheduler.handle(LeaseReleased(lease.lease_id, lease.token), now=now)
    return scheduler.handle(HolderGone(lease.lease_id), now=now)
