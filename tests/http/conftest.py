"""The application over in-memory ports, and a client that talks to it without a network."""

import httpx
import pytest

from actors.access import KeyTable, Role, mint_key
from actors.core.errors import LineFullError, SubmissionError
from configs.settings import Settings
from serve_app.app import create_app
from serve_app.context import Ports, Service
from serve_app.cpu_meter import CpuMeter
from serve_app.log_feed import LogFeed, Pace
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import START, FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks, make_device_view

BASE_URL = "http://127.0.0.1:8000"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def tasks():
    return FakeTasks()


@pytest.fixture
def logs():
    return FakeLogs()


@pytest.fixture
def resources():
    return FakeResources(make_device_view("cuda:0"), make_device_view("cuda:1"), make_device_view("cpu:0"))


@pytest.fixture
def health():
    return FakeHealth()


@pytest.fixture
def access():
    return FakeAccess()


@pytest.fixture
def settings():
    return Settings()


@pytest.fixture
def feed(logs, tasks):
    return LogFeed(logs, tasks, Pace(poll_s=0.05, turn_s=0))


@pytest.fixture
def models():
    return FakeModels()


@pytest.fixture
def predictor():
    return FakePredictor()


@pytest.fixture(scope="session")
def built_app():
    """Building the routes takes a third of a second: done once, with nothing behind them."""
    nothing = Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor())
    return create_app(nothing, Settings())


@pytest.fixture
def app(built_app, tasks, logs, resources, health, access, models, predictor, settings, feed):
    """The application over this test's own world."""
    built_app.state.service = Service(
        Ports(tasks, logs, resources, health, access, models, predictor),
        settings,
        feed,
        CpuMeter(),
        built_app.state.service.requests,
    )
    return built_app


@pytest.fixture
async def client(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client


@pytest.fixture
def path_not_found():
    return SubmissionError("path_not_found", "source_path", "'pictures/9' does not exist", "check the spelling")


@pytest.fixture
def line_full():
    return LineFullError("r1", "100 tasks are waiting, the most that the settings allow")


@pytest.fixture
def client_for():
    """Makes clients of an application with settings of its own; with ``keys``, it has a key that nobody knows."""

    def make(*, keys=False, **changes):
        access = FakeAccess()
        if keys:
            key = mint_key("somebody", Role.ADMIN, now=0.0).key
            access.table = KeyTable(1, {key.key_id: key})
        app = create_app(
            Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), access, FakeModels(), FakePredictor()),
            Settings(**changes),
        )
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL)

    return make


@pytest.fixture
async def keys(access):
    """A key of each role, by role."""
    new = {role: mint_key(f"the {role}", role, now=START) for role in Role}
    await access.put(KeyTable(1, {each.key.key_id: each.key for each in new.values()}))
    return {role: each.token for role, each in new.items()}
