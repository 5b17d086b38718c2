"""Preemption: who gives way to whom, and that nobody gives way in vain."""

from actors.core import events as ev
from actors.core.events import EndCause
from actors.core.model import GIB, Policy, WorkKind
from tests.unit.core.factories import ask, end, granted, make_gpu, make_request, make_scheduler, must_grant


def revoked(commands):
    return [command.lease.request.request_id for command in commands if isinstance(command, ev.Revoke)]


def rejoin(scheduler, lease):
    """The holder gives way: its lease ends, and its next attempt asks with the rank it had."""
    request = lease.request
    commands = ask(scheduler, make_request(f"{request.request_id}'", priority=request.priority, preemptible=True))
    return commands + end(scheduler, lease)


def test_a_better_ranked_request_pushes_out_a_preemptible_one_and_gets_its_place():
    scheduler = make_scheduler()
    lease = must_grant(scheduler, make_request("low", priority=9, preemptible=True))
    assert revoked(ask(scheduler, make_request("high", priority=1))) == ["low"]
    assert [each.request.request_id for each in granted(rejoin(scheduler, lease))] == ["high"]
    scheduler.validate()


def test_what_gave_way_stays_behind_and_comes_back_afterwards():
    scheduler = make_scheduler()
    lease = must_grant(scheduler, make_request("low", priority=9, preemptible=True))
    ask(scheduler, make_request("high", priority=1))
    (high,) = granted(rejoin(scheduler, lease))
    assert revoked(scheduler.handle(ev.Ticked(), now=0)) == []
    assert [each.request.request_id for each in granted(end(scheduler, high))] == ["low'"]


def test_only_a_preemptible_lease_of_worse_rank_gives_way():
    scheduler = make_scheduler()
    must_grant(scheduler, make_request(priority=9))
    assert revoked(ask(scheduler, make_request(priority=1))) == []
    scheduler = make_scheduler()
    must_grant(scheduler, make_request(priority=1, preemptible=True))
    assert revoked(ask(scheduler, make_request(priority=5))) == []


def test_nobody_gives_way_where_another_device_has_room_or_is_about_to():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1))
    must_grant(scheduler, make_request(priority=9, preemptible=True))
    other = must_grant(scheduler, make_request(priority=9))
    scheduler.handle(ev.LeaseReleased(other.lease_id, other.token), now=0)
    assert revoked(ask(scheduler, make_request("high", priority=1))) == []
    assert [each.request.request_id for each in granted(scheduler.handle(ev.HolderGone(other.lease_id), now=0))] == ["high"]


def test_the_worst_ranked_gives_way_and_only_as_many_as_are_needed():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1))
    for name, priority in (("seven", 7), ("nine", 9)):
        must_grant(scheduler, make_request(name, priority=priority, preemptible=True))
    assert revoked(ask(scheduler, make_request("first", priority=1))) == ["nine"]
    assert revoked(scheduler.handle(ev.Ticked(), now=0)) == [], "its victim is on its way"
    assert revoked(ask(scheduler, make_request("second", priority=2))) == ["seven"]


def test_memory_is_made_free_by_the_fewest_leases_that_do():
    scheduler = make_scheduler(make_gpu(memory_bytes=24 * GIB))
    for name, gib, priority in (("small", 2, 10), ("large", 18, 9)):
        must_grant(
            scheduler,
            make_request(name, work=WorkKind.INFERENCE, memory_bytes=gib * GIB, priority=priority, preemptible=True),
        )
    assert revoked(ask(scheduler, make_request(memory_bytes=20 * GIB, priority=1))) == ["large"]


def test_a_gang_pushes_out_what_stands_on_its_devices():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1))
    for name in ("a", "b"):
        must_grant(scheduler, make_request(name, priority=9, preemptible=True))
    assert sorted(revoked(ask(scheduler, make_request(device_count=2, priority=1)))) == ["a", "b"]


def test_a_gang_gives_way_as_a_whole():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1))
    gang = must_grant(scheduler, make_request("gang", device_count=2, priority=9, preemptible=True))
    assert revoked(ask(scheduler, make_request("high", selector="cuda:1", priority=1))) == ["gang"]
    (high,) = granted(end(scheduler, gang))
    assert high.device_id == "cuda:1"
    assert scheduler.ledger.accounts["cuda:0"].held_units == 0


def test_a_new_rank_may_push_out_too():
    scheduler = make_scheduler()
    must_grant(scheduler, make_request("low", priority=5, preemptible=True))
    assert revoked(ask(scheduler, make_request("other", priority=6))) == []
    assert revoked(scheduler.handle(ev.RequestReranked("other", 1), now=0)) == ["low"]


def test_a_holder_that_does_not_go_in_time_is_reclaimed():
    scheduler = make_scheduler(policy=Policy(revoke_grace_s=10, lease_ttl_s=1_000))
    lease = must_grant(scheduler, make_request("low", priority=9, preemptible=True))
    ask(scheduler, make_request("high", priority=1))
    assert scheduler.handle(ev.Ticked(), now=9) == []
    assert scheduler.handle(ev.Ticked(), now=10) == [ev.Reclaim(lease, EndCause.REVOKED)]
