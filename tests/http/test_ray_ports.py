"""How calls to actors go wrong, and what the routes get to see of it. No Ray is started: the handles are plain objects."""

import asyncio
import pickle

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from actors.core.errors import TaskNotFoundError
from actors.messages import EncodedPage, TaskPage, TaskQuery
from serve_app import named_actor
from serve_app.named_actor import NamedActor
from serve_app.ports import NotReadyError
from serve_app.ray_ports import RayLogs, RayTasks

pytestmark = pytest.mark.anyio

DIED = ActorDiedError()
UNAVAILABLE = ActorUnavailableError("restarting", None)
SILENCE = object()


class FakeHandle:
    """An actor handle whose every method answers from one script: values are returned, errors raised, ``SILENCE`` never ends."""

    def __init__(self, *script):
        self.script = list(script)
        self.calls = []

    def __getattr__(self, method):
        return FakeMethod(self, method)


class FakeMethod:
    def __init__(self, handle, name):
        self.handle, self.name = handle, name

    async def remote(self, *args):
        self.handle.calls.append((self.name, *args))
        answer = self.handle.script.pop(0)
        if answer is SILENCE:
            await asyncio.Event().wait()
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def found(monkeypatch):
    """The handles that a search by name finds, one after the other."""
    handles = []

    def find(name, namespace):
        assert (name, namespace) == ("part", "rfuav")
        if not handles:
            raise ValueError("no such actor")
        return handles[0] if len(handles) == 1 else handles.pop(0)

    monkeypatch.setattr(named_actor.ray, "get_actor", find)
    monkeypatch.setattr(named_actor, "RESTART_PAUSE_S", 0)
    return handles


def raised_inside(error):
    """How Ray brings what a method raised."""
    return RayTaskError("method", "traceback", error).as_instanceof_cause()


async def test_an_answer_comes_back_as_it_is(found):
    found.append(handle := FakeHandle(1, 2))
    actor = NamedActor("part")
    assert [await actor.ask("one", 7), await actor.ask("two")] == [1, 2]
    assert handle.calls == [("one", 7), ("two",)]


async def test_an_error_of_the_domain_comes_out_as_it_was_raised(found):
    found.append(FakeHandle(raised_inside(TaskNotFoundError("t1"))))
    with pytest.raises(TaskNotFoundError) as caught:
        await NamedActor("part").ask("get", "t1")
    assert (type(caught.value), caught.value.task_id) == (TaskNotFoundError, "t1")


async def test_an_actor_that_only_passes_on_a_death_is_not_ready(found):
    found.append(FakeHandle(raised_inside(DIED)))
    with pytest.raises(NotReadyError):
        await NamedActor("part").ask("submit", is_repeatable=False)


async def test_a_restart_is_hidden_by_asking_again(found):
    found.append(handle := FakeHandle(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, "back"))
    assert await NamedActor("part").ask("get") == "back"
    assert len(handle.calls) == 4


async def test_a_dead_actor_is_looked_up_again(found):
    found += [FakeHandle(DIED), FakeHandle("new")]
    assert await NamedActor("part").ask("get") == "new"


async def test_an_actor_that_stays_away_is_not_asked_for_ever(found, monkeypatch):
    monkeypatch.setattr(named_actor, "RESTART_PATIENCE_S", 0)
    found.append(handle := FakeHandle(UNAVAILABLE, "too late"))
    with pytest.raises(NotReadyError, match="the part does not answer"):
        await NamedActor("part").ask("get")
    assert handle.script == ["too late"]


async def test_what_must_not_happen_twice_is_not_repeated(found):
    found.append(handle := FakeHandle(UNAVAILABLE, "done twice"))
    with pytest.raises(NotReadyError):
        await NamedActor("part").ask("end", is_repeatable=False)
    assert handle.script == ["done twice"]


async def test_a_silent_actor_is_not_ready_in_time_and_not_asked_again(found):
    found.append(handle := FakeHandle(SILENCE, "late"))
    with pytest.raises(NotReadyError):
        await NamedActor("part").ask("get", timeout_s=0.01)
    assert handle.script == ["late"]


async def test_an_actor_that_was_never_there_is_not_ready(found):
    with pytest.raises(NotReadyError):
        await NamedActor("part").ask("get")


async def test_ports_ask_with_the_arguments_that_actors_take(found):
    found.append(handle := FakeHandle(EncodedPage((pickle.dumps("a task"),), "next"), 1))
    query = TaskQuery(limit=5)
    assert await RayTasks(NamedActor("part")).list_page(query) == TaskPage(("a task",), "next")
    await RayLogs(NamedActor("part")).read("t1", after=3, limit=10, wait_s=0.5)
    assert handle.calls == [("list_page", query), ("read", "t1", 3, 10, 0.5)]


async def test_figures_are_asked_for_once_so_that_an_absence_is_told_at_once(found):
    found.append(handle := FakeHandle(UNAVAILABLE, 1))
    with pytest.raises(NotReadyError):
        await RayTasks(NamedActor("part")).counters()
    assert handle.calls == [("counters",)]
