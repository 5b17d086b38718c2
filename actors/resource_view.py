"""One view of all devices: the scheduler's books beside what the driver says."""

import asyncio
from collections.abc import Mapping

from actors.core.ledger import DeviceAccount
from actors.core.model import DeviceKind, WorkKind
from actors.core.scheduler import Scheduler
from actors.core.serving import replicas_on
from actors.gpu_driver import DriverReading, GpuReading, read_gpus
from actors.messages import DeviceView, ResourceView

_READING_LASTS_S = 1.0


class DriverWatch:
    """The driver's figures, read in a thread and at most once a second however many ask."""

    def __init__(self) -> None:
        self._reading = DriverReading()
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def latest(self, now: float) -> DriverReading:
        """Figures that are at most a second old."""
        if now - self._read_at < _READING_LASTS_S:
            return self._reading
        async with self._lock:
            if now - self._read_at >= _READING_LASTS_S:
                self._reading = await asyncio.to_thread(read_gpus)
                self._read_at = now
        return self._reading


def build_view(scheduler: Scheduler, groups: Mapping[str, str], reading: DriverReading, *, now: float) -> ResourceView:
    """Put together what the scheduler and the driver know."""
    gpus = {gpu.index: gpu for gpu in reading.gpus}
    devices = tuple(
        _view_device(account, scheduler, groups.get(device_id, ""), gpus.get(account.device.index))
        for device_id, account in scheduler.ledger.accounts.items()
    )
    waiting = scheduler.line.waiting.values()
    oldest = min((entry.request.submitted_at for entry in waiting), default=now)
    return ResourceView(now, devices, len(waiting), max(0.0, now - oldest), reading.cuda_version)


def _view_device(account: DeviceAccount, scheduler: Scheduler, group_id: str, gpu: GpuReading | None) -> DeviceView:
    device = account.device
    is_read = gpu is not None and device.kind is DeviceKind.GPU and not device.simulated
    reading = gpu if gpu is not None and is_read else None
    budgets = sum(
        portion.memory_bytes
        for lease in account.leases.values()
        for portion in lease.portions
        if portion.device_id == device.device_id
    )
    return DeviceView(
        device=device,
        is_present=account.is_present,
        limits={work: account.limits.get(work, 0) for work in WorkKind},
        counts=dict(account.counts),
        share_units=account.share_units,
        held_units=account.held_units,
        serving_replicas=replicas_on(device, scheduler.policy),
        leases=tuple(account.leases.values()),
        placement_group=group_id,
        allocated_bytes=reading.used_bytes if reading else min(budgets, device.memory_bytes),
        utilization=reading.utilization if reading else 0,
        temperature_c=reading.temperature_c if reading else 0.0,
        power_w=reading.power_w if reading else 0.0,
        compute_capability=reading.compute_capability if reading else "",
        processes=tuple((pid, "foreign", used) for pid, used in reading.processes) if reading else (),
    )
