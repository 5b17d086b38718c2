"""Which leases give way so that a better-ranked request can start: pure choices over the ledger's accounts.

Only a preemptible lease with a worse rank than the request may be chosen, and only where the request cannot start otherwise. Because
the victim goes back into the line with the rank it had, it stays behind the request it gave way to: two tasks never push each other
out in turns.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from actors.core.events import WaitReason
from actors.core.ledger import DeviceAccount, Ledger
from actors.core.matching import Matcher
from actors.core.model import Lease, LeaseRequest, Policy
from actors.core.placement import find_obstacle, is_within_reach

Victims = tuple[Lease, ...]


class Preemption:
    """Chooses victims; remembers nothing."""

    def __init__(self, policy: Policy, ledger: Ledger, matcher: Matcher) -> None:
        self._policy = policy
        self._ledger = ledger
        self._matcher = matcher

    def choose(self, request: LeaseRequest, candidates: Sequence[Lease], ending: AbstractSet[str]) -> Victims:
        """Choose the leases to revoke for a request.

        Args:
            request: waits, and cannot start anywhere now.
            candidates: the leases that may be revoked for it, worst-ranked first.
            ending: the ids of the open leases that end already.

        Returns:
            The fewest victims that do, the worst-ranked ones of these; empty where nothing can be done, or where what ends
            already will do.
        """
        order = {lease.lease_id: index for index, lease in enumerate(candidates)}
        if any(self._clear(request, place, {}) == () for place in self._places_of(request, ending)):
            return ()
        seen: set[str] = set()
        best: Victims = ()
        for candidate in candidates:
            for place in self._places_of(request, (candidate.lease_id,)):
                name = place[0].device.device_id
                if name in seen:
                    continue
                seen.add(name)
                victims = self._clear(request, place, order)
                if victims and (not best or self._cost(victims, order) < self._cost(best, order)):
                    best = victims
            if len(best) == 1:  # one is the fewest there can be, and those to come are better-ranked
                break
        return best

    def _places_of(self, request: LeaseRequest, lease_ids: Iterable[str]) -> Iterable[list[DeviceAccount]]:
        """The places that a request may use on which these leases are: their devices each alone, or a gang's whole nodes."""
        for lease_id in lease_ids:
            for portion in self._ledger.entries[lease_id].lease.portions:
                account = self._ledger.accounts[portion.device_id]
                if not self._matcher.may_use(request, account):
                    continue
                yield self._matcher.node_of(account) if request.device_count > 1 else [account]

    def _clear(self, request: LeaseRequest, place: Sequence[DeviceAccount], order: dict[str, int]) -> Victims | None:
        """The victims that make as many devices of a place free as the request wants; None if that cannot be."""
        choices = [victims for account in place if (victims := self._clear_one(request, account, order)) is not None]
        if len(choices) < request.device_count:
            return None
        cheapest = sorted(choices, key=lambda victims: self._cost(victims, order))[: request.device_count]
        return tuple({victim.lease_id: victim for victims in cheapest for victim in victims}.values())

    def _clear_one(self, request: LeaseRequest, account: DeviceAccount, order: dict[str, int]) -> Victims | None:
        if not is_within_reach(account, request, self._policy):
            return None
        entries = self._ledger.entries
        account = account.without(lease for lease_id, lease in account.leases.items() if entries[lease_id].ending is not None)
        candidates = sorted(
            (lease for lease in account.leases.values() if lease.lease_id in order), key=lambda each: order[each.lease_id]
        )
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

    def _cost(self, victims: Victims, order: dict[str, int]) -> tuple[int, list[int]]:
        """Fewer first; among as many, the worse-ranked ones."""
        return len(victims), sorted(order[victim.lease_id] for victim in victims)
