"""Pages of configured origins, as browsers let them act: they submit, follow logs and read every answer, errors too."""

import pytest

from actors.core.model import GIB
from configs.settings import Settings
from serve_app.app import create_app
from serve_app.context import Ports
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks, make_line
from tests.http import bodies
from tests.http.stream import open_stream

pytestmark = pytest.mark.anyio
PAGE = "http://127.0.0.1:5173"
OTHER = "http://127.0.0.1:9999"


@pytest.fixture
def settings():
    return Settings(cors_origins=(PAGE,))


@pytest.fixture(scope="session")
def built_app():
    nothing = Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor())
    return create_app(nothing, Settings(cors_origins=(PAGE,)))


def from_page(**headers):
    return {"origin": PAGE, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"} | headers


def allowed(answer):
    return answer.headers.get("access-control-allow-origin")


async def test_a_page_asks_first_and_then_submits_a_training(client, tasks):
    asked = await client.options(
        "/api/v2/train",
        headers=from_page(**{"access-control-request-method": "POST", "access-control-request-headers": "content-type"}),
    )
    assert (asked.status_code, allowed(asked)) == (200, PAGE)
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "content-type" in asked.headers["access-control-allow-headers"].lower()
    answer = await client.post("/api/v2/train", json=bodies.training(task_id="t1"), headers=from_page())
    assert (answer.status_code, allowed(answer)) == (200, PAGE)
    assert "origin" in answer.headers["vary"].lower()
    assert [each.task_id for each in tasks.submissions] == ["t1"]


async def test_a_page_of_another_origin_may_neither_ask_nor_submit(client, tasks):
    headers = from_page(origin=OTHER)
    asked = await client.options("/api/v2/train", headers=headers | {"access-control-request-method": "POST"})
    assert allowed(asked) is None
    answer = await client.post("/api/v2/train", json=bodies.training(), headers=headers)
    assert (answer.status_code, allowed(answer), tasks.submissions) == (403, None, [])


async def test_a_page_follows_a_log_with_an_event_source(app, client, tasks, logs):
    """EventSource sends no preflight and no headers of its own, and hands the page events without a name."""
    await client.post("/api/v2/train", json=bodies.training(task_id="t1"))
    tasks.grant("t1", "cuda:0", memory_bytes=GIB)
    await logs.write("t1", make_line("epoch 1", stage="epoch_end"))
    headers = {"origin": PAGE, "accept": "text/event-stream", "sec_fetch_site": "same-site", "sec_fetch_mode": "cors"}
    async with open_stream(app, "/api/v2/train/t1/logs", **headers) as viewer:
        assert (await viewer.next_record())[1]["message"] == "epoch 1"
        assert viewer.headers["access-control-allow-origin"] == PAGE
        assert viewer.headers["content-type"].startswith("text/event-stream")


async def test_a_page_follows_what_happens(app):
    async with open_stream(app, "/api/v2/events", origin=PAGE) as viewer:
        assert (await viewer._chunks.get()) is not None
        assert viewer.headers["access-control-allow-origin"] == PAGE


async def test_a_page_that_follows_events_may_send_its_key_and_where_it_was(client):
    wanted = "x-api-key,last-event-id"
    asked = await client.options(
        "/api/v2/events", headers=from_page(**{"access-control-request-method": "GET", "access-control-request-headers": wanted})
    )
    granted = asked.headers["access-control-allow-headers"].lower()
    assert asked.status_code == 200
    assert all(name in granted for name in wanted.split(","))


@pytest.mark.parametrize(
    ("path", "status"), [("/api/v2/tasks/none", 404), ("/api/v2/tasks?limit=0", 422), ("/nothing", 404), ("/api/v2/predict", 405)]
)
async def test_a_page_can_read_what_it_did_wrong(client, path, status):
    answer = await client.get(path, headers=from_page())
    assert (answer.status_code, allowed(answer)) == (status, PAGE)


@pytest.mark.usefixtures("keys")
async def test_a_page_can_read_that_it_needs_a_key(client):
    answer = await client.get("/api/v2/tasks", headers=from_page())
    assert (answer.status_code, allowed(answer)) == (401, PAGE)


async def test_a_page_can_read_that_a_component_is_away_and_when_to_ask_again(client, tasks):
    tasks.is_ready = False
    answer = await client.get("/api/v2/tasks", headers=from_page())
    assert (answer.status_code, allowed(answer)) == (503, PAGE)
    assert "retry-after" in answer.headers["access-control-expose-headers"].lower()


async def test_a_page_can_read_of_a_fault_of_the_service(client, tasks, monkeypatch):
    async def fail(query):
        raise ZeroDivisionError

    monkeypatch.setattr(tasks, "list_page", fail)
    answer = await client.get("/api/v2/tasks", headers=from_page())
    assert (answer.status_code, allowed(answer)) == (500, PAGE)
    assert answer.json()["code"] == "internal_error"
