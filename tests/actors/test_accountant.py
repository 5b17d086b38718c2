"""The accountant on a real Ray: placement groups, processes that hold leases, and their ends."""

import os
import signal
import uuid
from contextlib import suppress

import pytest
import ray

from actors.attempts import resource_options
from actors.core.errors import LeaseExpiredError, LeaseNotFoundError, LimitError, UnsatisfiableRequestError
from actors.core.model import HolderKind, LeaseRequest, WorkKind
from actors.devices import find_group
from actors.messages import GrantedLease, Queued
from actors.presence import own_presence
from tests.actors.holder import Holder
from tests.actors.waiting import wait_for

GPUS = ("cuda:0", "cuda:1")


def make_request(selector="cuda:0", work=WorkKind.TRAINING, **changes):
    request_id = changes.pop("request_id", uuid.uuid4().hex)
    return LeaseRequest(request_id, request_id, work, selector, 5, 0.0, holder=HolderKind.DRIVER, **changes)


def acquire(accountant, *args, **kwargs):
    return ray.get(accountant.acquire.remote(make_request(*args, **kwargs)))


def start_holder(granted):
    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(find_group(granted.group_id), 0)
    holder = ray.remote(Holder).options(scheduling_strategy=strategy, **resource_options(granted)).remote()
    ray.get(holder.bind.remote(granted))
    return holder


def held_units(accountant, device_id):
    view = ray.get(accountant.view.remote())
    return next(each.held_units for each in view.devices if each.device.device_id == device_id)


def release(accountant, granted):
    ray.get(accountant.release.remote(granted.lease.lease_id, granted.lease.token))


@pytest.fixture(autouse=True)
def nothing_is_left_held(accountant):
    yield
    wait_for(lambda: all(held_units(accountant, device) == 0 for device in (*GPUS, "cpu:0")), what="every unit back")


def test_every_device_has_a_group_of_its_own_and_simulated_ones_say_so(accountant):
    devices = {each.device.device_id: each for each in ray.get(accountant.view.remote()).devices}
    assert set(devices) == {"cuda:0", "cuda:1", "cpu:0"}
    assert len({each.placement_group for each in devices.values()}) == 3
    assert [devices[name].device.index for name in GPUS] == [0, 1]
    assert all(devices[name].device.simulated for name in GPUS)
    assert not devices["cpu:0"].device.simulated


@pytest.mark.parametrize("device_id", GPUS)
def test_a_worker_on_a_leased_gpu_really_sits_on_it_in_rays_books(accountant, device_id):
    granted = acquire(accountant, device_id)
    holder = start_holder(granted)
    assert ray.get(holder.gpu_index.remote()) == int(device_id[-1])
    release(accountant, granted)


def test_never_more_leases_than_the_limit_and_the_next_comes_by_itself(accountant):
    granted = [acquire(accountant, "cuda:0", WorkKind.INFERENCE) for _ in range(3)]
    waiting = acquire(accountant, "cuda:0", WorkKind.INFERENCE)
    assert isinstance(waiting, Queued)
    before = ray.get(accountant.next_decisions.remote("", 0, 0.0, HolderKind.DRIVER))
    news = accountant.next_decisions.remote(before.incarnation, before.seq, 30.0, HolderKind.DRIVER)
    release(accountant, granted[0])
    (grant,) = ray.get(news).grants
    assert grant.lease.request.request_id == waiting.request_id
    for each in [*granted[1:], grant]:
        release(accountant, each)


def test_a_killed_holder_gives_its_units_back_at_once(accountant):
    granted = acquire(accountant)
    holder = start_holder(granted)
    os.kill(ray.get(holder.bind.remote(granted)), signal.SIGKILL)
    wait_for(lambda: held_units(accountant, "cuda:0") == 0, deadline_s=2, what="the units back")


def test_units_return_only_when_the_process_is_gone_even_if_it_was_released(accountant):
    granted = acquire(accountant)
    holder = start_holder(granted)
    release(accountant, granted)
    assert held_units(accountant, "cuda:0") == granted.lease.portions[0].units
    ray.kill(holder)
    wait_for(lambda: held_units(accountant, "cuda:0") == 0, what="the units back")


def test_a_silent_holder_is_ended_after_one_time_to_live(accountant):
    granted = acquire(accountant)
    holder = start_holder(granted)
    pid = ray.get(holder.bind.remote(granted))
    os.kill(pid, signal.SIGSTOP)

    def is_over():
        with suppress(LeaseNotFoundError, LeaseExpiredError):  # a supervisor that has come back meanwhile does not keep it
            ray.get(accountant.renew_until_bound.remote(granted.lease.lease_id, granted.lease.token))
        return held_units(accountant, "cuda:0") == 0

    wait_for(is_over, deadline_s=20, what="the units back")
    for message in (accountant.renew, accountant.renew_until_bound):
        with pytest.raises((LeaseNotFoundError, LeaseExpiredError)):
            ray.get(message.remote(granted.lease.lease_id, granted.lease.token))


def test_a_lease_whose_process_never_came_up_expires(accountant):
    granted = acquire(accountant)
    wait_for(lambda: held_units(accountant, "cuda:0") == 0, deadline_s=20, what="the units back")
    with pytest.raises(LeaseNotFoundError):
        ray.get(accountant.bind.remote(granted.lease.lease_id, granted.lease.token, "node", own_presence()))


def test_after_sigkill_the_accountant_is_back_with_leases_line_and_larger_tokens(accountant):
    granted = acquire(accountant)
    holder = start_holder(granted)
    before = ray.get(accountant.view.remote())
    waiting = make_request("cuda:0")
    ray.get(accountant.acquire.remote(waiting))
    after = restart(accountant)
    assert [each.placement_group for each in after.devices] == [each.placement_group for each in before.devices]
    assert held_units(accountant, "cuda:0") == granted.lease.portions[0].units
    ray.get(accountant.renew.remote(granted.lease.lease_id, granted.lease.token))
    assert isinstance(ray.get(accountant.acquire.remote(waiting)), Queued)
    ray.kill(holder)
    news = wait_for(lambda: ray.get(accountant.next_decisions.remote("", 0, 1.0, HolderKind.DRIVER)).grants, what="the next grant")
    assert news[0].lease.request == waiting
    assert news[0].lease.token > granted.lease.token
    release(accountant, news[0])


def restart(accountant):
    """End the accountant's process and return the view of the one that follows it."""
    pid = ray.get(accountant.pid.remote())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid_or_none(accountant) not in (None, pid), what="another process")
    return ray.get(accountant.view.remote())


def pid_or_none(accountant):
    try:
        return ray.get(accountant.pid.remote(), timeout=30)
    except ray.exceptions.RayError:
        return None


def test_limits_change_at_once_and_survive_a_restart(accountant):
    ray.get(accountant.set_limits.remote({"cuda": {WorkKind.INFERENCE: 5}}))
    granted = [acquire(accountant, "cuda:1", WorkKind.INFERENCE) for _ in range(5)]
    assert all(isinstance(each, GrantedLease) for each in granted)
    for each in granted:
        release(accountant, each)
    view = restart(accountant)
    limits = {each.device.device_id: each.limits[WorkKind.INFERENCE] for each in view.devices}
    assert limits == {"cuda:0": 5, "cuda:1": 5, "cpu:0": 4}
    ray.get(accountant.set_limits.remote({"cuda": {WorkKind.INFERENCE: 3}}))


def test_impossible_requests_and_limits_are_refused_across_processes(accountant):
    with pytest.raises(UnsatisfiableRequestError, match="'cuda:9' does not exist"):
        acquire(accountant, "cuda:9")
    with pytest.raises(LimitError, match="0 to 64"):
        ray.get(accountant.set_limits.remote({"cuda:0": {WorkKind.TRAINING: 65}}))
