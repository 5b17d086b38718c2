"""What a model's name in a request means, and that the table it is looked up in follows the registry."""

import asyncio
from dataclasses import replace

import pytest
from fastapi.exceptions import RequestValidationError

from actors.core.errors import ModelNotFoundError
from actors.registry.records import LoadReport, Precision
from serve_app.model_table import FollowedModels
from serve_app.ports import NotReadyError
from tests.fake_serving import make_version
from tests.fakes import START

pytestmark = pytest.mark.anyio


async def test_a_bare_name_means_no_version_that_was_not_checked_while_there_is_another(models):
    load = LoadReport("cpu", Precision.FLOAT32, True, "forced", 0.0, 0.8, 23_000_000, START)
    checked = [replace(make_version(version=number), loads=(load,)) for number in (1, 2)]
    await models.put(*checked, make_version(version=3))
    assert (await FollowedModels(models).resolve("drones")).version.served.version == 2


async def test_a_bare_name_means_production_and_else_the_newest(models):
    followed = FollowedModels(models)
    await models.put(make_version(version=1), make_version(version=2))
    found = await followed.resolve("drones")
    assert (found.version.served.version, found.alias) == (2, "")
    await models.put(make_version(version=3), aliases={"production": 1})
    await followed.refresh()
    found = await followed.resolve("drones")
    assert (found.version.served.version, found.alias) == (1, "production")


@pytest.mark.parametrize(("text", "number", "alias"), [("drones@2", 2, ""), ("drones@v2", 2, ""), ("drones@old", 1, "old")])
async def test_a_version_or_an_alias_is_meant_as_named(models, text, number, alias):
    await models.put(make_version(version=1), make_version(version=2), aliases={"old": 1})
    found = await FollowedModels(models).resolve(text)
    assert (found.version.served.version, found.alias) == (number, alias)


@pytest.mark.parametrize("text", ["", "@1", "drones@", "a/b", ".hidden", "drones@1@2", "x" * 65, "drones\n"])
async def test_what_is_no_name_at_all_is_a_wrong_field(models, text):
    with pytest.raises(RequestValidationError) as caught:
        await FollowedModels(models).resolve(text, loc=("path", "name"))
    assert caught.value.errors()[0]["loc"] == ("path", "name")


async def test_a_name_that_nobody_has_is_not_found(models):
    with pytest.raises(ModelNotFoundError, match="there are no models"):
        await FollowedModels(models).resolve("drones")


async def test_changes_of_others_come_by_themselves(models):
    followed = FollowedModels(models)
    await followed.table()
    await models.put(make_version())
    async with asyncio.timeout(5):
        while not (await followed.table()).models:  # noqa: ASYNC110 - the change is on its way and tells nobody
            await asyncio.sleep(0)


async def test_the_last_table_serves_on_while_the_registry_is_away(models):
    followed = FollowedModels(models)
    await models.put(make_version())
    await followed.refresh()
    models.is_ready = False
    assert (await followed.resolve("drones")).version.served.version == 1
    with pytest.raises(NotReadyError):
        await followed.refresh()
