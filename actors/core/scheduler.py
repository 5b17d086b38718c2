"""The decisions: which request gets which device, when, and what follows from it.

``handle(event, now=...)`` takes one event, changes the ledger and the waiting line, and returns the commands that a shell must
carry out. It is synchronous, reads no clock and draws no random number: the same policy and the same events give the same commands.

The rooms around it: ``ledger`` knows who holds what, ``waiting_line`` who waits, ``matching`` who is next (the rule of order),
``placement`` where and how much, ``preemption`` who gives way, ``feasibility`` what can never be, ``explanation`` why somebody waits.
"""

from bisect import bisect, bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from actors.core import events as ev
from actors.core.durations import DurationKey, Durations
from actors.core.errors import (
    DuplicateRequestError,
    LeaseExpiredError,
    LeaseNotFoundError,
    UnsatisfiableRequestError,
)
from actors.core.events import Command, EndCause, Event, WaitReason
from actors.core.explanation import Explainer, Explanation
from actors.core.feasibility import check_limits, find_impossibility
from actors.core.ledger import DeviceAccount, LeaseEntry, Ledger
from actors.core.matching import Match, Matcher
from actors.core.model import Lease, LeaseRequest, Policy
from actors.core.placement import choose_portion
from actors.core.preemption import Preemption
from actors.core.waiting_line import Rank, WaitingEntry, WaitingLine

#: So many ended requests are remembered, so that a late repetition is not granted anew.
_REMEMBERED_ENDS = 10_000


class Scheduler:
    """Ledger, waiting line and placement as one state machine; changed by ``handle`` alone.

    Invariant (``validate``): the ledger's and the line's own, and each known request is in exactly one of waiting, held and ended.
    """

    def __init__(self, policy: Policy, *, next_token: int = 1, durations: Durations | None = None) -> None:
        """Begin with no devices.

        Args:
            policy: the fixed rules.
            next_token: the first fencing token; after a restart, one more than the largest ever granted.
            durations: how long work took before, for estimates; nothing is known by default.
        """
        self.policy = policy
        self.ledger = Ledger()
        self.line = WaitingLine(policy.patience_s)
        self.durations = durations or Durations()
        self._matcher = Matcher(policy, self.ledger, self.line)
        self._explainer = Explainer(self._matcher, self.line, self.durations)
        self._preemption = Preemption(policy, self.ledger, self._matcher)
        self._revoked: dict[str, str] = {}  # lease id -> the request that it gives way to
        self._preemptible: list[tuple[Rank, str]] = []  # the open leases that may be revoked, best-ranked first
        self._ending: set[str] = set()  # the open leases whose units are on their way back
        self._next_token = next_token
        self._held: dict[str, str] = {}  # request id -> lease id
        self._ended: OrderedDict[str, LeaseRequest] = OrderedDict()
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
            ev.MemoryMeasured: self._on_memory_measured,
            ev.DeviceQuarantined: self._on_quarantine_changed,
            ev.DeviceRecovered: self._on_quarantine_changed,
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

    def explain(self, request_id: str, *, now: float) -> Explanation | None:
        """Say why a request waits; None if it is not in line."""
        entry = self.line.waiting.get(request_id)
        if entry is None:
            return None
        return self._explainer.explain(entry.request, self._matcher.reason_to_wait(entry.request), now)

    def explain_draft(self, request: LeaseRequest, *, now: float) -> Explanation:
        """Say what would happen to a request if it came now; nothing changes.

        Raises:
            UnsatisfiableRequestError: it could never be granted.
        """
        waiting = self.explain(request.request_id, now=now)
        if waiting is not None:
            return waiting
        impossible = self.find_impossibility(request)
        if impossible is not None:
            raise UnsatisfiableRequestError(request.request_id, impossible)
        return self._explainer.explain_draft(request, now)

    def find_impossibility(self, request: LeaseRequest) -> str | None:
        """Say why a request could never be granted, whatever ends first; None if it could."""
        return find_impossibility(request, self._matcher, self.policy)

    def largest_budget(self, request: LeaseRequest) -> int:
        """The most memory in bytes that a device could ever give to a possible request; of a gang, to each of its processes."""
        return self._matcher.largest_budget(request)

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
        if not set(self._revoked) <= set(self.ledger.entries):
            raise AssertionError("a lease that is gone counts as revoked")

    # --- devices and limits ---

    def _on_device_added(self, event: ev.DeviceAdded, now: float) -> list[Command]:
        device = event.device
        account = self.ledger.accounts.get(device.device_id)
        if account is None:
            limits = {work: limit for (kind, work), limit in self.policy.default_limits.items() if kind is device.kind} | dict(
                event.limits or {}
            )
            account = self.ledger.open_account(device, self.policy.task_share_units[device.kind], limits)
        account.device = device
        account.is_present = True
        self._matcher.add(account)
        self._matcher.note(account)
        return self._serve(self._matcher.node_of(account), now)

    def _on_device_lost(self, event: ev.DeviceLost, now: float) -> list[Command]:
        account = self.ledger.accounts.get(event.device_id)
        if account is None or not account.is_present:
            return []
        account.is_present = False
        self._matcher.note(account)
        commands: list[Command] = []
        for lease_id in tuple(account.leases):
            commands += self._close(lease_id, EndCause.DEVICE_LOST, now)
        for entry in self.line.waiting.values():
            entry.reason = self._matcher.reason_to_wait(entry.request)
        return commands + self._serve(self._matcher.node_of(account), now)

    def _on_memory_measured(self, event: ev.MemoryMeasured, now: float) -> list[Command]:
        account = self.ledger.accounts.get(event.device_id)
        if account is None or (account.foreign_bytes == event.foreign_bytes and account.filled_bytes == event.filled_bytes):
            return []
        self.ledger.measure(account, event.foreign_bytes, event.filled_bytes)
        self._matcher.note(account)
        return self._serve(self._matcher.node_of(account), now)

    def _on_quarantine_changed(self, event: ev.DeviceQuarantined | ev.DeviceRecovered, now: float) -> list[Command]:
        account = self.ledger.accounts[event.device_id]
        account.quarantine = event.reason if isinstance(event, ev.DeviceQuarantined) else ""
        self._matcher.note(account)
        # The whole node: a gang that was waited for there may be out of reach now, and others may start.
        return self._serve(self._matcher.node_of(account), now)

    def _on_limits_changed(self, event: ev.LimitsChanged, now: float) -> list[Command]:
        check_limits(event.limits, self.ledger.accounts, self.policy)
        changed: dict[str, DeviceAccount] = {}
        for device_id, limits in event.limits.items():
            account = self.ledger.accounts[device_id]
            account.limits.update(limits)
            self._matcher.note(account)
            changed |= {other.device.device_id: other for other in self._matcher.node_of(account)}
        return self._serve(sorted(changed.values(), key=lambda account: account.held_units), now)

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
            commands += self._serve_beside(entry, now)
            entry.reason = self._matcher.reason_to_wait(request)
            commands.append(ev.Queue(request.request_id, entry.reason))
            commands += self._preempt_for(entry, now)
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

    def _on_request_withdrawn(self, event: ev.RequestWithdrawn, now: float) -> list[Command]:
        entry = self.line.leave(event.request_id)
        if entry is None:
            return []
        self._remember_end(entry.request)
        # What it held back by its rank may start now.
        return self._serve_in_place_of(entry, now)

    def _on_request_reranked(self, event: ev.RequestReranked, now: float) -> list[Command]:
        entry = self.line.leave(event.request_id)
        if entry is None:
            return []
        request = replace(entry.request, priority=event.priority)
        joined = self.line.join(request, self._matcher.reason_to_wait(request))
        commands = self._serve_in_place_of(entry, now)
        if request.request_id in self.line.waiting:
            commands += self._serve_beside(joined, now)
            commands += self._preempt_for(joined, now)
        return commands

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
        entry.is_complete = entry.is_complete or event.is_complete
        return self._begin_end(entry, EndCause.RELEASED)

    def _on_holder_gone(self, event: ev.HolderGone, now: float) -> list[Command]:
        entry = self.ledger.entries.get(event.lease_id)
        return [] if entry is None else self._close(event.lease_id, entry.ending or EndCause.HOLDER_DIED, now)

    def _on_lease_adopted(self, event: ev.LeaseAdopted, now: float) -> list[Command]:
        lease = event.lease
        if any(portion.device_id not in self.ledger.accounts for portion in lease.portions):
            return [ev.Close(lease, EndCause.DEVICE_LOST)]
        self._enter(lease, now)
        self._next_token = max(self._next_token, lease.token + 1)
        entry = self.ledger.entries[lease.lease_id]
        return self._begin_end(entry, EndCause.RELEASED) if event.is_ending else []

    def _on_ticked(self, event: ev.Ticked, now: float) -> list[Command]:  # noqa: ARG002 - one shape for all
        commands: list[Command] = []
        for entry in self.ledger.pop_expired(now):
            commands += self._begin_end(entry, EndCause.EXPIRED)
        for lease_id in tuple(self._revoked):
            lingering = self.ledger.entries[lease_id]
            if lingering.revoked_at is not None and now - lingering.revoked_at >= self.policy.revoke_grace_s:
                commands += self._begin_end(lingering, EndCause.REVOKED)
        # A request that came behind others asks for its own victims once it is the best of its queue.
        for head in self.line.all_heads():
            commands += self._preempt_for(head, now)
        return commands

    def _begin_end(self, entry: LeaseEntry, cause: EndCause) -> list[Command]:
        if entry.ending is not None:
            return []
        self._discard_preemptible(entry.lease)
        self.ledger.begin_end(entry, cause)
        self._ending.add(entry.lease.lease_id)
        return [ev.Reclaim(entry.lease, cause)]

    def _close(self, lease_id: str, cause: EndCause, now: float) -> list[Command]:
        entry = self.ledger.close(lease_id)
        request = entry.lease.request
        del self._held[request.request_id]
        self._revoked.pop(lease_id, None)
        self._discard_preemptible(entry.lease)
        self._ending.discard(lease_id)
        self._remember_end(request)
        accounts = [self.ledger.accounts[portion.device_id] for portion in entry.lease.portions]
        for account in accounts:
            self._matcher.note(account)
        if entry.is_complete:
            self.durations.learn(DurationKey(accounts[0].device.kind, request.work, request.profile), now - entry.lease.granted_at)
        return [ev.Close(entry.lease, cause, entry.is_complete), *self._serve(accounts, now)]

    # --- who gives way ---

    def _preempt_for(self, entry: WaitingEntry, now: float) -> list[Command]:
        """Revoke preemptible leases of worse rank where a waiting request cannot start otherwise."""
        request = entry.request
        worse = self._preemptible[bisect(self._preemptible, (entry.rank, "")) :]
        if not worse or request.request_id in self._revoked.values():
            return []
        candidates = [self.ledger.entries[lease_id].lease for _, lease_id in reversed(worse)]
        victims = self._preemption.choose(request, candidates, self._ending)
        for victim in victims:
            self._discard_preemptible(victim)
            self.ledger.entries[victim.lease_id].revoked_at = now
            self._revoked[victim.lease_id] = request.request_id
        return [ev.Revoke(victim, request.request_id) for victim in victims]

    def _discard_preemptible(self, lease: Lease) -> None:
        key = (self.line.rank_for(lease.request), lease.lease_id)
        index = bisect_left(self._preemptible, key)
        if self._preemptible[index : index + 1] == [key]:
            del self._preemptible[index]

    def _remember_end(self, request: LeaseRequest) -> None:
        self._ended[request.request_id] = request
        if len(self._ended) > _REMEMBERED_ENDS:
            self._ended.popitem(last=False)

    # --- who is next ---

    def _serve_request(self, request: LeaseRequest, now: float) -> list[Command]:
        """Let the line use whatever a new request may have opened."""
        commands: list[Command] = []
        for account in self._matcher.openings(request):
            commands += self._serve([account], now)
            if request.request_id not in self.line.waiting:
                break
        return commands

    def _serve_beside(self, entry: WaitingEntry, now: float) -> list[Command]:
        """Let others start whom a gang kept waiting that stands behind a new one now: the first of a queue speaks for it."""
        return self._serve(tuple(self._matcher.released_by(entry)), now) if entry.request.device_count > 1 else []

    def _serve_in_place_of(self, entry: WaitingEntry, now: float) -> list[Command]:
        """Let the line use what a request that left (or changed its place) may have held back."""
        accounts = self._matcher.released_by(entry) if entry.holds_back else self._matcher.openings(entry.request)
        return self._serve(tuple(accounts), now)

    def _serve(self, accounts: Iterable[DeviceAccount], now: float) -> list[Command]:
        """Grant leases on these devices for as long as the line has somebody who can start there."""
        commands: list[Command] = []
        to_serve = deque(other for account in accounts for other in self._matcher.affected_by(account))
        while to_serve:
            account = to_serve.popleft()
            while (match := self._matcher.next_to_start(account)) is not None:
                commands.append(self._grant(match, now))
                if match.entry.holds_back:  # those it kept waiting elsewhere may start there
                    to_serve.extend(self._matcher.released_by(match.entry))
        return commands

    def _grant(self, match: Match, now: float) -> ev.Grant:
        request = match.entry.request
        # It follows the time as well: of two stores that grant for one folder (or a new one after an old one), the later grant is newer.
        token = max(self._next_token, int(now))
        self._next_token = token + 1
        portions = tuple(choose_portion(account, request, self.policy) for account in match.accounts)
        lease = Lease(f"lease-{token}", token, request, portions, now)
        self.line.leave(request.request_id)
        self._enter(lease, now)
        return ev.Grant(lease)

    def _enter(self, lease: Lease, now: float) -> None:
        """Write a lease into the books, and into the lists that are kept of them."""
        self.ledger.enter(lease, expires_at=now + self.policy.lease_ttl_s)
        self._held[lease.request.request_id] = lease.lease_id
        if lease.request.preemptible:
            insort(self._preemptible, (self.line.rank_for(lease.request), lease.lease_id))
        for portion in lease.portions:
            self._matcher.note(self.ledger.accounts[portion.device_id])


def _is_same(known: LeaseRequest, request: LeaseRequest) -> bool:
    # A repetition may come with the priority of before or after a change.
    return replace(known, priority=request.priority) == request


def _refuse_duplicate(request_id: str) -> ev.Reject:
    reason = f"the id {request_id!r} was used before for another request; choose a new one"
    return ev.Reject(request_id, DuplicateRequestError(request_id, reason))
