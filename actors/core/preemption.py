"""Which leases give way so that a better-ranked request can start: pure choices over the ledger's accounts.

Only a preemptible lease with a worse rank than the request may be chosen, and only where the request cannot start otherwise. Because
the victim goes back into the line with the rank it had, it stays behind the request it gave way to: two tasks never push each other
out in turns.
"""

from collections.abc import Callable, Iterable, Sequence

from actors.core.events import WaitReason
from actors.core.ledger import DeviceAccount, LeaseEntry
from actors.core.model import Lease, LeaseRequest, Policy
from actors.core.placement import find_obstacle, is_within_reach
from actors.core.waiting_line import Rank, rank_of

#: The books of an open lease, by its id.
Lookup = Callable[[str], LeaseEntry]
Victims = tuple[Lease, ...]


class Preemption:
    """Chooses victims; remembers nothing."""

    def __init__(self, policy: Policy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    def choose(self, request: LeaseRequest, places: Iterable[Sequence[DeviceAccount]]) -> Victims:
        """Choose the leases to revoke for a request.

        Args:
            request: waits, and cannot start anywhere now.
            places: the devices to choose among, as groups: each alone, or a gang's nodes.

        Returns:
            The fewest victims that any of the places needs, the worst-ranked ones of these; empty where no place can be cleared
            or one clears by itself, since what ends already will do.
        """
        best: Victims | None = None
        for place in places:
            victims = self._clear(request, place)
            if victims is not None and (best is None or self._cost(victims) < self._cost(best)):
                best = victims
            if best == ():
                break
        return best or ()

    def _clear(self, request: LeaseRequest, place: Sequence[DeviceAccount]) -> Victims | None:
        """The victims that make as many devices of a place free as the request wants; None if that cannot be."""
        choices = [victims for account in place if (victims := self._clear_one(request, account)) is not None]
        if len(choices) < request.device_count:
            return None
        cheapest = sorted(choices, key=self._cost)[: request.device_count]
        return tuple({victim.lease_id: victim for victims in cheapest for victim in victims}.values())

    def _clear_one(self, request: LeaseRequest, account: DeviceAccount) -> Victims | None:
        if not is_within_reach(account, request, self._policy):
            return None
        rank = rank_of(request, self._policy.patience_s)
        account = account.without(lease for lease in account.leases.values() if self._lookup(lease.lease_id).ending is not None)
        candidates = sorted((lease for lease in account.leases.values() if self._may_go(lease, rank)), key=self._rank, reverse=True)
        victims: list[Lease] = []
        while (obstacle := find_obstacle(account.without(victims), request, self._policy)) is not None:
            is_limit = obstacle is WaitReason.LIMIT
            victim = next((each for each in candidates if not is_limit or each.request.work is request.work), None)
            if victim is None:
                return None
            candidates.remove(victim)
            victims.append(victim)
        return tuple(self._spare(request, account, victims))

    def _spare(self, request: LeaseRequest, account: DeviceAccount, victims: list[Lease]) -> list[Lease]:
        """Leave out, best-ranked first, every victim that is not needed after all."""
        for victim in reversed(tuple(victims)):
            rest = [each for each in victims if each is not victim]
            if find_obstacle(account.without(rest), request, self._policy) is None:
                victims = rest
        return victims

    def _may_go(self, lease: Lease, rank: Rank) -> bool:
        """Whether a lease may be revoked for a rank; one that was revoked already makes room for another request."""
        return lease.request.preemptible and self._rank(lease) > rank and self._lookup(lease.lease_id).revoked_at is None

    def _rank(self, lease: Lease) -> Rank:
        return rank_of(lease.request, self._policy.patience_s)

    def _cost(self, victims: Victims) -> tuple[int, tuple[float, ...]]:
        """Fewer first; among as many, those whose best-ranked victim is worse-ranked."""
        return len(victims), tuple(-part for victim in victims for part in self._rank(victim)[:2])
