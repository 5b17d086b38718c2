"""The accountant's eyes on GPU memory: whose it is now, and whether it came back after a process ended.

Reads the driver of the accountant's own node; devices of other nodes and simulated ones have no figures here and are taken at their
word. Knows nothing of Ray or of the scheduler: it is asked, and answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from actors.core.memory import MemorySplit, MemoryUse, is_memory_back, split_memory
from actors.core.model import Device, DeviceKind
from actors.gpu_driver import DriverReading, GpuReading, read_gpus

_READING_LASTS_S = 1.0
_LOOK_EVERY_S = 0.1
#: How long memory may take to come back before the device is not trusted any more.
_PATIENCE_S = 2.0

#: Called with "" when the device recovers, with the reason when it is to be quarantined.
SetQuarantine = Callable[[str], Awaitable[None]]


class DriverWatch:
    """The driver's figures, read in a thread and at most once a second however many ask."""

    def __init__(self, read: Callable[[], DriverReading] = read_gpus) -> None:
        self._read = read
        self._reading = DriverReading()
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def latest(self, now: float) -> DriverReading:
        """Figures that are at most a second old."""
        if now - self._read_at < _READING_LASTS_S:
            return self._reading
        async with self._lock:
            if now - self._read_at >= _READING_LASTS_S:
                self._reading = await asyncio.to_thread(self._read)
                self._read_at = now
        return self._reading

    async def fresh(self) -> DriverReading:
        """Figures of this very moment."""
        return await asyncio.to_thread(self._read)


class MemoryGuard:
    """Tells memory apart by lease, and waits for the memory of ended processes.

    Invariant: ``_splits`` holds the latest split of every device that was measured; a device that is waited for by several ended
    leases leaves its quarantine only when the memory of all is back.
    """

    def __init__(
        self, node_id: str, watch: DriverWatch, *, patience_s: float = _PATIENCE_S, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        self._node_id = node_id
        self._watch = watch
        self._patience_s = patience_s
        self._look_every_s = look_every_s
        self._splits: dict[str, MemorySplit] = {}
        self._overdue: dict[str, int] = {}

    def can_see(self, device: Device) -> bool:
        """Whether the driver of this node has figures of a device."""
        return device.kind is DeviceKind.GPU and not device.simulated and device.node_id == self._node_id

    async def measure(
        self, device: Device, lease_of_pid: Mapping[int, str], budgets: Mapping[str, int], *, now: float
    ) -> MemorySplit | None:
        """How a device's memory is shared out now; None where it cannot be seen."""
        gpu = _find(device, await self._watch.latest(now)) if self.can_see(device) else None
        if gpu is None:
            return None
        self._splits[device.device_id] = split_memory(_use_of(gpu), lease_of_pid, budgets)
        return self._splits[device.device_id]

    async def wait_until_back(
        self, device: Device, gone: Iterable[int], other_budgets: Callable[[], int], set_quarantine: SetQuarantine
    ) -> None:
        """Return when the memory of ended processes is free again; quarantine the device while that takes too long."""
        pids = frozenset(gone)
        loop = asyncio.get_running_loop()
        begin, is_overdue = loop.time(), False
        while not await self._is_back(device, pids, other_budgets()):
            if not is_overdue and loop.time() - begin >= self._patience_s:
                is_overdue = True
                self._overdue[device.device_id] = self._overdue.get(device.device_id, 0) + 1
                named = ", ".join(map(str, sorted(pids)))
                await set_quarantine(f"the memory of process {named} has not come back though the process is gone")
            await asyncio.sleep(self._look_every_s)
        if is_overdue:
            self._overdue[device.device_id] -= 1
            if self._overdue[device.device_id] == 0:
                await set_quarantine("")

    async def _is_back(self, device: Device, gone: frozenset[int], other_budgets: int) -> bool:
        if not self.can_see(device):
            return True
        gpu = _find(device, await self._watch.fresh())
        before = self._splits.get(device.device_id, MemorySplit(0, {}, is_by_pid=True))
        return gpu is None or is_memory_back(_use_of(gpu), gone, before, other_budgets)


def _find(device: Device, reading: DriverReading) -> GpuReading | None:
    return next((gpu for gpu in reading.gpus if gpu.index == device.index), None)


def _use_of(gpu: GpuReading) -> MemoryUse:
    return MemoryUse(gpu.used_bytes, dict(gpu.processes))
