"""Who is let in where every request comes from this machine, as HAProxy makes it look."""

import pytest

from configs.settings import Settings
from tests.http.callers import error_code, sent

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings():
    return Settings(nodes="several")


async def test_without_keys_nobody_is_taken_for_a_user_of_this_machine(client):
    assert error_code(await client.get("/api/v2/tasks")) == (401, "key_required")
    assert (await client.get("/api/v1/health")).status_code == 200


async def test_a_key_opens_as_ever(client, keys):
    assert (await client.get("/api/v2/tasks", headers=sent(next(iter(keys.values()))))).status_code == 200
