"""Memory in bytes: what fits, whose it is, and when it is back."""

import pytest

from actors.core import events as ev
from actors.core.events import WaitReason
from actors.core.memory import MemorySplit, MemoryUse, is_memory_back, split_memory
from actors.core.model import GIB, WorkKind
from tests.unit.core.factories import ask, end, granted, make_gpu, make_request, make_scheduler, must_grant

INFERENCE = WorkKind.INFERENCE


def measure(scheduler, foreign_gib, **filled_gib):
    filled = {lease_id: gib * GIB for lease_id, gib in filled_gib.items()}
    return scheduler.handle(ev.MemoryMeasured("cuda:0", foreign_gib * GIB, filled), now=0)


def test_a_budget_that_does_not_fit_what_is_promised_waits_for_memory():
    scheduler = make_scheduler(make_gpu(memory_bytes=24 * GIB))
    lease = must_grant(scheduler, make_request(work=INFERENCE, memory_bytes=20 * GIB))
    assert ask(scheduler, make_request("b", work=INFERENCE, memory_bytes=5 * GIB)) == [ev.Queue("b", WaitReason.MEMORY)]
    assert "budget of 5.0 GiB does not fit the 4.0 GiB on" in scheduler.explain("b", now=0).detail
    assert [each.request.request_id for each in granted(end(scheduler, lease))] == ["b"]


def test_what_others_use_counts_and_its_end_lets_the_waiting_start():
    scheduler = make_scheduler(make_gpu(memory_bytes=24 * GIB))
    assert measure(scheduler, 22) == []
    ask(scheduler, make_request("a", work=INFERENCE, memory_bytes=4 * GIB))
    assert "processes without a lease use 22.0 GiB" in scheduler.explain("a", now=0).detail
    assert [each.request.request_id for each in granted(measure(scheduler, 3))] == ["a"]


def test_memory_that_somebody_else_has_is_not_waited_for_at_the_expense_of_others():
    scheduler = make_scheduler(make_gpu(memory_bytes=24 * GIB))
    measure(scheduler, 10)
    ask(scheduler, make_request("large", work=INFERENCE, memory_bytes=20 * GIB, submitted_at=1))
    must_grant(scheduler, make_request("small", work=INFERENCE, memory_bytes=GIB, submitted_at=2))


def test_memory_that_a_lease_will_give_back_is_waited_for():
    scheduler = make_scheduler(make_gpu(memory_bytes=24 * GIB))
    must_grant(scheduler, make_request(work=INFERENCE, memory_bytes=10 * GIB))
    ask(scheduler, make_request("large", work=INFERENCE, memory_bytes=20 * GIB, submitted_at=1))
    (queue,) = ask(scheduler, make_request("small", work=INFERENCE, memory_bytes=GIB, submitted_at=2))
    assert queue == ev.Queue("small", WaitReason.ORDER)


def test_a_holder_over_its_budget_counts_with_what_it_takes():
    scheduler = make_scheduler(make_gpu(memory_bytes=24 * GIB))
    lease = must_grant(scheduler, make_request(work=INFERENCE, memory_bytes=GIB))
    measure(scheduler, 0, **{lease.lease_id: 20})
    assert scheduler.ledger.accounts["cuda:0"].free_bytes == 4 * GIB
    scheduler.validate()


def test_a_default_training_budget_makes_do_with_half_after_a_limit_was_raised():
    scheduler = make_scheduler(make_gpu(memory_bytes=24 * GIB))
    assert must_grant(scheduler, make_request()).portions[0].memory_bytes == 15 * GIB
    scheduler.handle(ev.LimitsChanged({"cuda:0": {WorkKind.TRAINING: 3}}), now=0)
    assert must_grant(scheduler, make_request()).portions[0].memory_bytes == 5 * GIB
    assert must_grant(scheduler, make_request()).portions[0].memory_bytes == 4 * GIB


def test_a_quarantined_device_takes_nothing_new_until_it_recovers():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1))
    scheduler.handle(ev.DeviceQuarantined("cuda:0", "memory of process 7 has not come back"), now=0)
    assert must_grant(scheduler, make_request()).device_id == "cuda:1"
    assert ask(scheduler, make_request("b", selector="cuda:0")) == [ev.Queue("b", WaitReason.QUARANTINE)]
    assert "process 7" in scheduler.explain("b", now=0).detail
    assert [lease.request.request_id for lease in granted(scheduler.handle(ev.DeviceRecovered("cuda:0"), now=0))] == ["b"]


def test_memory_is_told_apart_by_pid_where_pids_are_known():
    use = MemoryUse(10 * GIB, {1: 2 * GIB, 2: 3 * GIB, 99: 4 * GIB})
    split = split_memory(use, {1: "a", 2: "b", 3: "b"}, {"a": 5 * GIB, "b": 5 * GIB})
    assert split == MemorySplit(5 * GIB, {"a": 2 * GIB, "b": 3 * GIB}, is_by_pid=True)


def test_where_pids_are_not_ours_the_total_decides():
    use = MemoryUse(10 * GIB, {70_001: 9 * GIB})
    assert split_memory(use, {1: "a"}, {"a": 6 * GIB}) == MemorySplit(4 * GIB, {}, is_by_pid=False)
    assert split_memory(use, {}, {}).foreign_bytes == 10 * GIB


@pytest.mark.parametrize(
    ("used_gib", "by_pid", "before", "is_back"),
    [
        (5, {1: 5 * GIB}, MemorySplit(0, {}, is_by_pid=True), False),
        (5, {2: 5 * GIB}, MemorySplit(0, {}, is_by_pid=True), True),
        (5, {}, MemorySplit(GIB, {}, is_by_pid=False), False),
        (4, {}, MemorySplit(GIB, {}, is_by_pid=False), True),
    ],
)
def test_memory_is_back_when_its_processes_and_their_bytes_are_gone(used_gib, by_pid, before, is_back):
    assert is_memory_back(MemoryUse(used_gib * GIB, by_pid), frozenset({1}), before, 3 * GIB) is is_back
