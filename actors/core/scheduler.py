"""The decisions: which request gets which device, when, and what follows from it.

``handle(event, now=...)`` takes one event, changes the ledger and the waiting line, and returns the commands that a shell must
carry out. It is synchronous, reads no clock and draws no random number: the same policy and the same events give the same commands.

The rule of order. A request that cannot start waits. A worse-ranked request may overtake it only where it takes nothing that the
better-ranked one waits for: one that waits for a *limit* holds back only its own kind of work on that device; one that waits for
*units* holds back everything on the devices it may use. Because of that, only the best request of each kind can be the next to
start on a device, and a decision costs a few heap operations however long the line is.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.core import events as ev
from actors.core.errors import (
    DuplicateRequestError,
    LeaseExpiredError,
    LeaseNotFoundError,
    LimitError,
    UnsatisfiableRequestError,
)
from actors.core.events import Command, EndCause, Event, WaitReason
from actors.core.ledger import DeviceAccount, LeaseEntry, Ledger
from actors.core.model import MOST_LEASES_PER_LIMIT, DeviceKind, Lease, LeaseRequest, Policy, WorkKind
from actors.core.placement import LoadIndex, choose_portion, find_obstacle
from actors.core.waiting_line import WaitingEntry, WaitingLine

#: So many ended requests are remembered, so that a late repetition is not granted anew.
_REMEMBERED_ENDS = 10_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a request waits.

    Attributes:
        request_id: the waiting request.
        position: 1 for the first of the whole line.
        reason: what it misses.
        held_by: the task ids of the leases that hold what it misses.
    """

    request_id: str
    position: int
    reason: WaitReason
    held_by: tuple[str, ...]


class Scheduler:
    """Ledger, waiting line and placement as one state machine; changed by ``handle`` alone.

    Invariant (``validate``): the ledger's and the line's own, and each known request is in exactly one of waiting, held and ended.
    """

    def __init__(self, policy: Policy, *, next_token: int = 1) -> None:
        """Begin with no devices.

        Args:
            policy: the fixed rules.
            next_token: the first fencing token; after a restart, one more than the largest ever granted.
        """
        self.policy = policy
        self.ledger = Ledger()
        self.line = WaitingLine(policy.patience_s)
        self._index = LoadIndex(policy)
        self._next_token = next_token
        self._held: dict[str, str] = {}  # request id -> lease id
        self._ended: OrderedDict[str, LeaseRequest] = OrderedDict()
        self._selectors: dict[str, tuple[DeviceKind, str | None]] = {}
        self._handlers: dict[type, Callable[[Any, float], list[Command]]] = {
            ev.DeviceAdded: self._on_device_added,
            ev.DeviceLost: self._on_device_lost,
            ev.LeaseRequested: self._on_lease_requested,
            ev.RequestWithdrawn: self._on_request_withdrawn,
            ev.RequestReranked: self._on_request_reranked,
            ev.LeaseRenewed: self._on_lease_renewed,
            ev.LeaseReleased: self._on_lease_released,
            ev.HolderGone: self._on_holder_gone,
            ev.LeaseAdopted: self._on_lease_adopted,
            ev.LimitsChanged: self._on_limits_changed,
            ev.Ticked: self._on_ticked,
        }

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """Take in one event and return what follows from it.

        Args:
            event: what has happened.
            now: the time in seconds, never smaller than at the event before.

        Raises:
            LimitError: a ``LimitsChanged`` that names an unknown device or an impossible number; nothing was changed.
        """
        return self._handlers[type(event)](event, now)

    # --- questions ---

    def lease(self, lease_id: str) -> Lease | None:
        """The open lease with this id, ending ones included."""
        entry = self.ledger.entries.get(lease_id)
        return entry.lease if entry else None

    def explain(self, request_id: str) -> Explanation | None:
        """Say why a request waits; None if it is not in line."""
        entry = self.line.waiting.get(request_id)
        if entry is None:
            return None
        position = 1 + sum(1 for _ in self.line.ahead_of(entry))
        holders = {
            lease.request.task_id: None
            for account in self._accounts_for(entry.request.selector)
            for lease in account.leases.values()
            if entry.reason is WaitReason.SHARE or lease.request.work is entry.request.work
        }
        return Explanation(request_id, position, entry.reason, tuple(holders))

    def validate(self) -> None:
        """Prove the invariant.

        Raises:
            AssertionError: says what is wrong.
        """
        self.ledger.validate()
        self.line.validate()
        places = [set(self.line.waiting), set(self._held), set(self._ended)]
        if sum(map(len, places)) != len(set.union(*places)):
            raise AssertionError("a request is in two of waiting, held and ended")
        if set(self._held.values()) != set(self.ledger.entries):
            raise AssertionError("the open leases are not those of the held requests")
        tokens = [entry.lease.token for entry in self.ledger.entries.values()]
        if len(tokens) != len(set(tokens)) or any(token >= self._next_token for token in tokens):
            raise AssertionError("a fencing token was given twice")

    # --- devices and limits ---

    def _on_device_added(self, event: ev.DeviceAdded, now: float) -> list[Command]:
        device = event.device
        account = self.ledger.accounts.get(device.device_id)
        if account is None:
            limits = {work: limit for (kind, work), limit in self.policy.default_limits.items() if kind is device.kind} | dict(
                event.limits or {}
            )
            account = self.ledger.open_account(device, self.policy.task_share_units[device.kind], limits)
            self._selectors[device.kind.value] = (device.kind, None)
            self._selectors[device.device_id] = (device.kind, device.device_id)
        account.device = device
        account.is_present = True
        return self._serve([account], now)

    def _on_device_lost(self, event: ev.DeviceLost, now: float) -> list[Command]:
        account = self.ledger.accounts.get(event.device_id)
        if account is None or not account.is_present:
            return []
        account.is_present = False
        self._index.note(account)
        commands: list[Command] = []
        for lease_id in tuple(account.leases):
            commands += self._close(lease_id, EndCause.DEVICE_LOST, now)
        for entry in self.line.waiting.values():
            entry.reason = self._reason_to_wait(entry.request)
        return commands

    def _on_limits_changed(self, event: ev.LimitsChanged, now: float) -> list[Command]:
        self._check_limits(event.limits)
        changed = []
        for device_id, limits in event.limits.items():
            account = self.ledger.accounts[device_id]
            account.limits.update(limits)
            changed.append(account)
        return self._serve(sorted(changed, key=lambda account: account.held_units), now)

    def _check_limits(self, limits: Mapping[str, Mapping[WorkKind, int]]) -> None:
        for device_id, by_work in limits.items():
            account = self.ledger.accounts.get(device_id)
            if account is None:
                known = ", ".join(self.ledger.accounts) or "none"
                raise LimitError(device_id, f"there is no such device; known devices: {known}")
            for work, limit in by_work.items():
                if (account.device.kind, work) not in self.policy.portion_units:
                    raise LimitError(f"{device_id}.{work}", f"a {account.device.kind} device does no {work}")
                if not 0 <= limit <= MOST_LEASES_PER_LIMIT:
                    raise LimitError(f"{device_id}.{work}", f"{limit} is not within 0 to {MOST_LEASES_PER_LIMIT}")

    # --- requests ---

    def _on_lease_requested(self, event: ev.LeaseRequested, now: float) -> list[Command]:
        request = event.request
        known = self._answer_again(request)
        if known is not None:
            return [known]
        impossible = self.find_impossibility(request)
        if impossible is not None:
            return [ev.Reject(request.request_id, UnsatisfiableRequestError(request.request_id, impossible))]
        self._ended.pop(request.request_id, None)
        entry = self.line.join(request, WaitReason.LIMIT)
        commands = self._serve_request(request, now)
        if request.request_id in self.line.waiting:
            entry.reason = self._reason_to_wait(request)
            commands.append(ev.Queue(request.request_id, entry.reason))
        return commands

    def _answer_again(self, request: LeaseRequest) -> Command | None:
        """The first answer to a request that is known already, or None for a new one."""
        request_id = request.request_id
        waiting = self.line.waiting.get(request_id)
        if waiting is not None:
            is_same = _is_same(waiting.request, request)
            return ev.Queue(request_id, waiting.reason) if is_same else _refuse_duplicate(request_id)
        lease_id = self._held.get(request_id)
        if lease_id is not None:
            lease = self.ledger.entries[lease_id].lease
            return ev.Grant(lease) if _is_same(lease.request, request) else _refuse_duplicate(request_id)
        # The very request that ended is not granted again; its id may serve for another (a task deleted and submitted anew).
        ended = self._ended.get(request_id)
        return _refuse_duplicate(request_id) if ended is not None and _is_same(ended, request) else None

    def find_impossibility(self, request: LeaseRequest) -> str | None:
        """Say why a request could never be granted, whatever ends first; None if it could."""
        if request.selector not in self._selectors:
            devices = ", ".join(self.ledger.accounts) or "none"
            return f"device {request.selector!r} does not exist here; devices: {devices}"
        kind, _ = self._selectors[request.selector]
        if (kind, request.work) not in self.policy.portion_units:
            return f"{request.work} runs on the CPU only; ask for device 'cpu'"
        if request.device_count != 1:
            return f"{request.device_count} devices for one lease cannot be granted; the most is 1"
        return None if request.memory_bytes is None else self._find_overdraft(request.memory_bytes, request.selector)

    def _find_overdraft(self, memory_bytes: int, selector: str) -> str | None:
        most = max(account.device.memory_bytes for account in self._accounts_for(selector))
        if memory_bytes <= most:
            return None
        return f"a budget of {memory_bytes} bytes is more than the device has; the most is {most}"

    def _on_request_withdrawn(self, event: ev.RequestWithdrawn, now: float) -> list[Command]:
        request = self.line.leave(event.request_id)
        if request is None:
            return []
        self._remember_end(request)
        # What it held back by its rank may start now.
        return self._serve_request(request, now)

    def _on_request_reranked(self, event: ev.RequestReranked, now: float) -> list[Command]:
        request = self.line.leave(event.request_id)
        if request is None:
            return []
        request = replace(request, priority=event.priority)
        self.line.join(request, self._reason_to_wait(request))
        return self._serve_request(request, now)

    # --- leases ---

    def _on_lease_renewed(self, event: ev.LeaseRenewed, now: float) -> list[Command]:
        entry = self.ledger.entries.get(event.lease_id)
        if entry is None or entry.lease.token != event.token:
            return [ev.Refuse(event.lease_id, LeaseNotFoundError(event.lease_id))]
        if entry.ending is None and entry.expires_at > now:
            self.ledger.renew(entry, expires_at=now + self.policy.lease_ttl_s)
            return [ev.Renew(event.lease_id, entry.expires_at)]
        refusal = ev.Refuse(event.lease_id, LeaseExpiredError(event.lease_id))
        return [refusal, *self._begin_end(entry, EndCause.EXPIRED)]

    def _on_lease_released(self, event: ev.LeaseReleased, now: float) -> list[Command]:  # noqa: ARG002 - one shape for all
        entry = self.ledger.entries.get(event.lease_id)
        if entry is None or entry.lease.token != event.token:
            return []
        return self._begin_end(entry, EndCause.RELEASED)

    def _on_holder_gone(self, event: ev.HolderGone, now: float) -> list[Command]:
        entry = self.ledger.entries.get(event.lease_id)
        return [] if entry is None else self._close(event.lease_id, entry.ending or EndCause.HOLDER_DIED, now)

    def _on_lease_adopted(self, event: ev.LeaseAdopted, now: float) -> list[Command]:
        lease = event.lease
        if any(portion.device_id not in self.ledger.accounts for portion in lease.portions):
            return [ev.Close(lease, EndCause.DEVICE_LOST)]
        self.ledger.enter(lease, expires_at=now + self.policy.lease_ttl_s)
        self._held[lease.request.request_id] = lease.lease_id
        self._next_token = max(self._next_token, lease.token + 1)
        for portion in lease.portions:
            self._index.note(self.ledger.accounts[portion.device_id])
        entry = self.ledger.entries[lease.lease_id]
        return self._begin_end(entry, EndCause.RELEASED) if event.is_ending else []

    def _on_ticked(self, event: ev.Ticked, now: float) -> list[Command]:  # noqa: ARG002 - one shape for all
        commands: list[Command] = []
        for entry in self.ledger.pop_expired(now):
            commands += self._begin_end(entry, EndCause.EXPIRED)
        return commands

    def _begin_end(self, entry: LeaseEntry, cause: EndCause) -> list[Command]:
        if entry.ending is not None:
            return []
        self.ledger.begin_end(entry, cause)
        return [ev.Reclaim(entry.lease, cause)]

    def _close(self, lease_id: str, cause: EndCause, now: float) -> list[Command]:
        entry = self.ledger.close(lease_id)
        request_id = entry.lease.request.request_id
        del self._held[request_id]
        self._remember_end(entry.lease.request)
        accounts = [self.ledger.accounts[portion.device_id] for portion in entry.lease.portions]
        return [ev.Close(entry.lease, cause), *self._serve(accounts, now)]

    def _remember_end(self, request: LeaseRequest) -> None:
        self._ended[request.request_id] = request
        if len(self._ended) > _REMEMBERED_ENDS:
            self._ended.popitem(last=False)

    # --- who is next ---

    def _serve_request(self, request: LeaseRequest, now: float) -> list[Command]:
        """Let the line use whatever a new, changed or gone request may have opened."""
        kind, device_id = self._selectors[request.selector]
        if device_id is not None:
            return self._serve([self.ledger.accounts[device_id]], now)
        account = self._index.least_loaded(kind, request.work)
        return [] if account is None else self._serve([account], now)

    def _serve(self, accounts: Iterable[DeviceAccount], now: float) -> list[Command]:
        """Grant leases on these devices for as long as the line has somebody who can start there."""
        commands: list[Command] = []
        for account in accounts:
            while (entry := self._next_to_start(account)) is not None:
                commands.append(self._grant(entry, account, now))
            self._index.note(account)
        return commands

    def _next_to_start(self, account: DeviceAccount) -> WaitingEntry | None:
        """The best-ranked request that may start on this device now."""
        heads = [head for work in account.limits if (head := self._best_head(work, account)) is not None]
        for entry in sorted(heads, key=lambda entry: entry.rank) if len(heads) > 1 else heads:
            obstacle = find_obstacle(account, entry.request.work, self.policy)
            if obstacle is None:
                return entry
            if obstacle is not WaitReason.LIMIT:
                return None
        return None

    def _best_head(self, work: WorkKind, account: DeviceAccount) -> WaitingEntry | None:
        """The best-ranked waiting request of this kind that may use this device."""
        any_device = self.line.head(work, account.device.kind.value)
        pinned = self.line.head(work, account.device.device_id)
        if any_device is None or pinned is None:
            return any_device or pinned
        return any_device if any_device.rank < pinned.rank else pinned

    def _grant(self, entry: WaitingEntry, account: DeviceAccount, now: float) -> ev.Grant:
        request = entry.request
        token = self._next_token
        self._next_token += 1
        portion = choose_portion(account, request, self.policy)
        lease = Lease(f"lease-{token}", token, request, (portion,), now)
        self.line.leave(request.request_id)
        self.ledger.enter(lease, expires_at=now + self.policy.lease_ttl_s)
        self._held[request.request_id] = lease.lease_id
        return ev.Grant(lease)

    def _reason_to_wait(self, request: LeaseRequest) -> WaitReason:
        """What a request that did not start is missing, seen from the device that is nearest to having room."""
        kind, device_id = self._selectors[request.selector]
        if device_id is not None:
            obstacle = find_obstacle(self.ledger.accounts[device_id], request.work, self.policy)
            return obstacle or WaitReason.ORDER
        if self._index.least_loaded(kind, request.work) is not None:
            return WaitReason.ORDER
        return self._index.common_obstacle(kind, request.work)

    def _accounts_for(self, selector: str) -> list[DeviceAccount]:
        kind, device_id = self._selectors[selector]
        if device_id is not None:
            return [self.ledger.accounts[device_id]]
        return [account for account in self.ledger.accounts.values() if account.device.kind is kind]


def _is_same(known: LeaseRequest, request: LeaseRequest) -> bool:
    """Whether a request repeats a known one, which may have got another priority meanwhile."""
    return replace(known, priority=request.priority) == request


def _refuse_duplicate(request_id: str) -> ev.Reject:
    reason = f"the id {request_id!r} was used before for another request; choose a new one"
    return ev.Reject(request_id, DuplicateRequestError(request_id, reason))
