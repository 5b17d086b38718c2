"""Which device, and how much of it: pure choices over the ledger's accounts.

The count limits decide whether another lease may start; the fraction is what Ray is told. Limits up to 64 are always accepted, so
where the places that are still open ask for more than the share has left, the portions of new leases shrink in proportion and the
last open place still fits.
"""

from heapq import heapify, heappop, heappush

from actors.core.events import WaitReason
from actors.core.ledger import DeviceAccount
from actors.core.model import DeviceKind, LeaseRequest, Policy, Portion, WorkKind
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


def find_obstacle(account: DeviceAccount, work: WorkKind, policy: Policy) -> WaitReason | None:
    """Say why no lease of this kind can start on this device now; None if one can."""
    if not account.is_present:
        return WaitReason.DEVICE
    if account.counts[work] >= account.limits.get(work, 0):
        return WaitReason.LIMIT
    if portion_units(account, work, policy) < 1:
        return WaitReason.SHARE
    return None


def memory_budget(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> int:
    """Choose the memory budget in bytes of a lease.

    An explicit budget is taken as it is. The default of a training is the GPU's memory less serving's part and one inference
    budget for each inference that the limit allows, divided by the trainings that the limit allows. On a CPU there is no default:
    0 means that nothing is capped.
    """
    if request.memory_bytes is not None:
        return request.memory_bytes
    if account.device.kind is DeviceKind.CPU:
        return 0
    if request.work is not WorkKind.TRAINING:
        return policy.inference_memory_bytes
    total = account.device.memory_bytes
    reserve = total * policy.serving_memory_share_units // UNITS_PER_DEVICE
    reserve += account.limits.get(WorkKind.INFERENCE, 0) * policy.inference_memory_bytes
    share = max(0, total - reserve) // max(1, account.limits.get(WorkKind.TRAINING, 1))
    return max(share, policy.inference_memory_bytes)


def choose_portion(account: DeviceAccount, request: LeaseRequest, policy: Policy) -> Portion:
    """Work out what a lease for this request holds of a device that has room for it."""
    units = portion_units(account, request.work, policy)
    return Portion(account.device.device_id, units, memory_budget(account, request, policy))


class LoadIndex:
    """The devices with room, least loaded first, for each (kind of device, kind of work).

    Invariant: every device that has room for a kind of work has exactly one entry with its current version in that heap. Entries
    with an older version are stale and are dropped when they come to the top.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heaps: dict[tuple[DeviceKind, WorkKind], list[_LoadItem]] = {key: [] for key in policy.portion_units}
        self._ordinals: dict[str, int] = {}
        self._present: dict[DeviceKind, set[str]] = {kind: set() for kind in DeviceKind}
        self._open: dict[tuple[DeviceKind, WorkKind], set[str]] = {key: set() for key in policy.portion_units}

    def note(self, account: DeviceAccount) -> None:
        """Take in that an account has changed (or is new)."""
        account.version += 1
        kind, device_id = account.device.kind, account.device.device_id
        ordinal = self._ordinals.setdefault(device_id, len(self._ordinals))
        _set_member(self._present[kind], device_id, is_in=account.is_present)
        for work in account.limits:
            obstacle = find_obstacle(account, work, self._policy)
            _set_member(self._open[kind, work], device_id, is_in=obstacle in (None, WaitReason.SHARE))
            if obstacle is None:
                self._push(self._heaps[kind, work], account, ordinal)

    def least_loaded(self, kind: DeviceKind, work: WorkKind) -> DeviceAccount | None:
        """The device with the fewest units held that has room for this kind of work; None if all are full."""
        heap = self._heaps[kind, work]
        while heap:
            if heap[0][2] == heap[0][3].version:
                return heap[0][3]
            heappop(heap)
        return None

    def common_obstacle(self, kind: DeviceKind, work: WorkKind) -> WaitReason:
        """What keeps this kind of work from starting, where no device has room for it."""
        if not self._present[kind]:
            return WaitReason.DEVICE
        return WaitReason.SHARE if self._open[kind, work] else WaitReason.LIMIT

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
