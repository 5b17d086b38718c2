"""Leases are written whatever the store says at first: what was decided cannot be taken back."""

from types import SimpleNamespace

from actors.accountant import GpuAccountant
from actors.core.errors import StoreUnavailableError


def test_a_write_is_repeated_until_the_store_takes_it():
    taken, refusals = [], [StoreUnavailableError("database is locked"), StoreUnavailableError("database is locked")]

    def write_leases(leases, closed):
        if refusals:
            raise refusals.pop()
        taken.append((leases, closed))

    pause = SimpleNamespace(wait=lambda _seconds: None)
    accountant = SimpleNamespace(_store=SimpleNamespace(write_leases=write_leases), _store_pause=pause)
    GpuAccountant._keep_leases(accountant, ["lease"], ["closed"])
    assert (taken, refusals) == ([(["lease"], ["closed"])], [])
