"""Why a request waits, and when it may start."""

import pytest

from actors.core import events as ev
from actors.core.durations import DurationKey, Durations
from actors.core.errors import UnsatisfiableRequestError
from actors.core.events import WaitReason
from actors.core.model import DeviceKind, WorkKind
from actors.core.scheduler import Scheduler
from tests.unit.core.factories import ask, granted, make_gpu, make_request, make_scheduler, must_grant

RESNET = DurationKey(DeviceKind.GPU, WorkKind.TRAINING, "resnet18")


def complete(scheduler, lease, *, now):
    scheduler.handle(ev.LeaseReleased(lease.lease_id, lease.token, is_complete=True), now=now)
    return scheduler.handle(ev.HolderGone(lease.lease_id), now=now)


def test_durations_are_learnt_from_work_that_was_completed():
    scheduler = make_scheduler()
    lease = must_grant(scheduler, make_request(profile="resnet18"), now=100)
    complete(scheduler, lease, now=160)
    assert scheduler.durations.expected(RESNET) == 60
    cancelled = must_grant(scheduler, make_request(profile="resnet18"), now=200)
    scheduler.handle(ev.HolderGone(cancelled.lease_id), now=201)
    assert scheduler.durations.expected(RESNET) == 60


def test_the_start_is_estimated_from_what_runs_and_what_is_ahead():
    scheduler = make_scheduler()
    scheduler.durations.learn(RESNET, 100)
    must_grant(scheduler, make_request(profile="resnet18"), now=1_000)
    for number in range(3):
        ask(scheduler, make_request(f"r{number}", profile="resnet18", submitted_at=number), now=1_000)
    assert scheduler.explain("r0", now=1_030).estimated_start_at == 1_100
    assert scheduler.explain("r2", now=1_030).estimated_start_at == 1_300
    assert scheduler.explain("r2", now=1_030).held_by[0].expected_end_at == 1_100
    assert scheduler.explain("r0", now=1_200).estimated_start_at == 1_210, "overdue by then"


def test_several_places_share_the_work_ahead():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1))
    scheduler.durations.learn(RESNET, 100)
    for number, now in enumerate((0, 60)):
        must_grant(scheduler, make_request(f"h{number}", profile="resnet18"), now=now)
    for number in range(2):
        ask(scheduler, make_request(f"r{number}", profile="resnet18", submitted_at=number), now=60)
    assert scheduler.explain("r0", now=60).estimated_start_at == 100
    # r0 works from 100 on one device; the other comes free at 160 and is the next to be had. Poured evenly: 180.
    assert 160 <= scheduler.explain("r1", now=60).estimated_start_at <= 200


def test_an_unknown_duration_makes_an_unknown_start():
    scheduler = make_scheduler()
    must_grant(scheduler, make_request(profile="vgg11"))
    ask(scheduler, make_request("b", profile="resnet18"))
    assert scheduler.explain("b", now=0).estimated_start_at is None


def test_what_is_known_survives_a_restart():
    durations = Durations({RESNET: [10.0, 30.0]})
    assert Scheduler(make_scheduler().policy, durations=Durations(dict(durations.dump()))).durations.expected(RESNET) == 20


def test_a_draft_says_whether_it_would_start_and_leaves_nothing_behind():
    scheduler = make_scheduler()
    answer = scheduler.explain_draft(make_request("draft"), now=5)
    assert (answer.would_start, answer.missing, answer.position, answer.estimated_start_at) == (True, None, 1, 5)
    assert len(scheduler.line) == 0
    must_grant(scheduler, make_request())
    answer = scheduler.explain_draft(make_request("draft"), now=5)
    assert (answer.would_start, answer.missing, answer.waiting) == (False, WaitReason.LIMIT, 0)
    scheduler.validate()


def test_a_draft_that_would_have_to_wait_its_turn_says_so():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1))
    must_grant(scheduler, make_request())
    ask(scheduler, make_request("gang", device_count=2, submitted_at=1))
    answer = scheduler.explain_draft(make_request("draft", submitted_at=2), now=5)
    assert (answer.would_start, answer.missing, answer.position) == (False, WaitReason.ORDER, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"selector": "cuda:9"}, "cuda:0"), ({"priority": 11}, "1 (the most urgent) to 10"), ({"memory_bytes": 0}, "at least 1")],
)
def test_a_draft_that_can_never_be_is_refused(changes, words):
    with pytest.raises(UnsatisfiableRequestError, match=words.replace("(", r"\(").replace(")", r"\)")):
        make_scheduler().explain_draft(make_request(**changes), now=0)


def test_nobody_starves_a_worse_priority_waits_at_most_its_patience_longer():
    """The bound: a request of priority p is overtaken only by those that come within (p - 1) times the patience after it."""
    scheduler = make_scheduler()
    (lease,) = granted(ask(scheduler, make_request("first", priority=1)))
    ask(scheduler, make_request("patient", priority=10, submitted_at=0.0), now=0)
    bound = 9 * scheduler.policy.patience_s
    now, started = 0.0, []
    while "patient" not in started:
        now += 100.0
        ask(scheduler, make_request(f"urgent-{now}", priority=1, submitted_at=now), now=now)
        (lease,) = granted(complete(scheduler, lease, now=now))
        started.append(lease.request.request_id)
        assert now <= bound + 100.0, "it starved"
    assert now >= bound, "it was not overtaken by all that had the right to"
