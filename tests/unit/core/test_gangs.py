"""Gangs: several devices of one node, all or nothing."""

import pytest

from actors.core import events as ev
from actors.core.errors import UnsatisfiableRequestError
from actors.core.events import WaitReason
from actors.core.model import GIB, WorkKind
from tests.unit.core.factories import ask, end, granted, make_gpu, make_request, make_scheduler, must_grant


def two_nodes(*counts):
    """GPUs on as many nodes as there are counts, numbered on."""
    nodes = [f"node-{number}" for number, count in enumerate(counts) for _ in range(count)]
    return make_scheduler(*(make_gpu(index, node=node) for index, node in enumerate(nodes)))


def test_a_gang_gets_all_its_devices_on_one_node():
    scheduler = two_nodes(1, 2)
    lease = must_grant(scheduler, make_request(device_count=2))
    assert [portion.device_id for portion in lease.portions] == ["cuda:1", "cuda:2"]
    scheduler.validate()


def test_a_gang_that_lacks_one_device_holds_none():
    scheduler = two_nodes(2)
    single = must_grant(scheduler, make_request())
    assert ask(scheduler, make_request("gang", device_count=2)) == [ev.Queue("gang", WaitReason.LIMIT)]
    free = next(each for each in scheduler.ledger.accounts.values() if each.device.device_id != single.device_id)
    assert free.held_units == 0
    assert [len(lease.portions) for lease in granted(end(scheduler, single))] == [2]


def test_work_of_the_same_kind_does_not_take_what_a_gang_collects_but_other_work_goes_on():
    scheduler = two_nodes(2)
    single = must_grant(scheduler, make_request())
    ask(scheduler, make_request("gang", device_count=2, submitted_at=1))
    assert ask(scheduler, make_request("late", submitted_at=2))[0] == ev.Queue("late", WaitReason.ORDER)
    must_grant(scheduler, make_request(work=WorkKind.INFERENCE, submitted_at=3))
    assert [lease.request.request_id for lease in granted(end(scheduler, single))] == ["gang"]


def test_a_withdrawn_gang_lets_those_start_that_it_kept_waiting():
    scheduler = two_nodes(2)
    must_grant(scheduler, make_request())
    ask(scheduler, make_request("gang", device_count=2, submitted_at=1))
    ask(scheduler, make_request("late", submitted_at=2))
    assert [lease.request.request_id for lease in granted(scheduler.handle(ev.RequestWithdrawn("gang"), now=0))] == ["late"]


def test_two_gangs_of_two_on_two_devices_never_deadlock():
    scheduler = two_nodes(2)
    first = must_grant(scheduler, make_request("one", device_count=2, submitted_at=1))
    ask(scheduler, make_request("two", device_count=2, submitted_at=2))
    (second,) = granted(end(scheduler, first))
    assert second.request.request_id == "two"
    assert granted(end(scheduler, second)) == []
    assert all(account.held_units == 0 for account in scheduler.ledger.accounts.values())


def test_a_gang_that_a_limit_of_zero_keeps_out_keeps_nobody_waiting():
    scheduler = two_nodes(2)
    scheduler.handle(ev.LimitsChanged({"cuda:1": {WorkKind.TRAINING: 0}}), now=0)
    assert ask(scheduler, make_request("gang", device_count=2))[0] == ev.Queue("gang", WaitReason.DEVICE)
    must_grant(scheduler, make_request(submitted_at=5))


def test_singles_on_a_node_too_small_for_a_gang_do_not_wait_for_it():
    scheduler = two_nodes(1, 2)
    must_grant(scheduler, make_request(selector="cuda:1"))
    ask(scheduler, make_request("gang", device_count=2, submitted_at=1))
    assert must_grant(scheduler, make_request(submitted_at=2)).device_id == "cuda:0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device_count": 3}, "the most that a node has is 2"),
        ({"device_count": 0}, "the most that a node has is 2"),
        ({"device_count": 2, "selector": "cuda:0"}, "cannot all be cuda:0"),
        ({"device_count": 2, "memory_bytes": 25 * GIB}, f"the most is {24 * GIB}"),
    ],
)
def test_a_gang_that_can_never_be_is_refused_with_the_largest_that_can(changes, words):
    (reject,) = ask(two_nodes(2, 1), make_request(**changes))
    assert isinstance(reject.error, UnsatisfiableRequestError)
    assert words in str(reject.error)


def test_what_a_gang_misses_on_one_device_decides_what_it_keeps_from_others_on_another():
    scheduler = two_nodes(2)
    scheduler.handle(ev.LimitsChanged({"cuda:0": {WorkKind.INFERENCE: 1}}), now=0)
    must_grant(scheduler, make_request(selector="cuda:1"))
    large = must_grant(scheduler, make_request(work=WorkKind.INFERENCE, selector="cuda:0", memory_bytes=20 * GIB))
    # The gang misses memory on cuda:0, so nothing else may start on cuda:1 either; then it misses only a training's place there.
    ask(scheduler, make_request("gang", device_count=2, memory_bytes=6 * GIB, submitted_at=1))
    assert (
        ask(scheduler, make_request("job", work=WorkKind.INFERENCE, selector="cuda:1", submitted_at=2))[0].reason
        is WaitReason.ORDER
    )
    assert [lease.request.request_id for lease in granted(end(scheduler, large))] == ["job"]
