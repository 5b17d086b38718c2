"""The cache of predictions: what makes two requests the same, how much is kept, and what is never kept."""

from dataclasses import replace

import pytest

from actors.core.errors import ServingFullError
from actors.learning.prediction_files import Prediction, failed_prediction
from actors.online.orders import Content, PredictAnswer, PredictOrder, Timing
from actors.registry.records import Precision
from configs.settings import Settings
from serve_app import prediction_cache
from serve_app.prediction_cache import PredictionCache
from tests.fake_serving import make_served, make_version

pytestmark = pytest.mark.anyio

PREDICT = "/api/v2/predict"
PNG = {"content-type": "image/png"}


@pytest.fixture
def settings(tmp_path):
    return Settings(prediction_cache_mb=1, state_dir=tmp_path)


@pytest.fixture
def cache():
    return PredictionCache(10_000)


def make_order(data=b"picture", *, file="a.png", version=1, top_k=5, **parts):
    return PredictOrder(make_served(version=version), (Content(file, "picture", data, **parts),), top_k)


def make_answer(order, *rows):
    row = Prediction(order.contents[0].file, "AVATA", 99.0, (("AVATA", 99.0),))
    return PredictAnswer(*order.model.key, "cpu:0", Precision.FLOAT32, "replica-1", rows or (row,), Timing(0.0, 0.0, 0.0, (1,)))


async def keep(cache, order, answer=None):
    cache.keep(await cache.key_of(order), order, answer or make_answer(order))


async def is_known(cache, order):
    return cache.find(await cache.key_of(order)) is not None


class TestOverHttp:
    @pytest.fixture(autouse=True)
    async def registered(self, models):
        await models.put(make_version(version=1), make_version(version=2), aliases={"production": 1})

    async def post(self, client, content=b"picture", **params):
        return (await client.post(PREDICT, params=params, content=content, headers=PNG)).json()

    async def test_what_was_sent_before_is_answered_from_memory_and_says_so(self, client, predictor):
        first = await self.post(client)
        again = await self.post(client, model="drones@1")
        assert (first["cached"], again["cached"], len(predictor.orders)) == (False, True, 1)
        assert again["predictions"] == first["predictions"]

    @pytest.mark.parametrize("change", [{"content": b"other"}, {"model": "drones@2"}, {"top_k": 1}])
    async def test_everything_that_shapes_the_answer_counts(self, client, predictor, change):
        await self.post(client)
        assert (await self.post(client, **change))["cached"] is False
        assert len(predictor.orders) == 2

    async def test_a_promotion_is_seen_at_once(self, client, models, app):
        await self.post(client)
        await models.put(make_version(version=2), aliases={"production": 2})
        await app.state.service.models.refresh()
        answer = await self.post(client)
        assert (answer["version"], answer["cached"]) == (2, False)

    async def test_an_error_is_not_kept(self, client, predictor):
        predictor.error = ServingFullError("full")
        await self.post(client)
        predictor.error = None
        assert (await self.post(client))["cached"] is False

    async def test_recordings_are_computed_each_time(self, client, models, predictor):
        await models.put(make_version("iq", recipe={"pipeline": "native"}))
        for _ in range(2):
            raw = {"content-type": "application/octet-stream"}
            answer = await client.post(PREDICT, params={"model": "iq"}, content=b"samples", headers=raw)
            assert answer.json()["cached"] is False
        assert len(predictor.orders) == 2


class TestKeeping:
    async def test_a_size_of_zero_keeps_nothing(self):
        cache = PredictionCache(0)
        await keep(cache, make_order())
        assert not await is_known(cache, make_order())

    async def test_the_name_of_a_file_shapes_its_answer(self, cache):
        await keep(cache, make_order())
        assert await is_known(cache, make_order())
        assert not await is_known(cache, make_order(file="b.png"))

    async def test_moving_bytes_from_one_picture_to_the_next_makes_another_request(self, cache):
        def two(first, second):
            return replace(make_order(), contents=(Content("a", "picture", first), Content("a", "picture", second)))

        await keep(cache, two(b"12", b"3"))
        assert not await is_known(cache, two(b"1", b"23"))

    async def test_the_answers_used_last_stay_within_the_bound(self, cache):
        orders = [make_order(bytes([number])) for number in range(10)]
        for order in orders:
            await keep(cache, order)
            assert await is_known(cache, orders[0]), "it is asked for all the time"
            assert cache.size_bytes <= 10_000
        known = [await is_known(cache, order) for order in orders]
        assert known[0]
        assert known[-1]
        assert not all(known)

    async def test_an_answer_larger_than_the_cache_is_not_kept(self):
        cache = PredictionCache(1_000)
        await keep(cache, make_order())
        assert cache.size_bytes == 0

    async def test_an_answer_of_another_version_is_not_kept_for_this_one(self, cache):
        order = make_order()
        await keep(cache, order, make_answer(make_order(version=2)))
        assert not await is_known(cache, order)

    async def test_a_row_with_an_error_may_come_out_well_another_time(self, cache):
        order = make_order()
        await keep(cache, order, make_answer(order, failed_prediction("a.png", "no memory")))
        assert not await is_known(cache, order)

    async def test_pictures_on_the_disk_are_not_kept(self, cache, tmp_path):
        order = make_order(b"", path=tmp_path / "a.png")
        await keep(cache, order)
        assert cache.size_bytes == 0

    async def test_large_pictures_are_hashed_in_a_thread_to_the_same_key(self, cache, monkeypatch):
        order = make_order(b"x" * 100)
        here = await cache.key_of(order)
        monkeypatch.setattr(prediction_cache, "_HASH_HERE_BYTES", 10)
        assert await cache.key_of(order) == here
