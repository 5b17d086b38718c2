"""The units of a lease return when the last of its processes is gone, and not while another has just begun."""

import asyncio
from dataclasses import replace

import pytest

from actors.core import events as ev
from actors.core.ledger import Ledger
from actors.core.model import Lease, LeaseRequest, Portion, WorkKind
from actors.holders import Holders
from actors.lease_store import LeaseHolder, StoredLease
from actors.presence import Presence
from tests.unit.core.factories import make_request, make_scheduler, must_grant

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


def test_a_lease_is_its_processes_own_to_renew_once_all_of_them_are_up():
    holders = Holders("node", None, Ledger.__new__(Ledger))
    gang = tuple(Portion(device, 1200, 0) for device in ("cuda:0", "cuda:1"))
    holders.enter(StoredLease(Lease("l", 7, LeaseRequest("r", "t", WorkKind.TRAINING, "cuda", 5, 0.0), gang, 0.0), "node"))
    steps = [holders.is_bound("l", 7)]
    for process in (FIRST, SECOND):
        holders.bind("l", process)
        steps.append(holders.is_bound("l", 7))
    holders.leases["l"] = replace(holders.leases["l"], is_ending=True)
    steps.append(holders.is_bound("l", 7))
    assert steps == [False, False, True, False]
    assert not holders.is_bound("l", 6)
    assert not holders.is_bound("another", 7)


class TestHistory:
    def test_every_step_of_a_lease_is_told_once_and_in_order(self):
        holders, scheduler = Holders("node", None, Ledger.__new__(Ledger)), make_scheduler()
        told = []
        for at, event in (
            (1.0, ev.LeaseRequested(make_request("t.1", task_id="t"))),
            (2.0, ev.LeaseRequested(make_request("t.1", task_id="t"))),
            (3.0, ev.LeaseReleased("lease-1", 1)),
            (4.0, ev.HolderGone("lease-1")),
        ):
            change = holders.take_in(event, scheduler.handle(event, now=at), at=at)
            told += [(step.at, step.kind, step.lease_id, step.cause) for step in change.events]
        ended = [(3.0, "ended", "lease-1", "released"), (4.0, "closed", "lease-1", "released")]
        assert told == [(1.0, "granted", "lease-1", ""), *ended]
        assert holders.leases == {}

    def test_a_lease_that_is_taken_over_is_told_of_without_another_grant(self):
        scheduler = make_scheduler()
        lease = must_grant(make_scheduler(), make_request("t.1"))
        holders = Holders("node", None, Ledger.__new__(Ledger))
        holders.enter(StoredLease(lease, "node", is_ending=True))
        event = ev.LeaseAdopted(lease, is_ending=True)
        change = holders.take_in(event, scheduler.handle(event, now=9.0), at=9.0)
        assert [step.kind for step in change.events] == ["adopted", "ended"]
        assert change.leases == (StoredLease(lease, "node", is_ending=True),)
