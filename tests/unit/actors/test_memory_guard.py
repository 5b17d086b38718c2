"""The driver's figures as the accountant uses them, with a driver whose figures the test sets."""

import asyncio

import pytest

from actors.core.memory import MemorySplit
from actors.core.model import GIB, Device, DeviceKind
from actors.gpu_driver import DriverReading, GpuReading
from actors.memory_guard import DriverWatch, MemoryGuard

pytestmark = pytest.mark.anyio

GPU = Device("cuda:0", DeviceKind.GPU, "here", 0, 24 * GIB)


class Driver:
    """Answers like ``read_gpus``; every answer is counted."""

    def __init__(self, used_gib=0, **by_pid):
        self.set(used_gib, **by_pid)
        self.looks = 0

    def set(self, used_gib, **by_pid):
        processes = tuple((int(pid.removeprefix("p")), gib * GIB) for pid, gib in by_pid.items())
        gpu = GpuReading(0, "card", "9.0", 24 * GIB, used_gib * GIB, 0, 0.0, 0.0, processes)
        self.reading = DriverReading("13.0", (gpu,))

    def __call__(self):
        self.looks += 1
        return self.reading


@pytest.fixture
def driver():
    return Driver()


@pytest.fixture
def guard(driver):
    return MemoryGuard("here", DriverWatch(driver), patience_s=0.0, look_every_s=0.001)


class Quarantine:
    """Takes down what the guard says of the device."""

    def __init__(self):
        self.said = []
        self.changed = asyncio.Event()

    async def __call__(self, reason):
        self.said.append(reason)
        self.changed.set()


async def test_memory_is_told_apart_and_read_at_most_once_a_second(driver, guard):
    driver.set(6, p7=2, p8=3)
    split = await guard.measure(GPU, {7: "lease-1"}, {"lease-1": 4 * GIB}, now=10.0)
    assert split == MemorySplit(4 * GIB, {"lease-1": 2 * GIB}, is_by_pid=True)
    await guard.measure(GPU, {}, {}, now=10.5)
    assert driver.looks == 1
    await guard.measure(GPU, {}, {}, now=11.1)
    assert driver.looks == 2


@pytest.mark.parametrize(
    "device",
    [
        Device("cuda:0", DeviceKind.GPU, "here", 0, GIB, simulated=True),
        Device("cuda:0", DeviceKind.GPU, "elsewhere", 0, GIB),
        Device("cpu:0", DeviceKind.CPU, "here", 0, GIB),
    ],
)
async def test_what_the_driver_of_this_node_cannot_see_is_not_measured_and_not_waited_for(driver, guard, device):
    quarantine = Quarantine()
    assert await guard.measure(device, {}, {}, now=1.0) is None
    await guard.wait_until_back(device, [7], int, quarantine)
    assert (quarantine.said, driver.looks) == ([], 0)


async def test_memory_that_is_back_at_once_quarantines_nothing(driver, guard):
    driver.set(2, p7=2)
    await guard.measure(GPU, {7: "lease-1"}, {"lease-1": 4 * GIB}, now=1.0)
    driver.set(0)
    quarantine = Quarantine()
    await guard.wait_until_back(GPU, [7], int, quarantine)
    assert quarantine.said == []


async def test_memory_that_stays_quarantines_the_device_until_it_is_back(driver, guard):
    driver.set(2, p7=2)
    await guard.measure(GPU, {7: "lease-1"}, {"lease-1": 4 * GIB}, now=1.0)
    quarantine = Quarantine()
    waiting = asyncio.create_task(guard.wait_until_back(GPU, [7], int, quarantine))
    await asyncio.wait_for(quarantine.changed.wait(), 5)
    assert "process 7 has not come back" in quarantine.said[0]
    assert not waiting.done()
    driver.set(0)
    await asyncio.wait_for(waiting, 5)
    assert quarantine.said[1:] == [""]


async def test_two_ended_leases_keep_the_quarantine_until_the_memory_of_both_is_back(driver, guard):
    driver.set(4, p7=2, p8=2)
    await guard.measure(GPU, {7: "lease-1", 8: "lease-2"}, {"lease-1": GIB, "lease-2": GIB}, now=1.0)
    first, second = Quarantine(), Quarantine()
    waits = [asyncio.create_task(guard.wait_until_back(GPU, [pid], int, said)) for pid, said in ((7, first), (8, second))]
    for said in (first, second):
        await asyncio.wait_for(said.changed.wait(), 5)
    driver.set(2, p8=2)
    await asyncio.wait_for(waits[0], 5)
    assert first.said[1:] == [], "the other's memory is still missing"
    driver.set(0)
    await asyncio.wait_for(waits[1], 5)
    assert second.said[1:] == [""]


async def test_where_pids_are_not_ours_the_total_must_fall(driver, guard):
    driver.set(9, p70001=9)
    await guard.measure(GPU, {7: "lease-1"}, {"lease-1": 6 * GIB}, now=1.0)  # so 3 GiB are somebody else's
    quarantine = Quarantine()
    waiting = asyncio.create_task(guard.wait_until_back(GPU, [7], int, quarantine))
    await asyncio.wait_for(quarantine.changed.wait(), 5)
    driver.set(3, p70002=3)
    await asyncio.wait_for(waiting, 5)
    assert quarantine.said[1:] == [""]
