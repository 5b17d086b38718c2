"""What the accountant believes at one moment, in the form in which it is compared with Ray's books."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from actors.books_check import BookedDevice, BookedServing, Picture
from actors.core.ledger import DeviceAccount, Ledger
from actors.core.model import DeviceKind, HolderKind, Policy
from actors.core.serving import choose_allowance, serving_units
from actors.devices import group_resource
from actors.holders import Holders
from actors.replicas import Replicas


@dataclass(frozen=True, slots=True)
class Beliefs:
    """The accountant's own books, live: what a picture is taken of."""

    ledger: Ledger
    policy: Policy
    holders: Holders
    replicas: Replicas
    groups: Mapping[str, str]
    own_node_id: str

    async def picture(self) -> Picture:
        """Take a picture of this moment."""
        accounts = [account for account in self.ledger.accounts.values() if account.is_present]
        devices = tuple(self._book(account) for account in accounts)
        return Picture(tuple(self.holders.leases.values()), devices, self.own_node_id, tuple(self._book_serving(accounts)))

    def _book(self, account: DeviceAccount) -> BookedDevice:
        device = account.device
        # Whether the actors of a user's driver are up, and how many, is the driver's affair: they may take up to what is held.
        tasks = (lease for lease in account.leases.values() if lease.request.holder is HolderKind.ATTEMPT)
        bound = [lease for lease in tasks if self.holders.is_up(lease)]
        return BookedDevice(
            device_id=device.device_id,
            resource=group_resource(device.kind, self.groups[device.device_id]),
            resource_per_device=_resource_of(account),
            share_units=account.share_units,
            bound_units=sum(account.portion_of(lease).units for lease in bound),
            held_units=account.held_units,
        )

    def _book_serving(self, accounts: list[DeviceAccount]) -> Iterator[BookedServing]:
        """The serving share of each node's devices of each kind."""
        for node_id, kind in sorted({(account.device.node_id, account.device.kind) for account in accounts}):
            mine = [account for account in accounts if (account.device.node_id, account.device.kind) == (node_id, kind)]
            speaking = (self.replicas.speaking_on(account.device.device_id) for account in mine)
            allowance = choose_allowance((account.device for account in accounts), self.policy, kind)
            # Every replica takes the same number of cores: less of a larger processor.
            cores = mine[0].device.cores or 1
            yield BookedServing(
                node_id=node_id,
                kind=kind,
                resource_per_device=_resource_of(mine[0]),
                serving_units=len(mine) * serving_units(kind, self.policy),
                replica_units=allowance.replica_units * (allowance.device_cores or 1) // cores,
                replica_ids=frozenset().union(*speaking),
            )


def _resource_of(account: DeviceAccount) -> float:
    """What Ray calls the whole device."""
    return 1.0 if account.device.kind is DeviceKind.GPU else account.device.cores
