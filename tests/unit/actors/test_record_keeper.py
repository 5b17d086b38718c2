"""What follows from a record waits until the record, or a later version of it, is on disk."""

import asyncio
from concurrent.futures import Future

import pytest

from actors.core import task_events as te
from actors.core.model import Lease, Portion, WorkKind
from actors.core.tasks import Submission
from actors.messages import LogDraft
from actors.record_keeper import RecordKeeper
from actors.supervisor import TaskSupervisor
from configs.settings import Settings


class HeldWriter:
    """A writer whose disk takes nothing until it is told to."""

    def __init__(self):
        self.saving = []

    def save(self, _task):
        self.saving.append(Future())
        return self.saving[-1]


@pytest.fixture
def task():
    return type("T", (), {"task_id": "t"})()


async def turn():
    for _ in range(5):
        await asyncio.sleep(0)


def test_work_waits_for_the_disk_and_a_task_that_is_on_disk_for_nothing(task):
    async def keep():
        writer, done = HeldWriter(), []
        records = RecordKeeper(writer)

        async def work():
            done.append(True)

        await records.written("t")
        records.save(task)
        waiting = asyncio.create_task(records.then("t", work()))
        await turn()
        assert done == []
        writer.saving[0].set_result(None)
        await waiting
        assert done == [True]
        await records.written("t")

    asyncio.run(keep())


def test_where_a_later_version_takes_the_place_of_one_that_one_is_waited_for(task):
    async def keep():
        writer = HeldWriter()
        records = RecordKeeper(writer)
        records.save(task)
        waiting = asyncio.create_task(records.written("t"))
        await turn()
        records.save(task)
        writer.saving[0].cancel()
        await turn()
        assert not waiting.done()
        writer.saving[1].set_result(None)
        await waiting

    asyncio.run(keep())


@pytest.fixture
def carried(tmp_path, monkeypatch):
    """A supervisor with one running task, whose disk takes nothing more; and what it does to the attempt and says to the log."""

    def prepare():
        supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))
        supervisor._apply(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5)))
        request = supervisor._flow.lease_request(supervisor._flow.get("t"))
        supervisor._apply(te.LeaseGranted(Lease("lease-1", 1, request, (Portion("cpu:0", 1200, 0),), 5.0)))
        supervisor._records._writer = writer = HeldWriter()
        finished = []

        async def finish(over):
            finished.append(over.attempt_id)

        monkeypatch.setattr(supervisor, "_finish", finish)
        return supervisor, writer, finished

    return prepare


def test_an_attempt_is_ended_and_its_end_is_told_only_when_its_result_is_on_disk(carried):
    async def end():
        supervisor, writer, finished = carried()
        supervisor._carry_out(supervisor._apply(te.AttemptEnded("t.1", "completed", "done")))
        telling = asyncio.create_task(supervisor._logs.next_message())
        await turn()
        assert (finished, telling.done()) == ([], False)
        writer.saving[0].set_result(None)
        said = await telling
        await turn()
        assert finished == ["t.1"]
        assert [(draft.index, draft.message, draft.is_last) for draft in said.drafts] == [(3, "done", True)]

    asyncio.run(end())


def test_steps_have_the_same_numbers_whoever_tells_them(carried):
    async def tell():
        supervisor, writer, _ = carried()
        supervisor._carry_out(supervisor._apply(te.AttemptEnded("t.1", "completed", "done")))
        writer.saving[0].set_result(None)
        told = await supervisor._logs.next_message()
        supervisor._logs.done(told)
        supervisor._logs.retell(supervisor._flow.get("t"))
        retold = await supervisor._logs.next_message()
        assert (told.source, retold.source) == ("supervisor", "supervisor")
        assert [draft.index for draft in retold.drafts] == [1, 2, 3]
        assert [draft.message for draft in retold.drafts] == ["training task accepted", "attempt 1 got cpu:0", "done"]
        assert isinstance(retold.drafts[0], LogDraft)
        assert retold.drafts[2].message == told.drafts[0].message

    asyncio.run(tell())
