"""Which device, and how much of it: pure choices over the ledger's accounts.

The count limits and the memory budgets decide whether another lease may start; the fraction is what Ray is told. Limits up to 64 are
always accepted, so where the places that are still open ask for more than the share has left, the portions of new leases shrink in
proportion and the last open place still fits.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from actors.core.events import WaitReason
from actors.core.ledger import DeviceAccount
from actors.core.model import Device, DeviceKind, LeaseRequest, Policy, Portion, WorkKind
from actors.core.units import UNITS_PER_DEVICE

#: (held units, order of discovery, version of the account, the account)
_LoadItem = tuple[int, int, int, DeviceAccount]


def portion_units(account: DeviceAccount, work: WorkKind, policy: Policy) -> int:
    """Choose the units of the next lease of this kind; 0 where not even one is left for each open place."""
    kind = account.device.kind
    wanted = policy.portion_units[kind, work]
    open_units = sum(
        (limit - account.counts[each]) * policy.portion_units[kind, each]
        for each, limit in account.limits.items()
        if limit > account.counts[each]
    )
    free = account.free_units
    return wanted if open_units <= free else wanted * free // open_units


def find_full(account: DeviceAccount, work: WorkKind, policy: Policy) -> WaitReason | None:
    """Say why no lease of this kind can start on this device now, whatever its budget; None where only memory is left to ask."""
    if not account.is_present:
        return WaitReason.DEVICE
    if account.quarantine:
        return WaitReason.QUARANTINE
    if account.counts[work] >= account.limits.get(work, 0):
        return WaitReason.LIMIT
    if portion_units(account, work, policy) < 1:
        return WaitReason.SHARE
    return None


def find_obstacle(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> WaitReason | None:
    """Say why this request cannot start on this device now; None if it can."""
    full = find_full(account, request.work, policy)
    if full is not None:
        return full
    # Main memory is shared with everything else on the machine: a budget on a CPU is advice.
    if account.device.kind is DeviceKind.GPU and memory_budget(account, request, policy) > account.free_bytes:
        return WaitReason.MEMORY
    return None


def is_within_reach(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> bool:
    """Whether the request could start here once every lease on the device has ended.

    Only then may others be kept waiting for its sake: what a limit of 0, an absent device or somebody else's process
    keeps from it, no end of a lease gives it.
    """
    if not account.is_present or account.quarantine or account.limits.get(request.work, 0) < 1:
        return False
    return fits_when_empty(account, request, policy)


def fits_when_empty(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> bool:
    """Whether the memory that others leave of a device would be enough for the request alone."""
    if account.device.kind is DeviceKind.CPU:
        return True
    return _wanted_bytes(account, request, policy) <= account.device.memory_bytes - account.foreign_bytes


def memory_budget(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> int:
    """Choose the memory budget in bytes of a lease.

    An explicit budget is taken as it is. A training's default is its part of the GPU (see ``_wanted_bytes``), or what is free now
    where that is at least half of it: after a limit was raised, those that run hold more than their part. On a CPU there is no
    default: 0 means that nothing is capped.
    """
    wanted = _wanted_bytes(account, request, policy)
    is_flexible = request.memory_bytes is None and request.work is WorkKind.TRAINING and account.device.kind is DeviceKind.GPU
    free = account.free_bytes
    return free if is_flexible and wanted // 2 <= free < wanted else wanted


def _wanted_bytes(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> int:
    """The budget that a request should have of a device, whoever holds it now.

    The default of a training is the GPU's memory less what others use or serving may, and less one inference budget for each
    inference that the limit allows, divided by the trainings that the limit allows.
    """
    if request.memory_bytes is not None:
        return request.memory_bytes
    if account.device.kind is DeviceKind.CPU:
        return 0
    if request.work is not WorkKind.TRAINING:
        return policy.inference_memory_bytes
    total = account.device.memory_bytes
    # Replicas are among the others: what they use already is not reserved for them once more.
    reserve = max(total * policy.serving_memory_share_units // UNITS_PER_DEVICE, account.foreign_bytes)
    reserve += account.limits.get(WorkKind.INFERENCE, 0) * policy.inference_memory_bytes
    share = max(0, total - reserve) // max(1, account.limits.get(WorkKind.TRAINING, 1))
    return max(share, policy.inference_memory_bytes)


def choose_portion(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> Portion:
    """Work out what a lease for this request holds of a device that has room for it."""
    units = portion_units(account, request.work, policy)
    return Portion(account.device.device_id, units, memory_budget(account, request, policy))


def choose_gang(node: Iterable[DeviceAccount], request: LeaseRequest, policy: Policy) -> tuple[DeviceAccount, ...] | None:
    """The devices of one node that a gang can start on now, least loaded first; None while there are too few."""
    fit = [account for account in node if find_obstacle(account, request, policy) is None]
    if len(fit) < request.device_count:
        return None
    return tuple(sorted(fit, key=lambda account: (account.held_units, account.device.index))[: request.device_count])


def find_gang_obstacle(node: Sequence[DeviceAccount], request: LeaseRequest, policy: Policy) -> WaitReason:
    """Say what a gang misses on a node where it cannot start now."""
    reach = [account for account in node if is_within_reach(account, request, policy)]
    if len(reach) < request.device_count:
        return WaitReason.DEVICE
    obstacles = [find_obstacle(account, request, policy) for account in reach]
    heavier = (each for each in obstacles if each is not None and each is not WaitReason.LIMIT)
    return next(heavier, WaitReason.LIMIT)


class LoadIndex:
    """The devices with room, least loaded first, for each (kind of device, kind of work); memory is not its business.

    Invariant: every device that has room for a kind of work has exactly one entry with its current version in that heap. Entries
    with an older version are stale and are dropped when they come to the top.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heaps: dict[tuple[DeviceKind, WorkKind], list[_LoadItem]] = {key: [] for key in policy.portion_units}
        self._ordinals: dict[str, int] = {}
        self._present: dict[DeviceKind, set[str]] = {kind: set() for kind in DeviceKind}
        self._quarantined: dict[DeviceKind, set[str]] = {kind: set() for kind in DeviceKind}
        self._open: dict[tuple[DeviceKind, WorkKind], set[str]] = {key: set() for key in policy.portion_units}
        self._roomy: dict[tuple[DeviceKind, WorkKind], dict[str, str]] = {key: {} for key in policy.portion_units}
        self._rooms: dict[tuple[DeviceKind, WorkKind], Counter[str]] = {key: Counter() for key in policy.portion_units}
        self._works: Counter[str] = Counter()  # device id -> the kinds of work that it has room for

    def note(self, account: DeviceAccount) -> None:
        """Take in that an account has changed (or is new)."""
        account.version += 1
        kind, device_id = account.device.kind, account.device.device_id
        ordinal = self._ordinals.setdefault(device_id, len(self._ordinals))
        _set_member(self._present[kind], device_id, is_in=account.is_present)
        _set_member(self._quarantined[kind], device_id, is_in=account.is_present and bool(account.quarantine))
        for work in account.limits:
            full = find_full(account, work, self._policy)
            _set_member(self._open[kind, work], device_id, is_in=full in (None, WaitReason.SHARE))
            self._count_room((kind, work), account, has_room=full is None)
            if full is None:
                self._push(self._heaps[kind, work], account, ordinal)

    def rooms(self, kind: DeviceKind, work: WorkKind, node_id: str) -> int:
        """How many devices of a node have room for this kind of work."""
        return self._rooms[kind, work][node_id]

    def has_room(self, device: Device) -> bool:
        """Whether a device has room for any kind of work."""
        return self._works[device.device_id] > 0

    def least_loaded(self, kind: DeviceKind, work: WorkKind) -> DeviceAccount | None:
        """The device with the fewest units held that has room for this kind of work; None if all are full."""
        heap = self._heaps[kind, work]
        while heap:
            if heap[0][2] == heap[0][3].version:
                return heap[0][3]
            heappop(heap)
        return None

    def by_load(self, kind: DeviceKind, work: WorkKind) -> Iterator[DeviceAccount]:
        """Every device that has room for this kind of work, least loaded first; the first costs least."""
        first = self.least_loaded(kind, work)
        if first is None:
            return
        yield first
        live = sorted(item for item in self._heaps[kind, work] if item[2] == item[3].version and item[3] is not first)
        for _, _, version, account in live:
            if version == account.version:
                yield account

    def common_obstacle(self, kind: DeviceKind, work: WorkKind) -> WaitReason:
        """What keeps this kind of work from starting, where no device has room for it."""
        if not self._present[kind]:
            return WaitReason.DEVICE
        if self._present[kind] == self._quarantined[kind]:
            return WaitReason.QUARANTINE
        return WaitReason.SHARE if self._open[kind, work] else WaitReason.LIMIT

    def _count_room(self, key: tuple[DeviceKind, WorkKind], account: DeviceAccount, *, has_room: bool) -> None:
        roomy, rooms, device = self._roomy[key], self._rooms[key], account.device
        before = roomy.pop(device.device_id, None)
        if before is not None:
            rooms[before] -= 1
            self._works[device.device_id] -= 1
        if has_room:
            roomy[device.device_id] = device.node_id
            rooms[device.node_id] += 1
            self._works[device.device_id] += 1

    def _push(self, heap: list[_LoadItem], account: DeviceAccount, ordinal: int) -> None:
        heappush(heap, (account.held_units, ordinal, account.version, account))
        if len(heap) > 2 * len(self._ordinals) + 64:
            heap[:] = [item for item in heap if item[2] == item[3].version]
            heapify(heap)


def _set_member(members: set[str], member: str, *, is_in: bool) -> None:
    if is_in:
        members.add(member)
    else:
        members.discard(member)
