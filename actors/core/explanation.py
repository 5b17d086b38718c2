"""Why a request waits, in figures and in words, and when it may start.

Answers for a request in line and for one that was never submitted. Reads the books, changes nothing. The estimate takes the open
places of the devices that the request may use as servers, lets each come free when its lease is expected to end, and hands them the
work that is ranked ahead; it is None as soon as any duration it needs was never measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actors.core.durations import DurationKey, Durations
from actors.core.events import WaitReason
from actors.core.ledger import DeviceAccount
from actors.core.matching import Matcher
from actors.core.model import GIB, Lease, LeaseRequest, WorkKind
from actors.core.waiting_line import QueueKey, WaitingLine

#: A lease that has outlived its expected end is expected to take this part of it longer.
_OVERTIME = 0.1


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds something that a request waits for; ``expected_end_at`` is None where nothing alike was measured."""

    task_id: str
    work: WorkKind
    device_id: str
    units: int
    memory_bytes: int
    granted_at: float
    expected_end_at: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The state of a wish.

    Attributes:
        request_id: the request.
        would_start: whether it would start now; only for one that is not in line.
        position: 1 for the first of the whole line.
        waiting: how many are in line.
        missing: what it misses; None where it would start.
        device_ids: the devices it may use.
        detail: the same in a sentence.
        remedy: what would free it, in a sentence.
        held_by: who holds what it misses.
        estimated_start_at: seconds, on the clock of the events; None where unknown.
    """

    request_id: str
    would_start: bool
    position: int
    waiting: int
    missing: WaitReason | None
    device_ids: tuple[str, ...]
    detail: str
    remedy: str
    held_by: tuple[Holder, ...]
    estimated_start_at: float | None


def describe(reason: WaitReason, request: LeaseRequest, accounts: Sequence[DeviceAccount]) -> tuple[str, str]:
    """Put into words what a request misses, and what would free it."""
    where = _name(request, accounts)
    match reason:
        case WaitReason.LIMIT:
            limits = sum(account.limits.get(request.work, 0) for account in accounts)
            held = sum(account.counts[request.work] for account in accounts)
            detail = f"{held} of {limits} {request.work} leases on {where} are held"
            return detail, f"the end of one of them, or a higher {request.work} limit"
        case WaitReason.SHARE:
            return f"the task share of {where} is used up", "the end of any lease there"
        case WaitReason.MEMORY:
            free = max((account.free_bytes for account in accounts), default=0)
            foreign = max((account.foreign_bytes for account in accounts), default=0)
            others = f"; processes without a lease use {_gib(foreign)}" if foreign else ""
            budget = "default memory budget" if request.memory_bytes is None else f"memory budget of {_gib(request.memory_bytes)}"
            detail = f"its {budget} does not fit the {_gib(max(0, free))} on {where} that are neither used nor promised{others}"
            return detail, "the end of a lease there, a smaller gpu_memory_gb, or less foreign use"
        case WaitReason.QUARANTINE:
            reasons = "; ".join(account.quarantine for account in accounts if account.quarantine)
            return f"{where} is in quarantine: {reasons}", "the quarantine ends by itself when the device recovers"
        case WaitReason.DEVICE:
            return f"too few devices for it are there at present ({where})", "the return of a lost device"
    return f"{where} has room, but a better-ranked request waits for it", "the start of those ahead, or a more urgent priority"


def holders_of(
    reason: WaitReason | None, request: LeaseRequest, accounts: Iterable[DeviceAccount]
) -> list[tuple[DeviceAccount, Lease]]:
    """The leases that hold what a request misses: of its own kind where a limit is reached, else all on the devices it may use."""
    is_limit = reason is WaitReason.LIMIT
    return [
        (account, lease)
        for account in accounts
        for lease in account.leases.values()
        if not is_limit or lease.request.work is request.work
    ]


class Explainer:
    """Puts together what the books, the line and the durations say of one request."""

    def __init__(self, matcher: Matcher, line: WaitingLine, durations: Durations) -> None:
        self._matcher = matcher
        self._line = line
        self._forecast = Forecast(durations, line)

    def explain_draft(self, request: LeaseRequest, now: float) -> Explanation:
        """Say what would happen to a request that is not in line; nothing changes."""
        # Asked by really standing in line for a moment: one rule decides, here and in earnest.
        entry = self._line.join(request, WaitReason.ORDER)
        places = (place for account in self._matcher.openings(request) for place in self._matcher.affected_by(account))
        would_start = any((match := self._matcher.next_to_start(place)) and match.entry is entry for place in places)
        self._line.leave(request.request_id)
        return self.explain(request, None if would_start else self._matcher.reason_to_wait(request), now)

    def explain(self, request: LeaseRequest, missing: WaitReason | None, now: float) -> Explanation:
        """Say what a request misses (None: nothing), who has it, and when it may start."""
        accounts = self._matcher.accounts_for(request)
        rank = self._line.rank_for(request)
        ahead = self._line.count_ahead(rank)
        detail, remedy = ("it can start now", "") if missing is None else describe(missing, request, accounts)
        held = [] if missing is None else holders_of(missing, request, accounts)
        return Explanation(
            request_id=request.request_id,
            would_start=missing is None,
            position=1 + sum(ahead.values()),
            waiting=len(self._line),
            missing=missing,
            device_ids=tuple(account.device.device_id for account in accounts),
            detail=detail,
            remedy=remedy,
            held_by=tuple(_view_holder(account, lease, self._forecast.end_of(account, lease, now)) for account, lease in held),
            estimated_start_at=now if missing is None else self._forecast.start_of(request, ahead, accounts, now),
        )


class Forecast:
    """Estimates of when leases end and requests start."""

    def __init__(self, durations: Durations, line: WaitingLine) -> None:
        self._durations = durations
        self._line = line

    def end_of(self, account: DeviceAccount, lease: Lease, now: float) -> float | None:
        """When a lease is expected to end; None where nothing alike was measured."""
        expected = self._expected(account, lease.request.work, lease.request.profile)
        return None if expected is None else max(lease.granted_at + expected, now + expected * _OVERTIME)

    def start_of(
        self, request: LeaseRequest, ahead: Mapping[QueueKey, int], accounts: Sequence[DeviceAccount], now: float
    ) -> float | None:
        """When a request that waits is expected to start; None where that cannot be known."""
        if request.device_count > 1 or not accounts:
            return None
        free_at = self._places(request, accounts, now)
        work_s = self._work_ahead(request, ahead, accounts)
        if free_at is None or work_s is None or not free_at:
            return None
        return _pour(sorted(free_at), work_s)

    def _places(self, request: LeaseRequest, accounts: Sequence[DeviceAccount], now: float) -> list[float] | None:
        """When each place of this kind of work comes free."""
        free_at: list[float] = []
        for account in accounts:
            if not account.is_present or account.quarantine:
                continue
            leases = [lease for lease in account.leases.values() if lease.request.work is request.work]
            ends = sorted(end for lease in leases if (end := self.end_of(account, lease, now)) is not None)
            if len(ends) < len(leases):
                return None
            limit = account.limits.get(request.work, 0)
            # Over a lowered limit, the first to end leave no place behind.
            free_at += ends[max(0, len(ends) - limit) :] + [now] * max(0, limit - len(ends))
        return free_at

    def _work_ahead(self, request: LeaseRequest, ahead: Mapping[QueueKey, int], accounts: Sequence[DeviceAccount]) -> float | None:
        """The seconds of work of the same kind that are ranked ahead on these devices.

        Within one queue the profiles of those ahead are taken to be mixed like those of the whole queue.
        """
        selectors = {accounts[0].device.kind.value, *(account.device.device_id for account in accounts)}
        total = 0.0
        for key, count in ahead.items():
            work, selector, width = key
            if not count or work is not request.work or selector not in selectors:
                continue
            for profile, part in self._line.mix_of(key).items():
                expected = self._expected(accounts[0], work, profile)
                if expected is None:
                    return None
                total += count * part * width * expected
        return total

    def _expected(self, account: DeviceAccount, work: WorkKind, profile: str) -> float | None:
        return self._durations.expected(DurationKey(account.device.kind, work, profile))


def _view_holder(account: DeviceAccount, lease: Lease, expected_end_at: float | None) -> Holder:
    portion = account.portion_of(lease)
    return Holder(
        lease.request.task_id,
        lease.request.work,
        portion.device_id,
        portion.units,
        portion.memory_bytes,
        lease.granted_at,
        expected_end_at,
    )


def _pour(free_at: list[float], work_s: float) -> float:
    """The moment at which servers that come free at these times (ascending) have done so much work between them."""
    level = free_at[0]
    for busy, next_at in enumerate(free_at[1:], start=1):
        room = (next_at - level) * busy
        if room >= work_s:
            return level + work_s / busy
        work_s -= room
        level = next_at
    return level + work_s / len(free_at)


def _name(request: LeaseRequest, accounts: Sequence[DeviceAccount]) -> str:
    if request.device_count > 1:
        return f"{request.device_count} devices of one node"
    return accounts[0].device.device_id if len(accounts) == 1 else f"every {request.selector} device"


def _gib(amount: int) -> str:
    return f"{amount / GIB:.1f} GiB"
