"""A task that is ended while it is being accepted asks for no lease."""

import asyncio
from concurrent.futures import Future

import pytest

from actors.core import task_events as te
from actors.core.errors import StoreUnavailableError
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


def test_nothing_is_written_later_of_a_task_that_was_refused(tmp_path, monkeypatch):
    async def accept():
        supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))
        durable, handed_over = Future(), []
        monkeypatch.setattr(supervisor._writer, "accept", lambda _task: durable)
        monkeypatch.setattr(supervisor._writer, "save", lambda task: handed_over.append(("save", task.task_id)))
        monkeypatch.setattr(supervisor._writer, "forget", lambda task_id: handed_over.append(("forget", task_id)))
        commands = supervisor._apply(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5)))
        accepting = asyncio.create_task(supervisor._accept("t", commands))
        await asyncio.sleep(0)
        supervisor._carry_out(
            [each for each in supervisor._apply(te.EndRequested("t", EndMode.CANCEL)) if isinstance(each, te.SaveTask)]
        )
        durable.set_exception(StoreUnavailableError("database or disk is full"))
        with pytest.raises(StoreUnavailableError):
            await accepting
        assert handed_over == [("save", "t"), ("forget", "t")]
        assert supervisor._flow.tasks == {}

    asyncio.run(accept())
