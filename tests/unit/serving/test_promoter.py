"""Promotion over real engines that hold one version each: nobody's request fails, and whatever fails is put back."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from actors.core.errors import ModelCheckError
from actors.online.engine import OnlineEngine
from actors.online.footprint import expect_footprint
from actors.online.orders import PredictAnswer, PrepareOrder, PrepareReport
from actors.registry.records import RegisterModel, SetAlias
from serve_app.model_table import FollowedModels
from serve_app.ports import NotReadyError
from serve_app.promotion import Promoter
from tests.fake_serving import FakeModels, FakePredictor, make_version
from tests.unit.online.versions import OPTIONS, Engines, order_of, picture, write_version

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    return {number: replace(make_version(version=number), served=write_version(folder, number)) for number in (1, 2)}


class TightReplicas:
    """``PredictorPort`` over two engines with room for one version, which take turns; tells what they held at each preparation."""

    def __init__(self, versions) -> None:
        self.prepared: list[tuple[str, dict[str, list[int]]]] = []
        self._engines = Engines()
        one = expect_footprint(versions[1].served, OPTIONS.max_batch)
        budget = one.weights_bytes * 3 // 2 + one.working_bytes
        self.engines: dict[str, OnlineEngine] = {each: self._engines(each, budget_bytes=budget) for each in "ab"}
        self._turn = 0

    async def predict(self, order) -> PredictAnswer:
        self._turn += 1
        return await self.engines["ab"[self._turn % 2]].predict(order)

    async def prepare(self, order: PrepareOrder) -> Sequence[PrepareReport]:
        self.prepared.append((order.only_replica, self.held()))
        return await asyncio.gather(*(engine.prepare(order) for engine in self.engines.values()))

    async def free(self, name, version) -> None:
        await asyncio.gather(*(engine.free(name, version) for engine in self.engines.values()))

    def held(self) -> dict[str, list[int]]:
        return {replica_id: [each.version for each in engine.loaded()] for replica_id, engine in self.engines.items()}

    def loads(self) -> list[int]:
        return sorted(note.version for note in self._engines.notes)

    def close(self) -> None:
        self._engines.close()


class World:
    """Two versions, of which production means the first, and requests for production all the while."""

    def __init__(self, versions) -> None:
        self.models = FakeModels()
        self.replicas = TightReplicas(versions)
        self.followed = FollowedModels(self.models)
        self.promoter = Promoter(self.models, self.replicas, self.followed)
        self.answers: list[PredictAnswer] = []
        self._versions = versions
        self._is_over = False

    async def begin(self, **aliases) -> "asyncio.Task[None]":
        await self.models.put(*self._versions.values(), aliases={"production": 1, **aliases})
        await self.replicas.prepare(PrepareOrder(self._versions[1].served))
        self.replicas.prepared.clear()
        return asyncio.create_task(self._ask())

    async def end(self, asking: "asyncio.Task[None]") -> None:
        """Let one more request through each replica, and the last one; a request that failed fails the test here."""
        answered = len(self.answers)
        while len(self.answers) < answered + 3 and not asking.done():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        self._is_over = True
        await asking

    async def _ask(self) -> None:
        while not self._is_over:
            resolved = await self.followed.resolve("drones")
            order = order_of(resolved.version.served, picture(0), picture(1), may_follow=bool(resolved.alias))
            self.answers.append(await self.replicas.predict(order))


@pytest.fixture
def world(versions):
    made = World(versions)
    yield made
    made.replicas.close()


async def confidences(engines, model):
    """What a version says of the pictures that are asked for."""
    answer = await engines.predict(order_of(model, picture(0), picture(1)))
    return [each.confidence for each in answer.predictions]


def stop_in_b(world, monkeypatch, hold=None):
    """Let version 2 fail its load in the second replica, or wait there."""
    held = world.replicas.engines["b"]._versions
    load = held._load_version

    def stop(model):
        if model.version == 2 and hold is None:
            raise ModelCheckError("drones@2", "it is bad")
        if model.version == 2:
            assert hold.wait(60)
        return load(model)

    monkeypatch.setattr(held, "_load_version", stop)


async def test_in_tight_memory_replicas_change_one_after_the_other_and_no_request_fails_or_mixes(world, versions):
    asking = await world.begin()
    exact = {1: await confidences(world.replicas, versions[1].served)}
    await world.promoter.promote("drones", "production", 2)
    await world.end(asking)
    exact[2] = await confidences(world.replicas, versions[2].served)
    assert world.replicas.prepared == [
        ("", {"a": [1], "b": [1]}),
        ("a", {"a": [1], "b": [1]}),
        ("b", {"a": [2], "b": [1]}),
    ]
    assert (world.replicas.held(), world.replicas.loads()) == ({"a": [2], "b": [2]}, [1, 1, 2, 2])
    assert {answer.version for answer in world.answers} == {1, 2}
    assert {answer.version for answer in world.answers[-2:]} == {2}
    for answer in world.answers:
        assert [each.confidence for each in answer.predictions] == pytest.approx(exact[answer.version], abs=0.01)
    assert exact[1] != pytest.approx(exact[2], abs=0.01)


@pytest.mark.parametrize("aliases", [{}, {"candidate": 2}], ids=["alone", "aliased"])
async def test_a_check_that_fails_in_the_second_replica_puts_everything_back(world, versions, monkeypatch, aliases):
    asking = await world.begin(**aliases)
    stop_in_b(world, monkeypatch)
    with pytest.raises(ModelCheckError, match="replica b: it is bad"):
        await world.promoter.promote("drones", "production", 2)
    await world.end(asking)
    assert world.replicas.held() == {"a": [1], "b": [1]}
    assert world.models.table.models["drones"].aliases == {"production": 1, **aliases}
    assert {answer.version for answer in world.answers[-2:]} == {1}
    # Who means the new version by an alias of its own gets it, in the replica that had changed already.
    assert (await world.replicas.engines["a"].predict(order_of(versions[2].served, may_follow=True))).version == 2


async def test_a_caller_who_goes_away_half_way_leaves_no_replica_changed(world, monkeypatch):
    hold = threading.Event()
    asking = await world.begin()
    stop_in_b(world, monkeypatch, hold)
    promoting = asyncio.create_task(world.promoter.promote("drones", "production", 2))
    async with asyncio.timeout(60):
        while world.replicas.held() != {"a": [2], "b": []}:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
        promoting.cancel()
        while not world.promoter._going_on:  # noqa: ASYNC110 - as before
            await asyncio.sleep(0)
    promoting.cancel()  # once more, while things are put back
    putting_back = list(world.promoter._going_on)
    hold.set()
    with pytest.raises(asyncio.CancelledError):
        await promoting
    await asyncio.gather(*putting_back)
    await world.end(asking)
    assert world.replicas.held() == {"a": [1], "b": [1]}
    assert {answer.version for answer in world.answers[-2:]} == {1}


async def test_a_new_version_and_a_new_alias_do_not_evict_what_the_bare_name_means(world, versions, monkeypatch):
    await world.models.put(versions[1], aliases={"production": 1})
    await world.replicas.prepare(PrepareOrder(versions[1].served))

    async def register(_wish):
        await world.models.put(versions[2])
        return versions[2]

    monkeypatch.setattr(world.models, "register", register)
    _, unchecked = await world.promoter.register(RegisterModel("drones", task_id="t"))
    assert unchecked.startswith("not checked yet: no replica has room")
    with pytest.raises(ModelCheckError, match="no room for it beside what it serves"):
        await world.promoter.promote("drones", "candidate", 2)
    assert (world.replicas.held(), world.replicas.loads()) == ({"a": [1], "b": [1]}, [1, 1])


class TestAnswersThatGetLost:
    """The registry does not answer to the change of an alias."""

    @pytest.fixture
    async def models(self):
        models = FakeModels()
        await models.put(make_version(version=1), make_version(version=2), aliases={"production": 1})
        return models

    async def test_a_change_that_was_made_all_the_same_is_a_success(self, models, monkeypatch):
        predictor, change = FakePredictor(), models.set_alias

        async def change_and_get_lost(wish: SetAlias):
            await change(wish)
            raise NotReadyError("registry")

        monkeypatch.setattr(models, "set_alias", change_and_get_lost)
        entry = await Promoter(models, predictor, FollowedModels(models)).promote("drones", "production", 2)
        assert (entry.aliases, predictor.freed) == ({"production": 2}, [("drones", 1)])

    async def test_a_change_that_was_not_made_is_put_back(self, models, monkeypatch):
        predictor = FakePredictor()
        predictor.states = {"a": "no_room"}

        async def get_lost(_wish):
            raise NotReadyError("registry")

        monkeypatch.setattr(models, "set_alias", get_lost)
        with pytest.raises(NotReadyError):
            await Promoter(models, predictor, FollowedModels(models)).promote("drones", "production", 2)
        assert [(order.model.version, order.only_replica) for order in predictor.prepared] == [(2, ""), (2, "a"), (1, "a")]
        assert predictor.freed == [("drones", 2)]
