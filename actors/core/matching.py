"""Who is next on which device: the questions between the waiting line and the ledger. Changes neither.

The rule of order. A request that cannot start waits. A worse-ranked request may overtake it only where it takes nothing that the
better-ranked one waits for: one that waits for a *limit* holds back only its own kind of work on that device; one that waits for
*units* or *memory* holds back everything on the devices it may use; a gang that waits for enough free devices holds back its own kind
of work on all of its node's. What no end of a lease can give (a limit of 0, memory that somebody else's process has) is not waited
for in this sense, and holds nothing back.

Because of that, only the best request of each queue can be the next to start on a device, and a decision costs a few heap operations
however long the line is.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from actors.core.events import WaitReason
from actors.core.ledger import DeviceAccount, Ledger
from actors.core.model import DeviceKind, LeaseRequest, Policy, WorkKind
from actors.core.placement import (
    LoadIndex,
    choose_gang,
    find_gang_obstacle,
    find_obstacle,
    fits_when_empty,
    is_within_reach,
)
from actors.core.waiting_line import WaitingEntry, WaitingLine


@dataclass(frozen=True, slots=True)
class Match:
    """A request that may start now, and the devices it gets: one, or a gang's."""

    entry: WaitingEntry
    accounts: tuple[DeviceAccount, ...]


class Matcher:
    """Finds matches between the line and the devices.

    Invariant: the only thing it writes is on the entries of the line: what they miss, and whether they hold others back.
    """

    def __init__(self, policy: Policy, ledger: Ledger, line: WaitingLine) -> None:
        self._policy = policy
        self._ledger = ledger
        self._line = line
        self._index = LoadIndex(policy)
        self._selectors: dict[str, tuple[DeviceKind, str | None]] = {}
        self._nodes: dict[str, dict[str, DeviceAccount]] = {}
        self._largest: dict[tuple[str, int], int] = {}  # the answers of ``largest_budget`` since the last device came

    def add(self, account: DeviceAccount) -> None:
        """Take in a device, or one that came back on another node."""
        device = account.device
        self._selectors[device.kind.value] = (device.kind, None)
        self._selectors[device.device_id] = (device.kind, device.device_id)
        for node in self._nodes.values():
            node.pop(device.device_id, None)
        self._nodes.setdefault(device.node_id, {})[device.device_id] = account
        self._largest.clear()

    def note(self, account: DeviceAccount) -> None:
        """Take in that an account has changed."""
        self._index.note(account)

    def resolve(self, selector: str) -> tuple[DeviceKind, str | None] | None:
        """The kind and the device that a selector names; the device is None where any of the kind will do."""
        return self._selectors.get(selector)

    def accounts_for(self, request: LeaseRequest) -> list[DeviceAccount]:
        """Every device that a request may ever use."""
        kind, device_id = self._selectors[request.selector]
        if device_id is not None:
            return [self._ledger.accounts[device_id]]
        if request.device_count > 1:
            return list(itertools.chain.from_iterable(self.nodes_for(request)))
        return [account for account in self._ledger.accounts.values() if account.device.kind is kind]

    def places_for(self, request: LeaseRequest) -> list[list[DeviceAccount]]:
        """The devices a request may use, as the groups among which one is chosen: each alone, or a gang's nodes."""
        if request.device_count > 1:
            return list(self.nodes_for(request))
        return [[account] for account in self.accounts_for(request)]

    def device_ids(self) -> list[str]:
        """All devices that are known."""
        return list(self._ledger.accounts)

    def affected_by(self, account: DeviceAccount) -> list[DeviceAccount]:
        """The devices on which a change of this one may let somebody start.

        With gangs in line these are all of its node that have room for anybody: what a gang misses here decides what it keeps
        from others there.
        """
        if not any(self._line.gang_heads(work, account.device.kind) for work in account.limits):
            return [account]
        others = (other for other in self.node_of(account) if other is not account)
        return [account, *(other for other in others if self._index.has_room(other.device))]

    def largest_budget(self, request: LeaseRequest) -> int:
        """The largest memory budget in bytes that some place could give to such a request."""
        key = (request.selector, request.device_count)
        if key not in self._largest:
            # A gang's budget holds on each of its devices, so the smallest of the largest few decides.
            sizes = (sorted((each.device.memory_bytes for each in place), reverse=True) for place in self.places_for(request))
            self._largest[key] = max(size[request.device_count - 1] for size in sizes)
        return self._largest[key]

    def widest_node(self, kind: DeviceKind) -> int:
        """The most devices of a kind that one node has."""
        return max(sum(1 for account in node.values() if account.device.kind is kind) for node in self._nodes.values())

    def may_use(self, request: LeaseRequest, account: DeviceAccount) -> bool:
        """Whether a device is among those that a request may ever use."""
        kind, device_id = self._selectors[request.selector]
        if device_id is not None:
            return account.device.device_id == device_id
        return account.device.kind is kind and (request.device_count == 1 or len(self.node_of(account)) >= request.device_count)

    def nodes_for(self, request: LeaseRequest) -> Iterator[list[DeviceAccount]]:
        """The devices of each node that has enough of them for a gang."""
        kind, _ = self._selectors[request.selector]
        for node in self._nodes.values():
            accounts = [account for account in node.values() if account.device.kind is kind]
            if len(accounts) >= request.device_count:
                yield accounts

    def node_of(self, account: DeviceAccount) -> list[DeviceAccount]:
        """The devices of the same kind on the same node, this one included."""
        node = self._nodes[account.device.node_id].values()
        return [other for other in node if other.device.kind is account.device.kind]

    def openings(self, request: LeaseRequest) -> Iterable[DeviceAccount]:
        """The devices at which a request that is new or has changed its place may start."""
        kind, device_id = self._selectors[request.selector]
        if device_id is not None:
            return [self._ledger.accounts[device_id]]
        if request.device_count > 1:
            return [node[0] for node in self._nodes_open_to(request)]
        return self._index.by_load(kind, request.work)

    def released_by(self, entry: WaitingEntry) -> Iterable[DeviceAccount]:
        """The devices at which others may start once an entry that held them back is gone: those that have room for anybody."""
        kind, device_id = self._selectors[entry.request.selector]
        if device_id is not None:
            return [self._ledger.accounts[device_id]]
        works = (work for each, work in self._policy.portion_units if each is kind)
        roomy = (account for work in works for account in self._index.by_load(kind, work))
        return {account.device.device_id: account for account in roomy}.values()

    def next_to_start(self, account: DeviceAccount) -> Match | None:
        """The best-ranked request that may start on this device now, by the rule of order."""
        if not account.is_present or account.quarantine:
            return None
        held_back: set[WorkKind] = set()
        for entry in self._heads(account):
            work = entry.request.work
            if work in held_back:
                continue
            accounts, obstacle = self._place(entry, account)
            if accounts:
                return Match(entry, accounts)
            if obstacle is None:
                continue
            entry.reason = obstacle
            if obstacle is not WaitReason.LIMIT:
                entry.holds_back = True
                return None
            entry.holds_back = entry.holds_back or entry.request.device_count > 1
            held_back.add(work)
        return None

    def reason_to_wait(self, request: LeaseRequest) -> WaitReason:
        """What a request that did not start is missing, seen from the device that is nearest to having room."""
        kind, device_id = self._selectors[request.selector]
        if device_id is not None:
            return find_obstacle(self._ledger.accounts[device_id], request, self._policy) or WaitReason.ORDER
        if request.device_count > 1:
            return self._reason_of_gang(request)
        if self._index.least_loaded(kind, request.work) is None:
            return self._index.common_obstacle(kind, request.work)
        obstacles = (find_obstacle(account, request, self._policy) for account in self._index.by_load(kind, request.work))
        return WaitReason.ORDER if None in obstacles else WaitReason.MEMORY

    def _reason_of_gang(self, request: LeaseRequest) -> WaitReason:
        if any(True for _ in self._nodes_open_to(request)):
            return WaitReason.ORDER
        reasons = (find_gang_obstacle(node, request, self._policy) for node in self.nodes_for(request))
        return next((reason for reason in reasons if reason is not WaitReason.DEVICE), WaitReason.DEVICE)

    def _nodes_open_to(self, request: LeaseRequest) -> Iterator[list[DeviceAccount]]:
        """The devices of each node on which a gang could start now, were it the first in line."""
        kind, _ = self._selectors[request.selector]
        for node_id, node in self._nodes.items():
            if self._index.rooms(kind, request.work, node_id) < request.device_count:
                continue
            accounts = [account for account in node.values() if account.device.kind is kind]
            if choose_gang(accounts, request, self._policy):
                yield accounts

    def _heads(self, account: DeviceAccount) -> list[WaitingEntry]:
        """The best-ranked request of each queue that this device could ever be enough for, best first."""
        heads = []
        for work, limit in account.limits.items():
            # At its limit a kind of work can neither start nor hold back another; only a gang may wait for more than that.
            if account.counts[work] >= limit and not self._line.gang_heads(work, account.device.kind):
                continue
            for head in self._line.heads(work, account.device):
                if not self._is_too_large(head.request, account):
                    heads.append(head)
                    continue
                smaller = (entry for entry in self._line.behind(head) if not self._is_too_large(entry.request, account))
                heads += itertools.islice(smaller, 1)
        if len(heads) > 1:
            heads.sort(key=lambda entry: entry.rank)
        return heads

    def _is_too_large(self, request: LeaseRequest, account: DeviceAccount) -> bool:
        """Whether a budget is more than others leave of the device (of enough of its node's, for a gang)."""
        if request.memory_bytes is None and not account.foreign_bytes:
            return False
        if request.device_count == 1:
            return not fits_when_empty(account, request, self._policy)
        reach = sum(1 for other in self.node_of(account) if is_within_reach(other, request, self._policy))
        return reach < request.device_count

    def _place(self, entry: WaitingEntry, account: DeviceAccount) -> tuple[tuple[DeviceAccount, ...], WaitReason | None]:
        """The devices for a request that may use this one, or what holds it up; neither where it can hold nothing back."""
        request = entry.request
        if request.device_count == 1:
            obstacle = find_obstacle(account, request, self._policy)
            if obstacle is None:
                return (account,), None
            is_waited_for = obstacle is WaitReason.LIMIT or is_within_reach(account, request, self._policy)
            return (), obstacle if is_waited_for else None
        node = self.node_of(account)
        has_rooms = self._index.rooms(account.device.kind, request.work, account.device.node_id) >= request.device_count
        if has_rooms and choose_gang(node, request, self._policy):
            # The device at hand is open to the entry, or it would not have been asked for; others may be kept for better ones.
            open_to_it = [other for other in node if other is account or self._is_open_to(other, entry)]
            gang = choose_gang(open_to_it, request, self._policy)
            if gang is not None:
                return gang, None
        obstacle = find_gang_obstacle(node, request, self._policy)
        return (), None if obstacle is WaitReason.DEVICE else obstacle

    def _is_open_to(self, account: DeviceAccount, entry: WaitingEntry) -> bool:
        """Whether no better-ranked request keeps a device from one of a gang; asks only about better ranks, so it comes to an end."""
        for other in self._heads(account):
            if other.rank >= entry.rank:
                break
            accounts, obstacle = self._place(other, account)
            if accounts or (
                obstacle is not None and (obstacle is not WaitReason.LIMIT or other.request.work is entry.request.work)
            ):
                other.holds_back = True
                return False
        return True
