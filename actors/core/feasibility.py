"""What can never be: requests that no end of a lease will make possible, and limits that mean nothing."""

from collections.abc import Mapping

from actors.core.errors import LimitError
from actors.core.ledger import DeviceAccount
from actors.core.matching import Matcher
from actors.core.model import GIB, MOST_LEASES_PER_LIMIT, DeviceKind, LeaseRequest, Policy, WorkKind

#: The least urgent priority; 1 is the most urgent.
LEAST_PRIORITY = 10


def find_impossibility(request: LeaseRequest, matcher: Matcher, policy: Policy) -> str | None:
    """Say why a request could never be granted on these devices, with the largest that could; None if it could."""
    if not 1 <= request.priority <= LEAST_PRIORITY:
        return f"priority {request.priority} is not within 1 (the most urgent) to {LEAST_PRIORITY}"
    target = matcher.resolve(request.selector)
    if target is None:
        devices = ", ".join(matcher.device_ids()) or "none"
        return f"device {request.selector!r} does not exist here; devices: {devices}"
    kind, device_id = target
    if (kind, request.work) not in policy.portion_units:
        return f"{request.work} runs on the CPU only; ask for device 'cpu'"
    if request.device_count != 1:
        misfit = _find_gang_misfit(request, matcher, kind, device_id)
        if misfit is not None:
            return misfit
    return None if request.memory_bytes is None else _find_overdraft(request, request.memory_bytes, matcher)


def _find_gang_misfit(request: LeaseRequest, matcher: Matcher, kind: DeviceKind, device_id: str | None) -> str | None:
    widest = matcher.widest_node(kind)
    if not 1 <= request.device_count <= widest:
        return f"{request.device_count} {kind} devices on one node cannot be granted; the most that a node has is {widest}"
    if device_id is not None:
        return f"{request.device_count} devices cannot all be {device_id}; ask for device {kind.value!r} and they are chosen"
    return None


def _find_overdraft(request: LeaseRequest, budget: int, matcher: Matcher) -> str | None:
    if budget < 1:
        return f"a memory budget of {budget} bytes is none; give at least 1, or leave it out for the default"
    most = matcher.largest_budget(request)
    if budget <= most:
        return None
    return f"a memory budget of {budget} bytes is more than a device has; the most is {most} ({most / GIB:.1f} GiB)"


def check_limits(limits: Mapping[str, Mapping[WorkKind, int]], accounts: Mapping[str, DeviceAccount], policy: Policy) -> None:
    """Check limits that somebody wants to set.

    Raises:
        LimitError: names the device and kind of work that is wrong, and what would be accepted.
    """
    for device_id, by_work in limits.items():
        account = accounts.get(device_id)
        if account is None:
            raise LimitError(device_id, f"there is no such device; known devices: {', '.join(accounts) or 'none'}")
        for work, limit in by_work.items():
            if (account.device.kind, work) not in policy.portion_units:
                raise LimitError(f"{device_id}.{work}", f"a {account.device.kind} device does no {work}")
            if not 0 <= limit <= MOST_LEASES_PER_LIMIT:
                raise LimitError(f"{device_id}.{work}", f"{limit} is not within 0 to {MOST_LEASES_PER_LIMIT}")
