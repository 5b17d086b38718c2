"""Who holds what: the accounts of all devices and the leases on them.

Owns the counts, the units and the expiry of every lease, and the proof (``validate``) that they agree. Knows no policy: whether a
lease *should* be granted is decided by ``placement`` and ``scheduler``; the ledger only refuses what would break its own sums.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from actors.core.events import EndCause
from actors.core.model import Device, Lease, WorkKind
from actors.core.units import UNITS_PER_DEVICE


@dataclass(slots=True, eq=False)
class DeviceAccount:
    """The books of one device; only the ledger changes them.

    Attributes:
        device: what the account is about.
        share_units: the units that leases may use together.
        limits: the most leases by kind of work; a kind that is absent may never use the device.
        held_units: the sum over ``leases``.
        counts: the number of ``leases`` by kind of work.
        leases: the leases with a portion of this device, the ending ones included: their process may still be there.
        is_present: false while the device's node is gone.
        version: grows with every change, so that an index can tell an old entry from a current one.
    """

    device: Device
    share_units: int
    limits: dict[WorkKind, int]
    held_units: int = 0
    counts: dict[WorkKind, int] = field(default_factory=lambda: dict.fromkeys(WorkKind, 0))
    leases: dict[str, Lease] = field(default_factory=dict)
    is_present: bool = True
    version: int = 0

    @property
    def free_units(self) -> int:
        """The units of the task share that nobody holds."""
        return self.share_units - self.held_units


@dataclass(slots=True, eq=False)
class LeaseEntry:
    """A lease in the books. ``ending`` is None while it is good; afterwards the units wait for the process to be gone."""

    lease: Lease
    expires_at: float
    ending: EndCause | None = None


class Ledger:
    """All device accounts and open leases.

    Invariant: for every account, ``held_units`` and ``counts`` are the sums over its leases, nothing is negative, and
    ``held_units`` is within the task share. Every open lease is in the account of each of its devices and in no other.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, DeviceAccount] = {}
        self.entries: dict[str, LeaseEntry] = {}
        self._expiries: list[tuple[float, str]] = []

    def open_account(self, device: Device, share_units: int, limits: Mapping[WorkKind, int]) -> DeviceAccount:
        """Open the account of a new device."""
        if device.device_id in self.accounts:
            raise ValueError(f"{device.device_id} has an account already")
        account = DeviceAccount(device, share_units, dict(limits))
        self.accounts[device.device_id] = account
        return account

    def enter(self, lease: Lease, *, expires_at: float) -> None:
        """Write a granted lease into the books of its devices."""
        if lease.lease_id in self.entries:
            raise ValueError(f"{lease.lease_id} is in the books already")
        for portion in lease.portions:
            account = self.accounts[portion.device_id]
            if not 0 < portion.units <= account.free_units:
                raise ValueError(f"{portion.units} units do not fit the {account.free_units} free ones of {portion.device_id}")
            account.held_units += portion.units
            account.counts[lease.request.work] += 1
            account.leases[lease.lease_id] = lease
            account.version += 1
        self.entries[lease.lease_id] = LeaseEntry(lease, expires_at)
        heappush(self._expiries, (expires_at, lease.lease_id))

    def renew(self, entry: LeaseEntry, *, expires_at: float) -> None:
        """Move the end of a good lease."""
        entry.expires_at = expires_at
        heappush(self._expiries, (expires_at, entry.lease.lease_id))

    def begin_end(self, entry: LeaseEntry, cause: EndCause) -> None:
        """Mark a lease as ending: no renewal helps any more, but its units stay held until ``close``."""
        entry.ending = cause

    def close(self, lease_id: str) -> LeaseEntry:
        """Take a lease out of the books; its units are free again."""
        entry = self.entries.pop(lease_id)
        for portion in entry.lease.portions:
            account = self.accounts[portion.device_id]
            account.held_units -= portion.units
            account.counts[entry.lease.request.work] -= 1
            del account.leases[lease_id]
            account.version += 1
        return entry

    def pop_expired(self, now: float) -> Iterator[LeaseEntry]:
        """Yield every good lease whose time has run out, each once."""
        while self._expiries and self._expiries[0][0] <= now:
            _, lease_id = heappop(self._expiries)
            entry = self.entries.get(lease_id)
            if entry is not None and entry.ending is None and entry.expires_at <= now:
                yield entry

    def validate(self) -> None:
        """Prove the invariant.

        Raises:
            AssertionError: names the account or lease whose books are wrong.
        """
        for device_id, account in self.accounts.items():
            counts = dict.fromkeys(WorkKind, 0)
            units = 0
            for lease_id, lease in account.leases.items():
                mine = [portion for portion in lease.portions if portion.device_id == device_id]
                _prove(len(mine) == 1, f"{lease_id} has {len(mine)} portions of {device_id}")
                _prove(mine[0].units > 0, f"{lease_id} holds nothing of {device_id}")
                _prove(self.entries[lease_id].lease is lease, f"{lease_id} is another lease in {device_id}'s books")
                counts[lease.request.work] += 1
                units += mine[0].units
            _prove(counts == account.counts, f"{device_id}: counts {account.counts}, leases say {counts}")
            _prove(units == account.held_units, f"{device_id}: held {account.held_units}, leases say {units}")
            _prove(units <= account.share_units <= UNITS_PER_DEVICE, f"{device_id}: {units} of {account.share_units} held")
        for lease_id, entry in self.entries.items():
            for portion in entry.lease.portions:
                _prove(lease_id in self.accounts[portion.device_id].leases, f"{portion.device_id} does not know {lease_id}")


def _prove(holds: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise AssertionError(message)
