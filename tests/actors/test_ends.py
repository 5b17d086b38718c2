"""The ends of processes that hold leases on a real Ray: nothing that they started outlives the lease."""

import os
import signal
import uuid

import psutil
import pytest
import ray

from actors.attempt_order import AttemptOrder
from actors.attempts import actor_options, resource_options
from actors.core.model import HolderKind, LeaseRequest, WorkKind
from actors.devices import find_group
from actors.workers.attempt import AttemptActor
from tests.actors.holder import Family
from tests.actors.waiting import wait_for


@pytest.fixture
def granted(accountant):
    request_id = uuid.uuid4().hex
    request = LeaseRequest(request_id, request_id, WorkKind.TRAINING, "cuda:0", 5, 0.0, holder=HolderKind.DRIVER)
    return ray.get(accountant.acquire.remote(request))


@pytest.fixture
def family(granted):
    """A holder that is bound to its lease, its pid, and its deaf child's."""
    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(find_group(granted.group_id), 0)
    options = resource_options(granted) | {"scheduling_strategy": strategy, "lifetime": "detached", "name": granted.lease.lease_id}
    holder = ray.remote(Family).options(**options).remote()
    pid = ray.get(holder.bind.remote(granted))
    return holder, pid, ray.get(holder.start_child.remote())


def held_units(accountant):
    return next(each.held_units for each in ray.get(accountant.view.remote()).devices if each.device.device_id == "cuda:0")


def assert_units_return_with_the_end_of(accountant, *pids, deadline_s=10.0):
    wait_for(lambda: held_units(accountant) == 0, deadline_s=deadline_s, what="the units back")
    assert [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE] == []


def test_a_process_that_dies_takes_its_children_with_it_before_its_units_return(accountant, family):
    _holder, pid, child = family
    os.kill(pid, signal.SIGKILL)
    assert held_units(accountant) > 0
    assert_units_return_with_the_end_of(accountant, pid, child)


def test_ray_ends_a_process_that_leads_a_group_and_its_children_follow(accountant, family):
    holder, pid, child = family
    ray.kill(holder)
    assert_units_return_with_the_end_of(accountant, pid, child)


def test_the_children_of_a_silent_process_end_with_it(accountant, family):
    _holder, pid, child = family
    os.kill(pid, signal.SIGSTOP)
    assert_units_return_with_the_end_of(accountant, pid, child, deadline_s=25.0)


def test_the_children_left_by_a_process_that_died_with_the_accountant_end_too(accountant, family):
    _holder, pid, child = family
    os.kill(ray.get(accountant.pid.remote()), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: answers(accountant), what="the accountant back")
    assert_units_return_with_the_end_of(accountant, pid, child)


def answers(accountant):
    try:
        return ray.get(accountant.ping.remote(), timeout=30)
    except ray.exceptions.RayError:
        return None


def test_an_attempt_leads_a_group_of_its_own_from_its_first_moment(accountant, granted, service):
    order = AttemptOrder(uuid.uuid4().hex, uuid.uuid4().hex, WorkKind.TRAINING, "training", {}, {}, granted)
    attempt = ray.remote(AttemptActor).options(**actor_options(order)).remote(order, service)
    pid = ray.get(attempt.ready.remote())
    assert os.getpgid(pid) == pid
    wait_for(lambda: ray.get(attempt.outcome.remote()), what="its outcome")
    assert ray.get(attempt.outcome.remote()).outcome == "failed"
    ray.kill(attempt)
    ray.get(accountant.release.remote(granted.lease.lease_id, granted.lease.token))
    assert_units_return_with_the_end_of(accountant, pid)
