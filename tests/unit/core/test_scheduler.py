import pytest

from actors.core import events as ev
from actors.core.errors import DuplicateRequestError, LeaseExpiredError, LeaseNotFoundError, LimitError, UnsatisfiableRequestError
from actors.core.events import EndCause, WaitReason
from actors.core.model import GIB, Policy, WorkKind
from tests.unit.core.factories import ask, end, granted, make_cpu, make_gpu, make_request, make_scheduler, must_grant

INFERENCE = WorkKind.INFERENCE


class TestRequests:
    def test_a_request_over_the_limit_waits_for_the_limit(self):
        scheduler = make_scheduler()
        must_grant(scheduler, make_request())
        assert ask(scheduler, make_request("b")) == [ev.Queue("b", WaitReason.LIMIT)]

    def test_a_pinned_request_waits_for_its_device_though_another_is_free(self):
        scheduler = make_scheduler(make_gpu(0), make_gpu(1))
        must_grant(scheduler, make_request(selector="cuda:0"))
        assert ask(scheduler, make_request("b", selector="cuda:0")) == [ev.Queue("b", WaitReason.LIMIT)]
        assert must_grant(scheduler, make_request(selector="cuda")).device_id == "cuda:1"

    def test_asking_again_gets_the_first_answer(self):
        scheduler = make_scheduler()
        request, waiting = make_request(), make_request("b")
        lease = must_grant(scheduler, request)
        queued = ask(scheduler, waiting)
        assert ask(scheduler, request) == [ev.Grant(lease)]
        assert ask(scheduler, waiting) == queued
        scheduler.validate()

    def test_an_id_may_not_be_used_for_something_else(self):
        scheduler = make_scheduler()
        must_grant(scheduler, make_request("a"))
        ask(scheduler, make_request("b"))
        for request in (make_request("a", work=INFERENCE), make_request("b", selector="cuda:0")):
            (reject,) = ask(scheduler, request)
            assert isinstance(reject.error, DuplicateRequestError)

    def test_a_request_that_ended_is_not_granted_again_but_its_id_may_serve_for_another(self):
        scheduler = make_scheduler()
        end(scheduler, must_grant(scheduler, make_request("a", submitted_at=1)))
        (reject,) = ask(scheduler, make_request("a", submitted_at=1))
        assert isinstance(reject.error, DuplicateRequestError)
        must_grant(scheduler, make_request("a", submitted_at=2))
        scheduler.validate()

    @pytest.mark.parametrize(
        ("request_", "reason"),
        [
            (make_request(selector="cuda:9"), "devices: cuda:0, cpu:0"),
            (make_request(work=WorkKind.PREPROCESSING), "runs on the CPU only"),
            (make_request(memory_bytes=25 * GIB), f"the most is {24 * GIB}"),
            (make_request(device_count=2), "the most that a node has is 1"),
        ],
    )
    def test_what_can_never_be_granted_is_refused_with_the_reason(self, request_, reason):
        (reject,) = ask(make_scheduler(make_gpu(), make_cpu()), request_)
        assert isinstance(reject.error, UnsatisfiableRequestError)
        assert reason in str(reject.error)

    def test_a_withdrawn_request_is_never_granted(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request())
        ask(scheduler, make_request("b"))
        assert scheduler.handle(ev.RequestWithdrawn("b"), now=0) == []
        assert granted(end(scheduler, lease)) == []
        assert scheduler.handle(ev.RequestWithdrawn("unknown"), now=0) == []


class TestOrder:
    def test_the_more_urgent_goes_first(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request())
        for priority in (10, 1, 5):
            ask(scheduler, make_request(f"p{priority}", priority=priority, submitted_at=1.0))
        started = []
        for _ in range(3):
            (lease,) = granted(end(scheduler, lease))
            started.append(lease.request.request_id)
        assert started == ["p1", "p5", "p10"]

    def test_one_step_of_priority_is_worth_the_patience(self):
        for early, first in ((599.0, "urgent"), (601.0, "patient")):
            scheduler = make_scheduler()
            lease = must_grant(scheduler, make_request())
            ask(scheduler, make_request("patient", priority=5, submitted_at=1000.0 - early))
            ask(scheduler, make_request("urgent", priority=4, submitted_at=1000.0))
            assert [lease.request.request_id for lease in granted(end(scheduler, lease))] == [first]

    def test_infinite_patience_means_strict_priority_then_time(self):
        scheduler = make_scheduler(policy=Policy(patience_s=float("inf")))
        lease = must_grant(scheduler, make_request())
        ask(scheduler, make_request("old", priority=5, submitted_at=0.0))
        ask(scheduler, make_request("older-rank", priority=4, submitted_at=10.0**9))
        ask(scheduler, make_request("second", priority=4, submitted_at=10.0**9 + 1))
        assert scheduler.line.first(3) == ["older-rank", "second", "old"]
        assert [lease.request.request_id for lease in granted(end(scheduler, lease))] == ["older-rank"]

    def test_a_waiting_training_does_not_hold_back_inference_with_room(self):
        scheduler = make_scheduler()
        must_grant(scheduler, make_request())
        ask(scheduler, make_request(priority=1))
        must_grant(scheduler, make_request(work=INFERENCE, priority=10))

    def test_a_pinned_and_an_any_request_share_one_order(self):
        scheduler = make_scheduler(make_gpu(0), make_gpu(1))
        first = must_grant(scheduler, make_request(selector="cuda:0"))
        second = must_grant(scheduler, make_request(selector="cuda:1"))
        ask(scheduler, make_request("pinned", selector="cuda:1", submitted_at=1))
        ask(scheduler, make_request("any", submitted_at=2))
        assert [lease.request.request_id for lease in granted(end(scheduler, second))] == ["pinned"]
        assert [lease.request.request_id for lease in granted(end(scheduler, first))] == ["any"]

    def test_a_new_priority_moves_a_waiting_request(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request())
        ask(scheduler, make_request("a", submitted_at=1))
        ask(scheduler, make_request("b", submitted_at=2))
        assert scheduler.handle(ev.RequestReranked("b", 1), now=0) == []
        assert scheduler.line.first(2) == ["b", "a"]
        assert [lease.request.request_id for lease in granted(end(scheduler, lease))] == ["b"]
        assert scheduler.handle(ev.RequestReranked("unknown", 1), now=0) == []

    def test_work_that_would_take_the_units_a_better_one_waits_for_does_not_overtake(self):
        scheduler = make_scheduler()
        scheduler.handle(ev.LimitsChanged({"cuda:0": {WorkKind.TRAINING: 10}}), now=0)
        for _ in range(10):
            must_grant(scheduler, make_request())
        for _ in range(3):
            must_grant(scheduler, make_request(work=INFERENCE))
        # Nearly all of the share is held; the raised limits open places that the units no longer carry.
        scheduler.handle(ev.LimitsChanged({"cuda:0": {WorkKind.TRAINING: 64, WorkKind.INFERENCE: 64}}), now=0)
        assert ask(scheduler, make_request("better", work=INFERENCE, submitted_at=1)) == [ev.Queue("better", WaitReason.SHARE)]
        (queue,) = ask(scheduler, make_request("worse", submitted_at=2))
        assert queue.reason in (WaitReason.SHARE, WaitReason.ORDER)
        assert scheduler.explain("worse", now=0).position == 2


class TestLeases:
    def test_tokens_grow_with_every_grant(self):
        scheduler = make_scheduler(make_gpu(0), make_gpu(1))
        first = must_grant(scheduler, make_request())
        second = must_grant(scheduler, make_request())
        assert second.token > first.token

    def test_the_later_grant_of_two_services_has_the_newer_token_however_many_went_before(self):
        old = make_scheduler(make_gpu(0), make_gpu(1))
        must_grant(old, make_request("a"), now=1_000.0)
        before = must_grant(old, make_request("b"), now=1_000.0)
        assert must_grant(make_scheduler(), make_request("c"), now=2_000.0).token > before.token

    def test_a_renewal_keeps_a_lease_beyond_its_first_end(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request(), now=0)
        assert scheduler.handle(ev.LeaseRenewed(lease.lease_id, lease.token), now=29) == [ev.Renew(lease.lease_id, 59.0)]
        assert scheduler.handle(ev.Ticked(), now=58) == []

    def test_a_lease_without_renewal_expires_and_its_units_wait_for_the_process(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request(), now=0)
        ask(scheduler, make_request("b"), now=1)
        assert scheduler.handle(ev.Ticked(), now=30) == [ev.Reclaim(lease, EndCause.EXPIRED)]
        assert scheduler.handle(ev.Ticked(), now=31) == []
        assert scheduler.ledger.accounts["cuda:0"].held_units == 1500
        close, grant = scheduler.handle(ev.HolderGone(lease.lease_id), now=32)
        assert close == ev.Close(lease, EndCause.EXPIRED)
        assert grant.lease.request.request_id == "b"

    def test_renewing_an_expired_lease_fails(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request(), now=0)
        refuse, reclaim = scheduler.handle(ev.LeaseRenewed(lease.lease_id, lease.token), now=30)
        assert isinstance(refuse.error, LeaseExpiredError)
        assert reclaim == ev.Reclaim(lease, EndCause.EXPIRED)
        (again,) = scheduler.handle(ev.LeaseRenewed(lease.lease_id, lease.token), now=31)
        assert isinstance(again.error, LeaseExpiredError)

    @pytest.mark.parametrize("token_step", [-1, 1])
    def test_renewing_with_a_foreign_token_fails_and_takes_nothing_back(self, token_step):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request())
        (refuse,) = scheduler.handle(ev.LeaseRenewed(lease.lease_id, lease.token + token_step), now=1)
        assert isinstance(refuse.error, LeaseNotFoundError)
        assert scheduler.ledger.entries[lease.lease_id].lease == lease

    def test_a_release_is_idempotent_and_frees_nobody_elses_lease(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request())
        assert scheduler.handle(ev.LeaseReleased(lease.lease_id, lease.token + 1), now=0) == []
        assert scheduler.handle(ev.LeaseReleased(lease.lease_id, lease.token), now=0) == [ev.Reclaim(lease, EndCause.RELEASED)]
        assert scheduler.handle(ev.LeaseReleased(lease.lease_id, lease.token), now=0) == []
        assert scheduler.handle(ev.HolderGone(lease.lease_id), now=0) == [ev.Close(lease, EndCause.RELEASED)]
        assert scheduler.handle(ev.HolderGone(lease.lease_id), now=0) == []
        assert scheduler.handle(ev.LeaseReleased(lease.lease_id, lease.token), now=0) == []
        assert scheduler.ledger.accounts["cuda:0"].held_units == 0

    def test_a_holder_that_dies_gives_back_its_lease_at_once(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request())
        assert scheduler.handle(ev.HolderGone(lease.lease_id), now=0) == [ev.Close(lease, EndCause.HOLDER_DIED)]

    def test_an_adopted_lease_counts_as_if_granted_and_later_tokens_are_larger(self):
        before = make_scheduler()
        lease = must_grant(before, make_request())
        after = make_scheduler()
        assert after.handle(ev.LeaseAdopted(lease), now=100) == []
        assert ask(after, make_request("b")) == [ev.Queue("b", WaitReason.LIMIT)]
        (next_lease,) = granted(end(after, lease, now=101))
        assert next_lease.token > lease.token
        after.validate()

    def test_an_adopted_lease_that_was_ending_is_reclaimed_again(self):
        lease = must_grant(make_scheduler(), make_request())
        after = make_scheduler()
        assert after.handle(ev.LeaseAdopted(lease, is_ending=True), now=0) == [ev.Reclaim(lease, EndCause.RELEASED)]

    def test_a_lease_on_a_device_that_is_no_more_is_closed_when_adopted(self):
        lease = must_grant(make_scheduler(make_gpu(1)), make_request())
        assert make_scheduler(make_gpu(0)).handle(ev.LeaseAdopted(lease), now=0) == [ev.Close(lease, EndCause.DEVICE_LOST)]


class TestDevicesAndLimits:
    def test_a_lost_device_closes_its_leases_and_its_requests_wait_for_it(self):
        scheduler = make_scheduler()
        lease = must_grant(scheduler, make_request())
        ask(scheduler, make_request("b"))
        assert scheduler.handle(ev.DeviceLost("cuda:0"), now=0) == [ev.Close(lease, EndCause.DEVICE_LOST)]
        assert scheduler.explain("b", now=0).missing is WaitReason.DEVICE
        assert scheduler.handle(ev.DeviceLost("cuda:0"), now=0) == []
        assert [lease.request.request_id for lease in granted(scheduler.handle(ev.DeviceAdded(make_gpu()), now=0))] == ["b"]

    def test_a_raised_limit_starts_waiting_work_at_once(self):
        scheduler = make_scheduler()
        for number in range(5):
            ask(scheduler, make_request(f"r{number}", submitted_at=number))
        started = granted(scheduler.handle(ev.LimitsChanged({"cuda:0": {WorkKind.TRAINING: 3}}), now=0))
        assert [lease.request.request_id for lease in started] == ["r1", "r2"]

    def test_a_lowered_limit_lets_the_running_finish_and_starts_nobody(self):
        scheduler = make_scheduler()
        leases = [must_grant(scheduler, make_request(work=INFERENCE)) for _ in range(3)]
        ask(scheduler, make_request("next", work=INFERENCE))
        assert scheduler.handle(ev.LimitsChanged({"cuda:0": {INFERENCE: 1}}), now=0) == []
        assert granted(end(scheduler, leases[0])) == []
        assert granted(end(scheduler, leases[1])) == []
        assert [lease.request.request_id for lease in granted(end(scheduler, leases[2]))] == ["next"]

    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            ({"cuda:7": {WorkKind.TRAINING: 1}}, "no such device"),
            ({"cuda:0": {WorkKind.TRAINING: 65}}, "0 to 64"),
            ({"cuda:0": {WorkKind.TRAINING: -1}}, "0 to 64"),
            ({"cuda:0": {WorkKind.PREPROCESSING: 1}}, "does no preprocessing"),
        ],
    )
    def test_an_impossible_limit_changes_nothing(self, limits, reason):
        scheduler = make_scheduler()
        with pytest.raises(LimitError, match=reason):
            scheduler.handle(ev.LimitsChanged({"cuda:0": {INFERENCE: 9}} | limits), now=0)
        assert scheduler.ledger.accounts["cuda:0"].limits == {WorkKind.TRAINING: 1, INFERENCE: 3}

    def test_limits_that_were_set_before_a_restart_are_kept(self):
        scheduler = make_scheduler(make_cpu())
        scheduler.handle(ev.DeviceAdded(make_gpu(), {INFERENCE: 7}), now=0)
        assert scheduler.ledger.accounts["cuda:0"].limits == {WorkKind.TRAINING: 1, INFERENCE: 7}


class TestExplain:
    def test_it_names_position_reason_and_holders(self):
        scheduler = make_scheduler()
        must_grant(scheduler, make_request(task_id="holder"))
        must_grant(scheduler, make_request(task_id="not in the way", work=INFERENCE))
        ask(scheduler, make_request("first", submitted_at=1))
        ask(scheduler, make_request("second", submitted_at=2))
        answer = scheduler.explain("second", now=0)
        assert (answer.position, answer.waiting, answer.missing) == (2, 2, WaitReason.LIMIT)
        assert [holder.task_id for holder in answer.held_by] == ["holder"]
        assert answer.estimated_start_at is None, "nothing was ever measured"

    def test_who_does_not_wait_has_nothing_to_explain(self):
        scheduler = make_scheduler()
        must_grant(scheduler, make_request("held"))
        assert scheduler.explain("held", now=0) is None
