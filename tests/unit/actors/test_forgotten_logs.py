"""The log of a deleted task is gone, and a new task under its id gets one of its own, whatever was still to be said of the first."""

import asyncio
from concurrent.futures import Future

import pytest

from actors.core import task_events as te
from actors.core.errors import StoreUnavailableError
from actors.core.tasks import EndMode
from actors.log_hub import LogHub
from actors.messages import LogDraft
from actors.supervisor import TaskSupervisor
from configs.settings import Settings
from tests.unit.core.test_task_flow import make_submission


class Hub:
    """A real log hub that is away, or whose disk takes no lines, until the test lets it."""

    def __init__(self, folder):
        self.hub = LogHub(folder)
        self.is_away = False
        self.has_room = True
        self.asked = []

    async def ask(self, _name, method, *args):
        self.asked.append(method)
        if self.is_away or (method == "append" and not self.has_room):
            await asyncio.sleep(0)
            raise TimeoutError
        return await getattr(self.hub, method)(*args)

    async def messages(self, task_id):
        return [line.message for line in (await self.hub.read(task_id)).lines]


class Speaker:
    """A supervisor that says what it has to say, and does nothing else."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.setattr("actors.supervisor.PAUSE_S", 0)
        self.supervisor = TaskSupervisor(Settings(state_dir=folder, data_roots=(folder,)))
        self.hub = Hub(folder)
        monkeypatch.setattr(self.supervisor._calls, "ask", self.hub.ask)
        monkeypatch.setattr(self.supervisor, "_change_line", lambda _command: None)
        monkeypatch.setattr(self.supervisor._duties, "begin", lambda work: work.close())

    def submit(self, task_id):
        self._carry_out(te.TaskSubmitted(make_submission(task_id)))
        self.supervisor._index.add(self.supervisor._flow.get(task_id))

    def end(self, task_id):
        self._carry_out(te.EndRequested(task_id, EndMode.CANCEL))

    def delete(self, task_id):
        self._carry_out(te.TaskDeleted(task_id))

    def _carry_out(self, event):
        self.supervisor._carry_out(self.supervisor._apply(event))

    async def speak(self, is_over):
        """Let the supervisor speak until something is so."""
        speaking = asyncio.create_task(self.supervisor._speak())
        try:
            async with asyncio.timeout(10):
                while not await is_over():  # noqa: ASYNC110 - what is waited for lies on the disk
                    await asyncio.sleep(0.001)
        finally:
            speaking.cancel()

    async def speak_out(self):
        async def has_spoken():
            return not (self.supervisor._logs._lines or self.supervisor._logs._forgotten)

        await self.speak(has_spoken)


@pytest.fixture
def speaker(tmp_path, monkeypatch):
    return lambda: Speaker(tmp_path, monkeypatch)


def logs(tmp_path):
    return list((tmp_path / "logs/tasks").iterdir())


def test_what_was_still_to_be_said_of_a_deleted_task_begins_no_log_anew(speaker, tmp_path):
    async def delete():
        each = speaker()
        each.submit("t")
        await each.speak_out()
        assert await each.hub.messages("t")
        each.end("t")
        each.delete("t")
        await each.speak_out()
        assert logs(tmp_path) == []

    asyncio.run(delete())


def test_a_line_on_its_way_while_its_task_is_deleted_begins_no_log_anew(speaker, tmp_path):
    async def delete():
        each = speaker()
        each.hub.is_away = True
        each.submit("t")

        async def was_tried():
            return "append" in each.hub.asked

        await each.speak(was_tried)
        each.end("t")
        each.delete("t")
        each.hub.is_away = False
        await each.speak_out()
        assert logs(tmp_path) == []

    asyncio.run(delete())


def test_a_new_task_under_the_id_of_a_deleted_one_has_its_own_log_also_where_the_hub_was_away(speaker):
    async def submit_again():
        each = speaker()
        each.submit("t")
        each.end("t")
        await each.speak_out()
        assert len(await each.hub.messages("t")) == 2
        each.hub.is_away = True
        each.delete("t")
        each.submit("t")
        each.hub.is_away = False
        await each.speak_out()
        assert await each.hub.messages("t") == ["training task accepted"]

    asyncio.run(submit_again())


def test_a_log_can_be_deleted_while_the_disk_takes_no_lines(speaker, tmp_path):
    async def make_room():
        each = speaker()
        await each.hub.hub.append("old", "a", [LogDraft(1, 1.0, "INFO", "line")])
        each.hub.has_room = False
        each.submit("waiting")
        each.supervisor._logs.forget("old")

        async def is_gone():
            return logs(tmp_path) == []

        await each.speak(is_gone)
        each.hub.has_room = True
        await each.speak_out()
        assert await each.hub.messages("waiting") == ["training task accepted"]

    asyncio.run(make_room())


def test_a_log_can_be_deleted_while_a_record_waits_for_room(speaker, tmp_path, monkeypatch):
    async def make_room():
        each = speaker()
        await each.hub.hub.append("old", "a", [LogDraft(1, 1.0, "INFO", "line")])
        monkeypatch.setattr(each.supervisor._logs, "_written", lambda _task_id: asyncio.sleep(60))
        each.submit("waiting")
        telling = asyncio.create_task(each.supervisor._speak())
        await asyncio.sleep(0)
        each.supervisor._logs.forget("old")

        async def is_gone():
            return logs(tmp_path) == []

        await each.speak(is_gone)
        telling.cancel()

    asyncio.run(make_room())


def test_a_refused_task_leaves_no_log_although_somebody_ended_it_meanwhile(speaker, tmp_path, monkeypatch):
    async def refuse():
        each = speaker()
        durable = Future()
        monkeypatch.setattr(each.supervisor._writer, "accept", lambda _task: durable)
        commands = each.supervisor._apply(te.TaskSubmitted(make_submission("t")))
        accepting = asyncio.create_task(each.supervisor._accept("t", commands))
        await asyncio.sleep(0)
        each.end("t")
        durable.set_exception(StoreUnavailableError("database or disk is full"))
        with pytest.raises(StoreUnavailableError):
            await accepting
        await each.speak_out()
        assert logs(tmp_path) == []

    asyncio.run(refuse())


def test_a_task_can_be_deleted_before_its_acceptance_is_on_disk(speaker, tmp_path):
    async def delete():
        each = speaker()
        each.supervisor._apply(te.TaskSubmitted(make_submission("t")))
        each.end("t")
        each.delete("t")
        await each.speak_out()
        assert logs(tmp_path) == []

    asyncio.run(delete())
