"""Leases of users' drivers: a place in line lasts as long as its driver asks, and the units come back whatever ends first."""

from uuid import uuid4

import psutil
import pytest
import ray

from actors.core.model import HolderKind, LeaseRequest, WorkKind
from actors.driver_keeper import LEASE_MARK
from actors.lease_store import LeaseStore
from actors.messages import GrantedLease, Queued
from actors.names import NAMESPACE
from actors.process_mark import find_marked, is_alive
from cluster.lease import LeaseTimeoutError, lease
from tests.actors.own_worker import Worker
from tests.actors.waiting import wait_for


def start_worker(options):
    """An actor as a user's program starts it, its pid, and a handle that outlives the block."""
    actor = ray.remote(Worker).options(**options).remote()
    return actor, ray.get(actor.pid.remote())


def ask(accountant, holder):
    request_id = f"{holder.value}-{uuid4().hex}"
    return LeaseRequest(request_id, request_id, WorkKind.TRAINING, "cuda:0", 5, 0.0, holder=holder)


def is_free(accountant):
    view = ray.get(accountant.view.remote())
    return all(device.held_units == 0 for device in view.devices)


def is_running(pid):
    """Whether a process works still; Ray may take a moment to notice the end of one."""
    return psutil.pid_exists(pid) and is_alive(psutil.Process(pid))


def bound_pids(settings):
    """The processes that the accountant knows to work in leases."""
    return {holder.presence.pid for stored in LeaseStore(settings.database_url).read_leases() for holder in stored.holders}


def test_who_waits_too_long_hears_what_is_missing_and_leaves_the_line(accountant):
    with lease("cuda:0", work="training", name="first") as held:
        assert held.device == "cuda:0"
        said = r"no lease on cuda:0 within 1 s: 1 of 1 training leases on cuda:0 are held"
        with pytest.raises(LeaseTimeoutError, match=said), lease("cuda:0", work="training", name="second", timeout_s=1):
            pass
        assert ray.get(accountant.view.remote()).waiting == 0
    wait_for(lambda: is_free(accountant), what="every unit back")


def test_an_actor_that_outlives_the_block_is_ended_before_its_units_return(accountant):
    with lease("cpu", name="detached") as held:
        options = {**held.actor_options, "name": f"left-{uuid4().hex}", "lifetime": "detached"}
        _, pid = start_worker(options)
        assert ray.get(accountant.check_books.remote()).agrees
    assert not is_running(pid)
    wait_for(lambda: is_free(accountant), what="every unit back")
    assert ray.get(accountant.check_books.remote()).agrees


def test_actors_that_share_a_lease_take_no_more_than_it(accountant):
    with lease("cuda", name="shared") as held:
        workers = [start_worker(held.options_for(3)) for _ in range(3)]
        assert len({pid for _, pid in workers}) == 3
        assert ray.get(accountant.check_books.remote()).agrees
    wait_for(lambda: is_free(accountant), what="every unit back")


def test_when_the_keeper_dies_the_actors_end_with_the_lease(accountant, service):
    with lease("cuda:1", name="unkept") as held:
        _, pid = start_worker(held.actor_options)
        assert pid in bound_pids(service)  # before it runs any code of the user
        ray.kill(ray.get_actor(f"lease.{held.holder}", namespace=NAMESPACE))
        wait_for(lambda: not is_running(pid), deadline_s=20, what="the end of the worker")
        wait_for(lambda: is_free(accountant), what="every unit back")


def test_an_actor_that_comes_up_after_its_lease_is_over_never_runs(accountant):
    with lease("cuda:1", name="early") as held:
        late = ray.remote(Worker).options(**held.actor_options, name="late", lifetime="detached").remote()
    wait_for(lambda: is_free(accountant), what="every unit back")
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(late.pid.remote())
    assert not find_marked(LEASE_MARK, held.environment[LEASE_MARK])


def test_an_actor_that_is_started_in_a_lease_that_was_lost_never_runs(accountant):
    with lease("cuda:1", name="lost") as held:
        ray.kill(ray.get_actor(f"lease.{held.holder}", namespace=NAMESPACE))
        wait_for(lambda: is_free(accountant), what="every unit back")
        late = ray.remote(Worker).options(**held.actor_options).remote()
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(late.pid.remote())
        assert not find_marked(LEASE_MARK, held.environment[LEASE_MARK])


def test_a_driver_that_has_gone_does_not_stay_in_line_and_a_task_does(accountant):
    first, driver, attempt = (ask(accountant, holder) for holder in (HolderKind.DRIVER, HolderKind.DRIVER, HolderKind.ATTEMPT))
    granted = ray.get(accountant.acquire.remote(first))
    assert isinstance(granted, GrantedLease)
    for request in (driver, attempt):
        assert isinstance(ray.get(accountant.acquire.remote(request)), Queued)

    def is_driver_gone():
        ray.get(accountant.renew.remote(granted.lease.lease_id, granted.lease.token))
        return ray.get(accountant.explain.remote(driver.request_id)) is None

    wait_for(is_driver_gone, deadline_s=20, what="the driver's request to be dropped")
    assert ray.get(accountant.explain.remote(attempt.request_id)) is not None
    for request in (attempt, first):
        ray.get(accountant.withdraw.remote(request.request_id))
    wait_for(lambda: is_free(accountant), what="every unit back")
