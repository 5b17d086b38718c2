"""An attempt that ends before its process is up, by its lease or by a wish: nobody waits for the process, and it costs no retry."""

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from unittest.mock import create_autospec

import pytest

from actors import attempts
from actors.attempt_order import AttemptOrder
from actors.attempts import AttemptRunner
from actors.core import task_events as te
from actors.core.errors import LeaseExpiredError, LeaseNotFoundError
from actors.core.model import Device, DeviceKind, Lease, LeaseRequest, Portion, WorkKind
from actors.core.task_events import AttemptDied
from actors.core.tasks import EndMode, Progress, Submission, TaskState
from actors.messages import GrantedLease, LeasePlace
from actors.supervisor import TaskSupervisor
from actors.workers import attempt
from actors.workers.reporter import Reporter
from configs.settings import Settings


class PendingHandle:
    """A process that never gets a place."""

    class _Never:
        def remote(self):
            return asyncio.wrap_future(Future())

    ready = _Never()


@pytest.fixture
def order():
    device = Device("cpu:1", DeviceKind.CPU, "lost", 0, 1 << 30, "CPU", cores=2)
    request = LeaseRequest("t.1", "t", WorkKind.TRAINING, "cpu", 5, 0.0)
    granted = GrantedLease(Lease("lease-1", 1, request, (Portion("cpu:1", 1200, 0),), 5.0), (LeasePlace(device, "group"),))
    return AttemptOrder("t.1", "t", WorkKind.TRAINING, "training", {}, {}, granted)


@pytest.mark.parametrize("is_over_at_once", [True, False])
def test_the_wait_for_a_process_ends_with_its_lease_and_costs_no_retry(tmp_path, monkeypatch, order, is_over_at_once):
    killed, begun, renewed = [], [], []
    settings = Settings(state_dir=tmp_path, data_roots=(tmp_path,), heartbeat_s=0.01, start_deadline_s=30)
    runner = AttemptRunner(settings, lambda *_: None)
    monkeypatch.setattr(runner, "_bring_up", lambda order: begun.append(order) or PendingHandle())
    monkeypatch.setattr(attempts, "find_attempt", killed.append)

    async def renew(lease):
        renewed.append(lease)
        if is_over_at_once or len(renewed) > 1:
            raise LeaseExpiredError(lease.lease_id)

    over = asyncio.run(runner.run(order, renew))
    assert over == AttemptDied("t.1", "its lease ended before its process answered", is_counted=False)
    assert killed == ["t.1"]
    assert bool(begun) is not is_over_at_once, "no process begins on a lease that is over"


def test_an_adopted_process_that_never_comes_up_is_given_up_when_its_lease_ends(tmp_path, monkeypatch):
    """Its node was lost while no supervisor was there: Ray keeps the process pending for ever."""
    killed = []
    settings = Settings(state_dir=tmp_path, data_roots=(tmp_path,), heartbeat_s=0.01, start_deadline_s=30)
    runner = AttemptRunner(settings, lambda *_: None)
    monkeypatch.setattr(attempts, "find_attempt", lambda _name: PendingHandle())
    monkeypatch.setattr(attempts.ray, "kill", lambda handle, **_: killed.append(handle))

    async def renew():
        raise LeaseNotFoundError("lease-1")

    over = asyncio.run(runner.adopt("t.1", 1, renew))
    assert over == AttemptDied("t.1", "its lease ended before its process answered", is_counted=False)
    assert len(killed) == 1


@pytest.mark.parametrize("error", [LeaseExpiredError, LeaseNotFoundError])
def test_a_process_that_finds_its_lease_over_asks_for_another_attempt(error):
    reporter = create_autospec(Reporter, instance=True)
    reporter.progress = Progress()
    assert attempt._explain(error("lease-1"), reporter, ()).is_retryable


@pytest.fixture
def granted(tmp_path, monkeypatch, order):
    """A supervisor whose one task has just been granted a lease, in which processes only seem to begin; and those."""
    supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,), heartbeat_s=0.01))
    begun = []

    async def keep(*_):
        pass

    monkeypatch.setattr(supervisor._runner, "_bring_up", lambda order: begun.append(order) or PendingHandle())
    monkeypatch.setattr(supervisor, "_carry_out", lambda _commands: None)
    monkeypatch.setattr(supervisor._calls, "ask", keep)
    monkeypatch.setattr(attempts, "find_attempt", lambda _name: None)
    supervisor._apply(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5, max_retries=0)))
    lease = replace(order.granted.lease, request=supervisor._flow.lease_request(supervisor._flow.get("t")))
    supervisor._granted["t.1"] = replace(order.granted, lease=lease)
    start = supervisor._apply(te.LeaseGranted(lease))[-1]
    return supervisor, start, begun


ASKED = [
    (te.EndRequested("t", EndMode.KILL), TaskState.CANCELLED, 0),
    (te.EndRequested("t", EndMode.STOP), TaskState.CANCELLED, 0),
    (te.LeaseRevoked("t.1"), TaskState.QUEUED, 1),
]


@pytest.mark.parametrize(("event", "state", "preemptions"), ASKED)
def test_what_was_to_end_before_it_had_a_process_gets_none(granted, event, state, preemptions):
    supervisor, start, begun = granted
    supervisor._apply(event)
    asyncio.run(supervisor._run_attempt(start.task, start.lease, resume=False))
    task = supervisor._flow.get("t")
    assert (begun, task.state, task.preemptions, task.interruptions) == ([], state, preemptions, 0)


@pytest.mark.parametrize(("event", "state", "preemptions"), ASKED)
def test_what_is_to_end_while_its_process_comes_up_is_waited_for_no_longer(granted, monkeypatch, event, state, preemptions):
    supervisor, start, _ = granted

    async def run():
        begun = asyncio.Event()
        monkeypatch.setattr(supervisor._runner, "_bring_up", lambda _order: begun.set() or PendingHandle())
        running = asyncio.create_task(supervisor._run_attempt(start.task, start.lease, resume=False))
        await begun.wait()
        supervisor._apply(event)
        await running

    asyncio.run(run())
    task = supervisor._flow.get("t")
    assert (task.state, task.preemptions, task.interruptions) == (state, preemptions, 0)
