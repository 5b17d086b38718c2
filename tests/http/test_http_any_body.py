"""No body, whatever it holds, makes the service fail: every answer is a success or a 4xx in the one form."""

import json

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import Settings
from serve_app.app import create_app
from serve_app.context import Ports, Service
from serve_app.cpu_meter import CpuMeter
from serve_app.log_feed import LogFeed
from serve_app.schemas.tasks import ErrorResponse
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks
from tests.http import bodies

ROUTES = {
    "/api/v2/training/start": bodies.training(),
    "/api/v1/train": bodies.training(),
    "/api/v2/inference/start": bodies.inference(),
    "/api/v2/inference/batch": bodies.batch(2),
    "/api/v2/resources/config": {"max_concurrent": {"cpu": {"training": 1}}},
}
FIELDS = sorted(
    {name for body in ROUTES.values() for name in body} | {"task_id", "name", "device", "seed", "amp", "keep_checkpoints"}
)
TEXTS = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["cpu", "cuda:0", "..", "\0", "\ud800", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6)


@pytest.fixture(scope="module")
def app():
    return create_app(
        Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor()), Settings()
    )


async def post(app, path, body):
    tasks, logs = FakeTasks(), FakeLogs()
    app.state.service = Service(
        Ports(tasks, logs, FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor()),
        Settings(),
        LogFeed(logs, tasks),
        CpuMeter(),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(sorted(ROUTES)), changes=st.dictionaries(st.sampled_from(FIELDS) | TEXTS, VALUES, max_size=3))
def test_a_changed_body_is_taken_or_clearly_refused(app, path, changes):
    answer = anyio.run(post, app, path, ROUTES[path] | changes)
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500
        ErrorResponse(**answer.json())
