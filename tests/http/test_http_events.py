"""What happens in the service as one stream: first words, coalescing, coming back, and how it ends."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from actors.access import KeyTable, Role
from actors.core.tasks import Progress
from actors.messages import ResourceView
from configs.settings import Settings
from serve_app.event_feed import EventPace, steady
from serve_app.schemas.events import Event
from tests.fake_serving import make_version
from tests.fakes import START, make_device_view
from tests.http import bodies
from tests.http.callers import error_code, sent
from tests.http.stream import open_stream

pytestmark = pytest.mark.anyio
EVENTS = "/api/v2/events"


@pytest.fixture(autouse=True)
def _quick(app):
    app.state.service.events.pace = EventPace(poll_s=0.05, gather_s=0.0, look_s=0.005, retry_s=0.005, comment_s=0.2, turn_s=0)


@dataclass
class Told:
    """One event: its id, and what it says."""

    at: str | None
    says: dict[str, Any]

    def __post_init__(self):
        Event.model_validate(self.says)


class EventReader:
    """Reads the events of an open stream."""

    def __init__(self, viewer):
        self.viewer = viewer
        self._parts: list[str] = []

    async def part(self):
        """The next event or comment as text; None at the end."""
        while not self._parts:
            chunk = await asyncio.wait_for(self.viewer._chunks.get(), 5)
            if chunk is None:
                return None
            self._parts += [part for part in chunk.decode().split("\n\n") if part]
        return self._parts.pop(0)

    async def next(self, *kinds):
        """The next event, of certain kinds if any are given."""
        while (part := await self.part()) is not None:
            fields = dict(line.split(": ", 1) for line in part.split("\n") if not line.startswith(":"))
            assert set(fields) <= {"id", "data"}
            if "data" in fields:
                told = Told(fields.get("id"), json.loads(fields["data"]))
                if not kinds or told.says["kind"] in kinds:
                    return told
        return None

    async def until_begun(self):
        """The id of the first event: the stream has a position then."""
        return (await self.next("resources")).at


@asynccontextmanager
async def watch(app, **headers):
    async with open_stream(app, EVENTS, **headers) as viewer:
        yield EventReader(viewer)


async def submit(client, task_id):
    answer = await client.post("/api/v2/training/start", json=bodies.training(task_id=task_id))
    assert answer.status_code == 200


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the application tells nobody when its own state changes
            await asyncio.sleep(0.001)


class TestWhatIsTold:
    async def test_devices_and_models_come_first_and_the_tasks_only_when_they_change(self, app, client, models):
        await submit(client, "before")
        await models.put(make_version(version=1))
        async with watch(app) as reader:
            first = {(await reader.next()).says["kind"] for _ in range(2)}
            assert first == {"resources", "models"}
            assert reader.viewer.headers["content-type"].startswith("text/event-stream")
            assert reader.viewer.headers["cache-control"] == "no-cache"
            await submit(client, "t1")
            told = await reader.next()
            assert (told.says["kind"], told.says["task"]["task_id"], told.says["task"]["status"]) == ("task", "t1", "pending")

    async def test_a_task_is_told_as_its_own_route_tells_it(self, app, client, tasks):
        async with watch(app) as reader:
            await reader.until_begun()
            await submit(client, "t1")
            tasks.queue("t1", 3)
            while (told := await reader.next("task")).says["task"]["queue_position"] != 3:
                pass
            assert told.says["task"] == (await client.get("/api/v2/tasks/t1")).json()

    async def test_a_deletion_is_told(self, app, client):
        await submit(client, "t1")
        await client.post("/api/v2/tasks/t1/cancel")
        async with watch(app) as reader:
            await reader.until_begun()
            assert (await client.delete("/api/v2/tasks/t1")).status_code == 200
            assert (await reader.next("task_deleted")).says == {"kind": "task_deleted", "task_id": "t1"}

    async def test_devices_are_told_again_only_when_something_about_them_changed(self, app, client, resources):
        async with watch(app) as reader:
            await reader.until_begun()
            resources.current = replace(resources.current, at=START + 5, oldest_wait_s=5.0)
            await submit(client, "t1")
            assert (await reader.next("task", "resources")).says["kind"] == "task"
            resources.current = replace(resources.current, waiting=4)
            assert (await reader.next("task", "resources")).says["resources"]["queue"]["length"] == 4

    def test_figures_that_never_rest_are_no_change(self):
        device = make_device_view("cuda:0", power_w=121.0, temperature_c=60.1, utilization=52)
        view = ResourceView(START, (device,), waiting=1, oldest_wait_s=1.0)
        later = replace(view, at=START + 9, oldest_wait_s=10.0, devices=(replace(device, power_w=128.9, temperature_c=61.0),))
        assert steady(view) == steady(later)
        assert steady(view) != steady(replace(view, devices=(replace(device, utilization=90),)))

    async def test_another_revision_of_the_models_is_told(self, app, models):
        async with watch(app) as reader:
            first = (await reader.next("models")).says["revision"]
            await models.put(make_version(version=1))
            assert (await reader.next("models")).says["revision"] > first

    async def test_a_stream_is_never_silent(self, app):
        async with watch(app) as reader:
            await reader.until_begun()
            while (part := await reader.part()) and not part.startswith(":"):
                pass
            assert part == ": still here"
        assert EventPace().comment_s < 15


class TestCoalescing:
    async def test_a_slow_viewer_gets_the_newest_state_and_none_between(self, app, client, tasks):
        await submit(client, "t1")
        tasks.grant("t1", "cuda:0")
        async with watch(app) as reader:
            await reader.until_begun()
            reader.viewer.pause()
            for percent in range(1, 100):
                tasks.progress("t1", Progress(percent))
                await asyncio.sleep(0)
            feed = app.state.service.events
            await until(lambda: feed._changes.get("t1") and b'"progress":99' in feed._changes["t1"][1])
            reader.viewer._may_send.set()
            seen = [(await reader.next("task")).says["task"]["progress"]]
            while seen[-1] != 99:
                seen.append((await reader.next("task")).says["task"]["progress"])
            assert seen == sorted(seen)
            assert len(seen) <= 3  # the one that was on its way, and what was newest then

    async def test_viewers_share_one_question(self, app, client, tasks):
        async with watch(app) as first, watch(app) as second:
            await first.until_begun()
            await second.until_begun()
            await submit(client, "t1")
            assert (await first.next("task")).at == (await second.next("task")).at
            before = len(tasks.watched)
            await submit(client, "t2")
            assert (await first.next("task")).at == (await second.next("task")).at
            assert len({position.after for position in tasks.watched[before:]}) <= 2

    async def test_nobody_is_asked_while_nobody_watches(self, app, tasks):
        async with watch(app) as reader:
            await reader.until_begun()
        asked = len(tasks.watched)
        await asyncio.sleep(0.1)
        assert len(tasks.watched) == asked

    async def test_what_is_kept_is_bounded_and_the_supervisor_knows_the_rest(self, app, client, monkeypatch):
        monkeypatch.setattr("serve_app.event_feed.KEPT_TASKS", 2)
        async with watch(app) as reader:
            await reader.until_begun()
            reader.viewer.pause()
            for number in range(6):
                await submit(client, f"t{number}")
            await until(lambda: app.state.service.events.base >= 4)
            reader.viewer._may_send.set()
            told = [(await reader.next("task")).says["task"]["task_id"] for _ in range(6)]
        assert sorted(told) == [f"t{number}" for number in range(6)]


class TestComingBack:
    async def test_a_stream_goes_on_after_the_id_it_ended_with(self, app, client):
        async with watch(app) as reader:
            await reader.until_begun()
            await submit(client, "t1")
            last = (await reader.next("task")).at
        await submit(client, "t2")
        async with watch(app, last_event_id=last) as reader:
            assert (await reader.next("task")).says["task"]["task_id"] == "t2"

    async def test_a_browser_that_cannot_send_the_header_sends_it_in_the_query(self, app, client):
        async with watch(app) as reader:
            at = await reader.until_begun()
        await submit(client, "t1")
        async with open_stream(app, f"{EVENTS}?last_event_id={at}") as viewer:
            assert (await EventReader(viewer).next("task")).says["task"]["task_id"] == "t1"

    @pytest.mark.parametrize("position", ["0123abcd-5", "nonsense", "7", "abc-99999999999999999999"])
    async def test_a_position_that_is_not_known_means_reading_the_lists_again(self, app, position):
        async with watch(app, last_event_id=position) as reader:
            told = await reader.next()
            assert told.says == {"kind": "reset"}
        async with watch(app, last_event_id=told.at) as reader:
            assert (await reader.next()).says["kind"] != "reset"

    async def test_a_new_life_of_the_supervisor_is_told_and_does_not_end_the_stream(self, app, client, tasks):
        async with watch(app) as reader:
            first = await reader.until_begun()
            tasks.is_ready = False
            while not (await reader.part()).startswith(":"):
                pass
            tasks.begin_anew()
            tasks.is_ready = True
            told = await reader.next("reset")
            assert told.at.partition("-")[0] != first.partition("-")[0]
            await submit(client, "t1")
            assert (await reader.next("task")).says["task"]["task_id"] == "t1"

    async def test_nothing_is_told_before_the_position_is_known(self, app, tasks):
        tasks.is_ready = False
        async with watch(app) as reader:
            assert (await reader.part()).startswith(":")
            tasks.is_ready = True
            assert await reader.until_begun()

    async def test_changes_while_the_devices_cannot_be_read_are_told_all_the_same(self, app, client, resources):
        resources.is_ready = False
        async with watch(app) as reader:
            assert (await reader.next()).says["kind"] == "models"
            await submit(client, "t1")
            assert (await reader.next("task", "resources")).says["kind"] == "task"
            resources.is_ready = True
            assert (await reader.next("task", "resources")).says["kind"] == "resources"


class TestWhoMay:
    async def test_a_stream_ends_with_its_key_and_tells_nothing_after_it(self, app, client, keys, access):
        async with watch(app, x_api_key=keys[Role.VIEWER]) as reader:
            await reader.until_begun()
            others = {key_id: key for key_id, key in access.table.keys.items() if key.role is not Role.VIEWER}
            await access.put(KeyTable(2, others))
            await until(lambda: len(app.state.service.door.keys.current.keys) == 2)
            await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"), headers=sent(keys[Role.ADMIN]))
            assert await reader.next("task") is None

    async def test_streams_count_against_the_most_that_a_caller_may_have(self, app, client):
        service = app.state.service
        app.state.service = replace(service, settings=Settings(max_log_streams=1))
        app.state.service.events.pace = service.events.pace
        async with watch(app) as reader:
            await reader.until_begun()
            refused = await client.get(EVENTS)
            assert error_code(refused) == (429, "too_many_streams")
            assert refused.headers["retry-after"]
        async with watch(app) as reader:
            await reader.until_begun()

    async def test_the_document_says_what_the_events_hold(self, client):
        document = (await client.get("/openapi.json")).json()
        content = document["paths"][EVENTS]["get"]["responses"]["200"]["content"]
        assert content == {"text/event-stream": {"schema": {"$ref": "#/components/schemas/Event"}}}
        kinds = document["components"]["schemas"]["Event"]["discriminator"]["mapping"]
        assert set(kinds) == {"task", "task_deleted", "resources", "models", "reset"}
        assert {each.rpartition("/")[2] for each in kinds.values()} <= set(document["components"]["schemas"])
