"""The units of a lease return when the last of its processes is gone, and not while another has just begun."""

import asyncio

import pytest

from actors.core.ledger import Ledger
from actors.core.model import Lease, LeaseRequest, WorkKind
from actors.holders import Holders
from actors.presence import Presence
from actors.store import LeaseHolder, StoredLease

FIRST, SECOND = (LeaseHolder("node", Presence(pid, 1.0)) for pid in (1, 2))


@pytest.fixture
def holders(monkeypatch):
    found = Holders("node", None, Ledger.__new__(Ledger))
    found.enter(StoredLease(Lease("l", 1, LeaseRequest("r", "t", WorkKind.TRAINING, "cuda", 5, 0.0), (), 0.0), "node"))
    found.bind("l", FIRST)

    async def gone_at_once(*_):
        await asyncio.sleep(0)

    monkeypatch.setattr(found._watch, "follow", gone_at_once)
    return found


def test_a_process_that_binds_while_the_memory_of_the_last_is_waited_for_keeps_the_lease(holders, monkeypatch):
    over = []

    async def on_gone(lease_id):
        over.append(lease_id)

    async def another_binds(*_):
        holders.bind("l", SECOND)

    monkeypatch.setattr(holders, "_wait_for_memory", another_binds)
    asyncio.run(holders.follow("l", FIRST, on_gone, None))
    assert over == []
    asyncio.run(holders.follow("l", SECOND, on_gone, None))
    assert over == ["l"]
