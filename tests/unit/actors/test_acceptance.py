"""A task that is ended while it is being accepted asks for no lease."""

import asyncio
from concurrent.futures import Future

import pytest

from actors.core import task_events as te
from actors.core.model import WorkKind
from actors.core.tasks import EndMode, Submission, TaskState
from actors.supervisor import TaskSupervisor
from configs.settings import Settings


@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_end_of_a_task_during_its_acceptance_leaves_no_request_in_line(tmp_path, monkeypatch, is_deleted):
    async def accept():
        supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))
        durable, carried = Future(), []
        monkeypatch.setattr(supervisor._writer, "accept", lambda _task: durable)
        monkeypatch.setattr(supervisor, "_carry_out", carried.extend)
        commands = supervisor._apply(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5)))
        accepting = asyncio.create_task(supervisor._accept("t", commands))
        await asyncio.sleep(0)
        supervisor._apply(te.EndRequested("t", EndMode.CANCEL))
        if is_deleted:
            supervisor._apply(te.TaskDeleted("t"))
        durable.set_result(None)
        await accepting
        assert carried == []
        assert is_deleted or supervisor._flow.get("t").state is TaskState.CANCELLED

    asyncio.run(accept())
