"""Leases are written whatever the store says at first: what was decided cannot be taken back."""

import asyncio
from types import SimpleNamespace

from actors.core.errors import StoreUnavailableError
from actors.lease_store import LeaseChange
from actors.lease_writer import LeaseWriter


def test_a_write_is_repeated_until_the_store_takes_it(monkeypatch):
    taken, refusals = [], [StoreUnavailableError("database is locked"), StoreUnavailableError("database is locked")]

    def write_leases(change):
        if refusals:
            raise refusals.pop()
        taken.append(change)

    writer = LeaseWriter(SimpleNamespace(write_leases=write_leases))
    monkeypatch.setattr(writer, "_pause", SimpleNamespace(wait=lambda _seconds: None))
    change = LeaseChange(closed=("lease",))
    asyncio.run(writer.keep(change))
    assert (taken, refusals) == ([change], [])
