"""The processes behind the leases: who they are, when they are gone, and when a GPU shows their memory as free again.

The accountant enters every open lease here and is told, once, when nothing of its holders is left. Writes nothing and decides
nothing: what follows from an end is the accountant's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from actors.core import events as ev
from actors.core.lease_history import LeaseEvent, LeaseEventKind
from actors.core.ledger import DeviceAccount, Ledger
from actors.core.model import Lease
from actors.lease_store import LeaseChange, LeaseHolder, StoredLease
from actors.memory_guard import MemoryGuard
from actors.process_watch import ProcessWatch

#: Called when every process of a lease is gone and its memory is back.
OnGone = Callable[[str], Awaitable[None]]
#: Called with a device and the reason for its quarantine, "" when it recovers.
OnQuarantine = Callable[[str, str], Awaitable[None]]


class Holders:
    """All open leases with the processes that bound them.

    Invariant: ``leases`` changes only by ``enter``, ``bind`` and ``take_in``; each process that is bound is followed once.
    """

    def __init__(self, node_id: str, guard: MemoryGuard, ledger: Ledger) -> None:
        self.leases: dict[str, StoredLease] = {}
        self._node_id = node_id
        self._watch = ProcessWatch(node_id)
        self._guard = guard
        self._ledger = ledger
        self._gone: dict[str, set[LeaseHolder]] = {}

    def enter(self, stored: StoredLease) -> StoredLease:
        """Take in an open lease; what was bound before a restart of Ray was on this machine, whose node has a new id now."""
        if stored.session != self._node_id:
            stored = replace(stored, holders=tuple(replace(holder, node_id=self._node_id) for holder in stored.holders))
        self.leases[stored.lease.lease_id] = stored
        return stored

    def bind(self, lease_id: str, holder: LeaseHolder) -> StoredLease | None:
        """Take in a process of a lease; None if it is known."""
        stored = self.leases[lease_id]
        if holder in stored.holders:
            return None
        self.leases[lease_id] = replace(stored, holders=(*stored.holders, holder))
        return self.leases[lease_id]

    def take_in(self, event: ev.Event, commands: Sequence[ev.Command], *, at: float) -> LeaseChange:
        """Take in what the scheduler decided upon an event; returns what of it is to be written down.

        Args:
            event: what happened; an adoption is told of, too.
            commands: what follows from it.
            at: the time of the decision.
        """
        changed: dict[str, StoredLease] = {}
        closed: list[str] = []
        told: list[LeaseEvent] = []
        if isinstance(event, ev.LeaseAdopted):
            told.append(LeaseEvent.of(LeaseEventKind.ADOPTED, event.lease, at=at))
        for command in commands:
            match command:
                case ev.Grant(lease) if lease.lease_id not in self.leases:
                    changed[lease.lease_id] = self.enter(StoredLease(lease, self._node_id))
                    told.append(LeaseEvent.of(LeaseEventKind.GRANTED, lease, at=at))
                case ev.Reclaim(lease, cause):
                    changed[lease.lease_id] = self._begin_end(lease.lease_id)
                    told.append(LeaseEvent.of(LeaseEventKind.ENDED, lease, at=at, cause=cause))
                case ev.Close(lease, cause):
                    self._leave(lease.lease_id)
                    changed.pop(lease.lease_id, None)
                    closed.append(lease.lease_id)
                    told.append(LeaseEvent.of(LeaseEventKind.CLOSED, lease, at=at, cause=cause))
        return LeaseChange(tuple(changed.values()), tuple(closed), tuple(told))

    def _begin_end(self, lease_id: str) -> StoredLease:
        self.leases[lease_id] = replace(self.leases[lease_id], is_ending=True)
        return self.leases[lease_id]

    def _leave(self, lease_id: str) -> None:
        self.leases.pop(lease_id, None)
        self._gone.pop(lease_id, None)

    def find(self, request_id: str) -> Lease | None:
        """The open lease of a request."""
        return next((each.lease for each in self.leases.values() if each.lease.request.request_id == request_id), None)

    def is_good(self, lease: Lease) -> bool:
        """Whether a lease is open and not on its way out."""
        stored = self.leases.get(lease.lease_id)
        return stored is not None and not stored.is_ending

    def is_bound(self, lease_id: str, token: int) -> bool:
        """Whether every process of a lease has bound it, and it is not on its way out."""
        stored = self.leases.get(lease_id)
        return stored is not None and stored.lease.token == token and self.is_good(stored.lease) and _has_all(stored)

    def is_up(self, lease: Lease) -> bool:
        """Whether every process of a good lease is up and none has gone."""
        return self.is_good(lease) and _has_all(self.leases[lease.lease_id]) and lease.lease_id not in self._gone

    def local_pids(self, lease_ids: Iterable[str]) -> dict[int, str]:
        """The processes of these leases on the accountant's own node, each with its lease."""
        holders = ((lease_id, holder) for lease_id in lease_ids for holder in self.leases[lease_id].holders)
        return {holder.presence.pid: lease_id for lease_id, holder in holders if holder.node_id == self._node_id}

    def follow_all(self, lease_id: str, on_gone: OnGone, on_quarantine: OnQuarantine) -> Iterator[Coroutine[Any, Any, None]]:
        """One watch for each process of an adopted lease."""
        return (self.follow(lease_id, holder, on_gone, on_quarantine) for holder in self.leases[lease_id].holders)

    async def follow(self, lease_id: str, holder: LeaseHolder, on_gone: OnGone, on_quarantine: OnQuarantine) -> None:
        """Wait for the end of a process and of all that it started; the last one's end lets the units return.

        Another process may bind the lease while the last one's memory is waited for; then the units return with that one.
        """
        await self._watch.follow(holder.node_id, holder.presence)
        gone = self._gone.setdefault(lease_id, set())
        gone.add(holder)
        if lease_id not in self.leases:
            self._gone.pop(lease_id, None)
        elif self._is_empty(lease_id):
            await self._wait_for_memory(self.leases[lease_id], on_quarantine)
            if self._is_empty(lease_id):
                await on_gone(lease_id)

    def _is_empty(self, lease_id: str) -> bool:
        """Whether every process that has bound an open lease is gone."""
        stored = self.leases.get(lease_id)
        return stored is not None and self._gone.get(lease_id, set()) >= set(stored.holders)

    async def make_go(self, stored: StoredLease, grace_s: float) -> None:
        """End the processes of a lease that do not go by themselves."""
        await asyncio.gather(*(self._make_one_go(holder, grace_s) for holder in stored.holders))

    async def _make_one_go(self, holder: LeaseHolder, grace_s: float) -> None:
        try:
            await asyncio.wait_for(self._watch.gone(holder.node_id, holder.presence), grace_s)
        except TimeoutError:
            await self._watch.end(holder.node_id, holder.presence)

    async def _wait_for_memory(self, stored: StoredLease, on_quarantine: OnQuarantine) -> None:
        """Wait until every GPU of a lease shows the memory of its processes as free again."""
        pids = [holder.presence.pid for holder in stored.holders]
        accounts = [self._ledger.accounts[portion.device_id] for portion in stored.lease.portions]
        await asyncio.gather(*(self._wait_on(account, stored.lease, pids, on_quarantine) for account in accounts))

    async def _wait_on(self, account: DeviceAccount, lease: Lease, pids: Iterable[int], on_quarantine: OnQuarantine) -> None:
        def other_budgets() -> int:
            return sum(account.portion_of(other).memory_bytes for other in account.leases.values() if other is not lease)

        async def set_quarantine(reason: str) -> None:
            await on_quarantine(account.device.device_id, reason)

        await self._guard.wait_until_back(account.device, pids, other_budgets, set_quarantine)


def _has_all(stored: StoredLease) -> bool:
    """Whether each device of a lease has a process that bound it."""
    return len(stored.holders) == len(stored.lease.portions)
