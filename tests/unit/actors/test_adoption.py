"""A supervisor that begins anew sees the attempts of the one before to their end, with what was asked of them."""

import asyncio
from types import SimpleNamespace

import pytest

from actors import attempts
from actors.core import task_events as te
from actors.core.model import Lease, Portion, WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import EndMode, Submission, TaskState
from actors.messages import Queued
from actors.supervisor import TaskSupervisor
from configs.settings import Settings


class UpAlready:
    """The answer of a process that is up."""

    @staticmethod
    async def remote():
        return None


@pytest.fixture
def adopt(tmp_path, monkeypatch):
    """Let a supervisor adopt an attempt to which something happened before; returns it, and what it asked of the process."""

    def adopt_after(*events, is_alive=True):
        former = TaskFlow()
        former.handle(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5, max_retries=0)), now=1.0)
        lease = Lease("lease-1", 1, former.lease_request(former.get("t")), (Portion("cpu:0", 1200, 0),), 2.0)
        for event in (te.LeaseGranted(lease), *events):
            former.handle(event, now=3.0)
        supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))
        supervisor._flow.restore(former.get("t"))
        asked = []
        monkeypatch.setattr(supervisor, "_stop_attempt", lambda attempt_id, *, at_once: asked.append((attempt_id, at_once)))
        monkeypatch.setattr(supervisor, "_carry_out", lambda _commands: None)
        monkeypatch.setattr(attempts, "find_attempt", lambda _name: SimpleNamespace(ready=UpAlready) if is_alive else None)

        async def end(attempt_id, _handles):
            return te.AttemptEnded(attempt_id, "stopped", "stopped")

        monkeypatch.setattr(supervisor._runner, "_await_outcome", end)
        asyncio.run(supervisor._adopt(supervisor._flow.get("t")))
        return supervisor._flow.get("t"), asked

    return adopt_after


@pytest.mark.parametrize(
    ("event", "at_once", "state"),
    [
        (te.EndRequested("t", EndMode.KILL), True, TaskState.CANCELLED),
        (te.EndRequested("t", EndMode.STOP), False, TaskState.CANCELLED),
        (te.LeaseRevoked("t.1"), False, TaskState.QUEUED),
    ],
)
def test_an_end_that_was_asked_for_is_asked_for_again(adopt, event, at_once, state):
    task, asked = adopt(event)
    assert (asked, task.state) == ([("t.1", at_once)], state)


def test_an_attempt_that_may_never_have_had_a_process_is_repeated_and_costs_no_retry(adopt):
    task, _ = adopt(is_alive=False)
    assert (task.state, task.attempt_id, task.interruptions) == (TaskState.QUEUED, "t.2", 1)


def test_an_attempt_that_nobody_wants_to_end_is_let_alone(adopt):
    assert adopt()[1] == []


def test_the_line_hears_again_of_a_place_that_a_user_gave(tmp_path, monkeypatch):
    async def ask_again():
        supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))
        supervisor._apply(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5)))
        supervisor._apply(te.PriorityChanged("t", 1))
        asked = asyncio.Queue()

        async def ask(_actor, method, *args):
            asked.put_nowait((method, *args))
            return [Queued("t.1", "limit")]

        monkeypatch.setattr(supervisor, "_carry_out", lambda _commands: None)
        monkeypatch.setattr(supervisor._calls, "ask", ask)
        supervisor._ask_again()
        return [await asyncio.wait_for(asked.get(), 10) for _ in range(2)]

    assert ("rerank", "t.1", 1) in asyncio.run(ask_again())
