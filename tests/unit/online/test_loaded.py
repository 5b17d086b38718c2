"""Versions are loaded once, evicted by memory and never under work, and swapped without a moment in which nobody answers."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch

from actors.core.errors import ModelCheckError
from actors.online.footprint import Footprint, expect_footprint, total_bytes
from actors.online.loaded import FOLLOWING_S, LoadedVersions, NoRoomError
from actors.online.loading import Load, LoadTerms, load_version
from actors.registry.records import ServingWish
from tests.unit.online.versions import write_version

TERMS = LoadTerms(torch.device("cpu"), max_batch=2, wish=ServingWish(optimise=False))


def no_pause():
    ended = Future()
    ended.set_result(None)
    return ended


class Shelf:
    """Versions in memory, with room for two of them, and the loads that were done."""

    def __init__(self, versions, *, room=2.0) -> None:
        self.loads = Counter()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        #: Versions that fail their loads, and those that do not fit into the device's memory, with how often.
        self.bad, self.too_much = set(), Counter()
        one = expect_footprint(versions[1], TERMS.max_batch)
        self.held = LoadedVersions(
            self._load,
            expect=lambda model: expect_footprint(model, TERMS.max_batch),
            budget_bytes=int(room * one.weights_bytes) + one.working_bytes,
            pause=no_pause,
        )

    def _load(self, model) -> Load:
        self.loads[model.version] += 1
        self.entered.release()
        assert self.gate.wait(60)
        if model.version in self.bad:
            raise ModelCheckError("drones", "it is bad")
        if self.too_much[model.version]:
            self.too_much[model.version] -= 1
            raise torch.OutOfMemoryError
        return load_version(model, TERMS)

    async def wait_for_load(self):
        assert await asyncio.to_thread(self.entered.acquire, timeout=60)

    def versions(self):
        return [each.version for each in self.held.loaded()]

    async def touch(self, model, **options):
        async with self.held.use(model, **options) as version:
            return version.model.version


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    return {number: write_version(folder, number) for number in range(1, 5)}


@pytest.fixture
def shelf(versions):
    made = Shelf(versions)
    yield made
    made.gate.set()
    made.held.close()


@pytest.fixture
def tight(versions):
    """Room for one version only."""
    made = Shelf(versions, room=1.5)
    yield made
    made.gate.set()
    made.held.close()


def test_concurrent_requests_wait_for_one_load(shelf, versions):
    async def run():
        assert await asyncio.gather(*(shelf.touch(versions[1]) for _ in range(10))) == [1] * 10

    asyncio.run(run())
    assert shelf.loads == {1: 1}
    assert shelf.held.loaded()[0].requests == 10


def test_who_stops_waiting_does_not_end_the_load_of_others(shelf, versions):
    async def run():
        shelf.gate.clear()
        impatient, patient = (asyncio.create_task(shelf.touch(versions[1])) for _ in range(2))
        await shelf.wait_for_load()
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        shelf.gate.set()
        assert await patient == 1

    asyncio.run(run())
    assert shelf.loads == {1: 1}


def test_the_least_recently_used_leave_by_memory(shelf, versions):
    async def run():
        for number in (1, 2, 1, 3):
            await shelf.touch(versions[number])

    asyncio.run(run())
    assert shelf.versions() == [1, 3]
    assert shelf.held.memory_bytes() <= shelf.held._budget_bytes


def test_the_memory_that_versions_share_is_told_of_none_of_them(shelf, versions):
    async def run():
        for number in (1, 2):
            await shelf.touch(versions[number])

    asyncio.run(run())
    told = [each.memory_bytes for each in shelf.held.loaded()]
    working = expect_footprint(versions[1], TERMS.max_batch).working_bytes
    assert min(told) > 0
    assert sum(told) == shelf.held.memory_bytes() - working


def test_as_many_versions_stay_as_memory_holds(versions):
    shelf = Shelf(versions, room=4)

    async def run():
        for number in (1, 2, 3, 4):
            await shelf.touch(versions[number])

    asyncio.run(run())
    shelf.held.close()
    assert shelf.versions() == [1, 2, 3, 4]


def test_a_version_with_work_under_way_is_never_dropped_and_an_idle_one_goes_before_it(shelf, versions):
    async def run():
        async with shelf.held.use(versions[1]):
            await shelf.touch(versions[2])
            await shelf.touch(versions[3])
            assert shelf.versions() == [1, 3]

    asyncio.run(run())


def test_where_all_have_work_a_new_version_waits_for_the_end_of_one_and_gets_its_turn(tight, versions):
    async def run():
        async with tight.held.use(versions[1]):
            other = asyncio.create_task(tight.touch(versions[2]))
            again = asyncio.create_task(tight.touch(versions[1]))
            await asyncio.sleep(0)
        assert await asyncio.gather(other, again) == [2, 1]

    asyncio.run(run())


def test_two_versions_that_do_not_fit_together_both_answer_all_requests(tight, versions):
    async def run():
        wanted = [1, 2] * 8
        assert await asyncio.gather(*(tight.touch(versions[number]) for number in wanted)) == wanted

    asyncio.run(run())
    assert sum(tight.loads.values()) <= 4


def test_a_version_that_is_larger_than_the_budget_is_an_error_that_says_so(versions):
    shelf = Shelf(versions, room=0.5)
    with pytest.raises(ModelCheckError, match=r"a replica may hold .* serving_memory_gb") as caught:
        asyncio.run(shelf.touch(versions[1]))
    assert not isinstance(caught.value, NoRoomError)
    assert not shelf.loads


def test_a_failed_load_is_told_to_all_who_wait_and_the_next_request_tries_again(shelf, versions):
    async def run():
        shelf.bad.add(1)
        failures = await asyncio.gather(*(shelf.touch(versions[1]) for _ in range(3)), return_exceptions=True)
        assert [str(each) for each in failures] == ["model 'drones': it is bad"] * 3
        shelf.bad.clear()
        assert await shelf.touch(versions[1]) == 1

    asyncio.run(run())
    assert shelf.loads == {1: 2}


def test_memory_that_runs_out_all_the_same_has_the_least_needed_version_leave(shelf, versions):
    async def run():
        await shelf.touch(versions[1])
        shelf.too_much[2] = 1
        await shelf.touch(versions[2])

    asyncio.run(run())
    assert shelf.versions() == [2]
    assert shelf.loads == {1: 1, 2: 2}


def test_freeing_waits_for_what_is_under_way_and_later_requests_load_anew(shelf, versions):
    async def run():
        async with shelf.held.use(versions[1]):
            freeing = asyncio.create_task(shelf.held.free(("drones", 1)))
            await asyncio.sleep(0)
            assert not freeing.done()
            assert shelf.held.memory_bytes() > 0
        await freeing
        assert (shelf.versions(), shelf.held.memory_bytes()) == ([], 0)
        await shelf.touch(versions[1])

    asyncio.run(run())
    assert shelf.loads == {1: 2}


def test_freeing_what_is_not_held_or_cannot_be_loaded_is_nothing(shelf, versions):
    async def run():
        await shelf.held.free(("drones", 1))
        shelf.bad.add(1)
        shelf.gate.clear()
        loading = asyncio.create_task(shelf.touch(versions[1]))
        await shelf.wait_for_load()
        freeing = asyncio.create_task(shelf.held.free(("drones", 1)))
        await asyncio.sleep(0)
        shelf.gate.set()
        await freeing
        with pytest.raises(ModelCheckError):
            await loading

    asyncio.run(run())


def test_preparing_loads_beside_where_there_is_room(shelf, versions):
    async def run():
        await shelf.touch(versions[1])
        report = await shelf.held.prepare(versions[2], versions[1], may_free=False)
        assert report.memory_bytes > 0
        assert await shelf.held.prepare(versions[2], versions[1], may_free=False) == report

    asyncio.run(run())
    assert shelf.versions() == [1, 2]
    assert shelf.loads == {1: 1, 2: 1}


def test_preparing_without_room_frees_nothing_of_the_old_version(tight, versions):
    async def run():
        await tight.touch(versions[1])
        with pytest.raises(NoRoomError):
            await tight.held.prepare(versions[2], versions[1], may_free=False)

    asyncio.run(run())
    assert tight.versions() == [1]
    assert tight.loads == {1: 1}


def test_where_the_old_one_may_be_freed_those_who_may_follow_go_to_the_new_one(tight, versions):
    async def run():
        await tight.touch(versions[1])
        tight.gate.clear()
        swapping = asyncio.create_task(tight.held.prepare(versions[2], versions[1], may_free=True))
        await tight.wait_for_load()  # The old one's, which was counted already.
        await tight.wait_for_load()
        following = asyncio.create_task(tight.touch(versions[1], may_follow=True))
        tight.gate.set()
        await swapping
        assert await following == 2
        assert await tight.touch(versions[1], may_follow=True) == 2
        assert tight.versions() == [2]
        # Who means the old one itself gets it; and after the swap is over, everybody does.
        assert await tight.touch(versions[1]) == 1
        assert await tight.touch(versions[1], may_follow=True) == 2
        await tight.held.free(("drones", 1))
        assert await tight.touch(versions[1], may_follow=True) == 1

    asyncio.run(run())


def test_a_swap_back_ends_the_following(tight, versions):
    async def run():
        await tight.touch(versions[1])
        await tight.held.prepare(versions[2], versions[1], may_free=True)
        await tight.held.prepare(versions[1], versions[2], may_free=True)
        assert await tight.touch(versions[1], may_follow=True) == 1
        assert await tight.touch(versions[2], may_follow=True) == 2

    asyncio.run(run())


def test_a_following_ends_after_its_time_though_nobody_ends_it(tight, versions, monkeypatch):
    async def run():
        loop = asyncio.get_running_loop()
        await tight.touch(versions[1])
        await tight.held.prepare(versions[2], versions[1], may_free=True)
        assert await tight.touch(versions[1], may_follow=True) == 2
        later = loop.time() + FOLLOWING_S
        monkeypatch.setattr(loop, "time", lambda: later)
        assert await tight.touch(versions[1], may_follow=True) == 1
        # Nor does it come back, or go the other way, when the swap is put back only then.
        await tight.held.prepare(versions[1], versions[2], may_free=True)
        assert await tight.touch(versions[2], may_follow=True) == 2

    asyncio.run(run())


def test_a_version_that_is_freed_while_it_takes_the_place_of_another_is_followed_by_nobody(tight, versions):
    async def run():
        await tight.touch(versions[1])
        # It is given up before its load has its turn.
        await asyncio.gather(tight.held.prepare(versions[2], versions[1], may_free=True), tight.held.free(("drones", 2)))
        assert await tight.touch(versions[1], may_follow=True) == 1

    asyncio.run(run())


def test_a_new_version_that_fails_in_place_of_the_old_one_brings_that_back_and_nobody_fails(tight, versions):
    async def run():
        await tight.touch(versions[1])
        tight.bad.add(2)
        tight.gate.clear()
        swapping = asyncio.create_task(tight.held.prepare(versions[2], versions[1], may_free=True))
        await tight.wait_for_load()
        await tight.wait_for_load()
        following = asyncio.create_task(tight.touch(versions[1], may_follow=True))
        await asyncio.sleep(0)
        tight.gate.set()
        with pytest.raises(ModelCheckError, match="it is bad"):
            await swapping
        assert await following == 1

    asyncio.run(run())
    assert tight.versions() == [1]
    assert tight.loads == {1: 2, 2: 1}


def test_the_old_version_is_not_freed_for_one_that_could_never_fit(tight, versions, tmp_path):
    huge = write_version(tmp_path, 9, architecture="resnet18")

    async def run():
        await tight.touch(versions[1])
        with pytest.raises(ModelCheckError, match="a replica may hold"):
            await tight.held.prepare(huge, versions[1], may_free=True)

    asyncio.run(run())
    assert tight.versions() == [1]


def test_versions_share_the_memory_that_a_pass_works_with():
    assert total_bytes([Footprint(10, 5), Footprint(20, 7)]) == 37
    assert total_bytes([]) == 0


def test_larger_pictures_and_batches_are_expected_to_take_more(versions):
    small = expect_footprint(versions[1], 1).working_bytes
    assert expect_footprint(versions[1], 8).working_bytes == pytest.approx(8 * small, rel=1e-3)
    assert expect_footprint(replace(versions[1], image_size=64), 1).working_bytes == pytest.approx(4 * small, rel=1e-3)
