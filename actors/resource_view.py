"""One view of all devices: the scheduler's books beside what the driver says."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from actors.core.ledger import DeviceAccount
from actors.core.model import DeviceKind, WorkKind
from actors.core.scheduler import Scheduler
from actors.core.serving import replicas_on
from actors.gpu_driver import DriverReading, GpuReading
from actors.messages import DeviceView, ReplicaReport, ResourceView

#: Whose a process on a GPU is, where it holds no lease, and where the driver's pids are not ours.
FOREIGN, UNKNOWN = "foreign", "unknown"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a view takes from outside the scheduler.

    Attributes:
        groups: the placement group of each device.
        reading: the driver's figures.
        task_of_pid: the processes that hold leases.
        replica_of_pid: the processes of the predictor's replicas.
        replicas: the replicas on each device.
        unmatched: the devices on which the driver's pids are not those that holders know.
    """

    groups: Mapping[str, str]
    reading: DriverReading
    task_of_pid: Mapping[int, str]
    replica_of_pid: Mapping[int, str]
    replicas: Callable[[str], tuple[ReplicaReport, ...]]
    unmatched: AbstractSet[str]

    def owner_of(self, pid: int, device_id: str) -> str:
        """Whose a process on a GPU is: a task's, a replica, or a stranger's."""
        stranger = UNKNOWN if device_id in self.unmatched else FOREIGN
        return self.task_of_pid.get(pid) or self.replica_of_pid.get(pid) or stranger


def build_view(scheduler: Scheduler, around: Surroundings, *, now: float) -> ResourceView:
    """Put together what the scheduler and the driver know."""
    gpus = {gpu.index: gpu for gpu in around.reading.gpus}
    devices = tuple(
        _view_device(account, scheduler, around, gpus.get(account.device.index)) for account in scheduler.ledger.accounts.values()
    )
    waiting = scheduler.line.waiting.values()
    oldest = min((entry.request.submitted_at for entry in waiting), default=now)
    return ResourceView(now, devices, len(waiting), max(0.0, now - oldest), around.reading.cuda_version)


def _view_device(account: DeviceAccount, scheduler: Scheduler, around: Surroundings, gpu: GpuReading | None) -> DeviceView:
    device = account.device
    is_read = gpu is not None and device.kind is DeviceKind.GPU and not device.simulated
    reading = gpu if gpu is not None and is_read else None
    processes = reading.processes if reading else ()
    serving_bytes = sum(used for pid, used in processes if pid in around.replica_of_pid)
    return DeviceView(
        device=device,
        is_present=account.is_present,
        limits={work: account.limits.get(work, 0) for work in WorkKind},
        counts=dict(account.counts),
        share_units=account.share_units,
        held_units=account.held_units,
        serving_replicas=replicas_on(device, scheduler.policy),
        leases=tuple(account.leases.values()),
        placement_group=around.groups.get(device.device_id, ""),
        allocated_bytes=reading.used_bytes if reading else min(account.promised_bytes, device.memory_bytes),
        utilization=reading.utilization if reading else 0,
        temperature_c=reading.temperature_c if reading else 0.0,
        power_w=reading.power_w if reading else 0.0,
        compute_capability=reading.compute_capability if reading else "",
        processes=tuple((pid, around.owner_of(pid, device.device_id), used) for pid, used in processes),
        quarantine=account.quarantine,
        # To the books, replicas are among the processes without a lease.
        foreign_bytes=max(0, account.foreign_bytes - serving_bytes),
        free_bytes=max(0, account.free_bytes),
        replicas=around.replicas(device.device_id),
    )
