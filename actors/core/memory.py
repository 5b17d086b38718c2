"""Reading a GPU's memory figures: whose it is, and whether it came back. Pure.

The driver names processes by pid. Where these are the pids that the holders of leases know (no container in between), memory is told
apart by process; where they are not, the device's total decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

#: What a device's total may stay above what is accounted for: driver pages that no process owns.
SLACK_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory of one device at one moment.

    Attributes:
        used_bytes: by everybody, as the driver counts it.
        by_pid: bytes of each process that the driver names; possibly in numbers of another pid namespace.
    """

    used_bytes: int
    by_pid: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class MemorySplit:
    """A device's memory, told apart.

    Attributes:
        foreign_bytes: of processes that hold no lease.
        filled_bytes: by lease id.
        is_by_pid: whether the pids could be matched; if not, ``filled_bytes`` is empty and the holders count with their budgets.
    """

    foreign_bytes: int
    filled_bytes: Mapping[str, int]
    is_by_pid: bool


def split_memory(use: MemoryUse, lease_of_pid: Mapping[int, str], budgets: Mapping[str, int]) -> MemorySplit:
    """Tell apart who uses a device's memory.

    Args:
        use: the driver's figures.
        lease_of_pid: the processes that holders are known to have on this device.
        budgets: the memory budget in bytes of each open lease on this device.
    """
    is_by_pid = not lease_of_pid or any(pid in use.by_pid for pid in lease_of_pid)
    if not is_by_pid:
        return MemorySplit(max(0, use.used_bytes - sum(budgets.values())), {}, is_by_pid=False)
    filled: dict[str, int] = {}
    for pid, lease_id in lease_of_pid.items():
        if pid in use.by_pid:
            filled[lease_id] = filled.get(lease_id, 0) + use.by_pid[pid]
    return MemorySplit(max(0, use.used_bytes - sum(filled.values())), filled, is_by_pid=True)


def is_memory_back(use: MemoryUse, gone: frozenset[int], before: MemorySplit, other_budgets: int) -> bool:
    """Whether a device shows the memory of ended processes as free again.

    Args:
        use: the driver's figures now.
        gone: the pids of the ended processes.
        before: how the memory was told apart while they ran.
        other_budgets: the sum of the budgets of the other open leases there.
    """
    if any(pid in use.by_pid for pid in gone):
        return False
    if before.is_by_pid:
        return True
    return use.used_bytes <= before.foreign_bytes + other_budgets + SLACK_BYTES
