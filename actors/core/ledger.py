"""Who holds what: the accounts of all devices and the leases on them.

Owns the counts, the units and the expiry of every lease, and the proof (``validate``) that they agree. Knows no policy: whether a
lease *should* be granted is decided by ``placement`` and ``scheduler``; the ledger only refuses what would break its own sums.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from actors.core.events import EndCause
from actors.core.model import Device, Lease, Portion, WorkKind
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
        quarantine: why nothing new may start, "" while it may.
        foreign_bytes: memory in use by processes without a lease, as last measured.
        filled_bytes: what the processes of each lease were last seen to use; absent where not measured.
        promised_bytes: the sum over ``leases`` of the budget, or of what is filled where that is more.
        version: grows with every change, so that an index can tell an old entry from a current one.
    """

    device: Device
    share_units: int
    limits: dict[WorkKind, int]
    held_units: int = 0
    counts: dict[WorkKind, int] = field(default_factory=lambda: dict.fromkeys(WorkKind, 0))
    leases: dict[str, Lease] = field(default_factory=dict)
    is_present: bool = True
    quarantine: str = ""
    foreign_bytes: int = 0
    filled_bytes: dict[str, int] = field(default_factory=dict)
    promised_bytes: int = 0
    version: int = 0

    @property
    def free_units(self) -> int:
        """The units of the task share that nobody holds."""
        return self.share_units - self.held_units

    @property
    def free_bytes(self) -> int:
        """The memory that is neither in use by others nor promised to a lease, filled or not; negative while overdrawn."""
        return self.device.memory_bytes - self.foreign_bytes - self.promised_bytes

    def portion_of(self, lease: Lease) -> Portion:
        """What a lease in these books holds of this device."""
        return next(portion for portion in lease.portions if portion.device_id == self.device.device_id)

    def promise_to(self, lease: Lease) -> int:
        """The memory that counts as taken by a lease in these books."""
        return max(self.portion_of(lease).memory_bytes, self.filled_bytes.get(lease.lease_id, 0))

    def without(self, gone: Iterable[Lease]) -> "DeviceAccount":
        """The books as they would be with these leases gone; a copy, for asking what if."""
        copy = replace(self, leases=dict(self.leases), counts=dict(self.counts))
        for lease in gone:
            if copy.leases.pop(lease.lease_id, None) is not None:
                copy.counts[lease.request.work] -= 1
                copy.held_units -= self.portion_of(lease).units
                copy.promised_bytes -= self.promise_to(lease)
        return copy


@dataclass(slots=True, eq=False)
class LeaseEntry:
    """A lease in the books.

    Attributes:
        lease: what was granted.
        expires_at: when it ends without a renewal.
        ending: None while it is good; afterwards the units wait for the process to be gone.
        is_complete: its work came to a proper end.
        revoked_at: when its holder was asked to give way; None if it was not.
    """

    lease: Lease
    expires_at: float
    ending: EndCause | None = None
    is_complete: bool = False
    revoked_at: float | None = None


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
            account.promised_bytes += portion.memory_bytes
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
            account.promised_bytes -= account.promise_to(entry.lease)
            account.counts[entry.lease.request.work] -= 1
            del account.leases[lease_id]
            account.filled_bytes.pop(lease_id, None)
            account.version += 1
        return entry

    def measure(self, account: DeviceAccount, foreign_bytes: int, filled_bytes: Mapping[str, int]) -> None:
        """Take in what the driver says of a device's memory."""
        account.foreign_bytes = foreign_bytes
        account.filled_bytes = {lease_id: filled for lease_id, filled in filled_bytes.items() if lease_id in account.leases}
        account.promised_bytes = sum(account.promise_to(lease) for lease in account.leases.values())
        account.version += 1

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
            promised = sum(account.promise_to(lease) for lease in account.leases.values())
            _prove(promised == account.promised_bytes, f"{device_id}: promised {account.promised_bytes}, leases say {promised}")
            _prove(counts == account.counts, f"{device_id}: counts {account.counts}, leases say {counts}")
            _prove(units == account.held_units, f"{device_id}: held {account.held_units}, leases say {units}")
            _prove(units <= account.share_units <= UNITS_PER_DEVICE, f"{device_id}: {units} of {account.share_units} held")
        for lease_id, entry in self.entries.items():
            for portion in entry.lease.portions:
                _prove(lease_id in self.accounts[portion.device_id].leases, f"{portion.device_id} does not know {lease_id}")


def _prove(holds: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise AssertionError(message)
