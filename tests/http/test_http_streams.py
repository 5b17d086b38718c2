"""Logs as streams: framing, resuming, sharing, leaving, and how every stream ends."""

import asyncio

import pytest
from pydantic import TypeAdapter

from actors.access import Role
from actors.core.errors import TaskNotFoundError
from actors.core.tasks import TaskFault
from configs.settings import Settings
from serve_app.log_feed import VIEWERS_PER_TURN, LogFeed, Pace
from serve_app.ports import NotReadyError
from serve_app.schemas.tasks import LogRecord
from serve_app.sse import MOST_FAILURES
from tests.fakes import make_line
from tests.http import bodies
from tests.http.stream import open_stream

pytestmark = pytest.mark.anyio

LOGS = "/api/v2/tasks/t1/logs"


@pytest.fixture(autouse=True)
async def _running_training(client, tasks, anyio_backend):
    await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))
    tasks.grant("t1", "cuda:0")


async def end(logs, tasks):
    """Complete the task as the system does: the record, and a last line that tells the state."""
    tasks.finish("t1")
    await logs.write("t1", make_line("done", status="completed", progress=100), is_last=True)


async def until(condition, *, deadline_s=5.0):
    """Let other tasks run until a condition of this process holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - the application tells nobody when its own state changes
            await asyncio.sleep(0)


class TestFraming:
    async def test_each_line_is_one_event_with_its_number_and_its_record(self, app, logs, tasks):
        await logs.write(
            "t1",
            make_line("epoch 1 begins", stage="epoch_start"),
            make_line("first batch", stage="training", step=1, metrics={"train_loss": 0.5}, status="running", progress=3),
            make_line("two\nlines", level="WARNING"),
        )
        await end(logs, tasks)
        async with open_stream(app, LOGS) as viewer:
            events = await viewer.rest()
        assert viewer.status == 200
        assert viewer.headers["content-type"].startswith("text/event-stream")
        assert [number for number, *_ in events] == [1, 2, 3, 4]
        first, batch, warning, last = (record for _, record, _ in events)
        assert first == {
            "timestamp": "2025-06-15T15:06:40+00:00",
            "level": "INFO",
            "message": "epoch 1 begins",
            "stage": "epoch_start",
        }
        assert batch.items() >= {"step": 1, "metrics": {"train_loss": 0.5}, "status": "running", "progress": 3}.items()
        assert (warning["level"], warning["message"]) == ("WARNING", "two\nlines")
        assert (last["status"], last["message"]) == ("completed", "done")

    async def test_figures_that_are_not_finite_are_null(self, app, logs, tasks):
        await logs.write("t1", make_line("off", metrics={"val_loss": float("nan"), "train_loss": float("inf")}))
        await end(logs, tasks)
        async with open_stream(app, LOGS) as viewer:
            assert (await viewer.next_record())[1]["metrics"] == {"val_loss": None, "train_loss": None}

    async def test_names_that_are_no_text_do_not_end_a_stream(self, app, logs, tasks):
        await logs.write("t1", make_line("cannot read \udcff.png"))
        await end(logs, tasks)
        async with open_stream(app, LOGS) as viewer:
            assert (await viewer.next_record())[1]["message"] == "cannot read ?.png"

    async def test_an_idle_stream_sends_comments(self, app, logs, tasks):
        async with open_stream(app, LOGS) as viewer:
            assert await viewer.next_event() == (None, None, "still here")
            assert await viewer.next_event() == (None, None, "still here")
            await end(logs, tasks)
            assert len(await viewer.rest()) == 1

    async def test_a_stream_sends_comments_while_the_log_hub_hangs(self, app, logs, tasks):
        app.state.service.feed.pace = Pace(poll_s=0.01, answer_s=0.01, retry_s=0)
        logs.hang()
        async with open_stream(app, LOGS) as viewer:
            assert await viewer.next_event() == (None, None, "still here")
            assert await viewer.next_event() == (None, None, "still here")
            logs.answer_again()
            await end(logs, tasks)
            assert len(await viewer.rest()) == 1

    def test_no_stream_is_silent_for_longer_than_the_contract_says(self):
        pace = Pace()
        assert pace.poll_s + pace.answer_s + pace.retry_s < 15

    @pytest.mark.parametrize("path", ["/api/v2/training/t1/logs", "/api/v2/train/t1/logs", "/api/v1/train/t1/logs"])
    async def test_trainings_have_the_same_stream_at_old_and_new_routes(self, app, logs, tasks, path):
        await end(logs, tasks)
        async with open_stream(app, path) as viewer:
            assert [record["status"] for _, record, _ in await viewer.rest()] == ["completed"]


class TestResuming:
    @pytest.fixture(autouse=True)
    async def _five_lines(self, _running_training, logs, tasks):
        await logs.write("t1", *(make_line(str(number)) for number in range(1, 5)))
        await end(logs, tasks)

    @pytest.mark.parametrize(
        ("query", "header", "numbers"),
        [
            ("", {}, [1, 2, 3, 4, 5]),
            ("", {"last_event_id": 3}, [4, 5]),
            ("?last_event_id=4", {}, [5]),
            ("?last_event_id=1", {"last_event_id": 3}, [4, 5]),
            ("?last_event_id=", {"last_event_id": ""}, [1, 2, 3, 4, 5]),
        ],
    )
    async def test_a_stream_goes_on_after_the_last_event(self, app, query, header, numbers):
        async with open_stream(app, LOGS + query, **header) as viewer:
            assert [number for number, *_ in await viewer.rest()] == numbers

    @pytest.mark.parametrize("last", [5, 99])
    async def test_who_has_seen_all_is_told_the_end_again(self, app, last):
        async with open_stream(app, LOGS, last_event_id=last) as viewer:
            assert [event[:2] for event in await viewer.rest()] == [(None, {"status": "completed", "message": "done"})]

    @pytest.mark.parametrize("value", ["x", "-1", "1.5", str(2**63), "9" * 5000])
    async def test_a_position_that_is_no_number_is_refused(self, client, value):
        by_query = await client.get(f"{LOGS}?last_event_id={value}")
        by_header = await client.get(LOGS, headers={"Last-Event-ID": value})
        assert (by_query.status_code, by_header.status_code) == (422, 422)


class TestEnds:
    async def test_a_task_that_is_not_there_is_a_404_not_a_stream(self, client):
        answer = await client.get("/api/v2/tasks/nobody/logs")
        assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")

    async def test_a_failed_task_ends_with_its_fault(self, app, logs, tasks):
        tasks.finish("t1", "failed", "no", TaskFault("disk_full", "no space left"))
        await logs.write("t1", make_line("before"), is_last=True)
        async with open_stream(app, LOGS) as viewer:
            events = await viewer.rest()
        assert events[-1][:2] == (None, {"status": "failed", "message": "no space left"})

    async def test_a_log_that_lost_its_last_line_still_ends(self, app, logs, tasks):
        await logs.write("t1", make_line("before"))
        async with open_stream(app, LOGS) as viewer:
            assert (await viewer.next_record())[0] == 1
            tasks.finish("t1")
            assert [event[:2] for event in await viewer.rest()] == [(None, {"status": "completed", "message": "done"})]

    async def test_a_log_deleted_meanwhile_ends_the_stream_with_an_error_record(self, app, logs):
        await logs.write("t1", make_line("before"))
        async with open_stream(app, LOGS) as viewer:
            await viewer.next_record()
            logs.failures.append(TaskNotFoundError("t1"))
            await logs.write("t1", make_line("after"))
            records = [record for _, record, _ in await viewer.rest()]
        assert [record.get("code") for record in records][-1] == "task_not_found"
        assert records[-1]["status"] == "error"

    async def test_a_restart_of_the_log_hub_is_not_seen_by_viewers(self, app, logs, tasks):
        logs.failures += [NotReadyError("log_hub", retry_after_s=0)] * 3
        await end(logs, tasks)
        async with open_stream(app, LOGS) as viewer:
            assert [record["status"] for _, record, _ in await viewer.rest()] == ["completed"]

    async def test_a_log_hub_that_stays_away_ends_the_stream_with_an_error_record(self, app, logs):
        logs.failures += [NotReadyError("log_hub", retry_after_s=0)] * (MOST_FAILURES + 1)
        async with open_stream(app, LOGS) as viewer:
            assert [record["code"] for _, record, _ in await viewer.rest()] == ["not_ready"]

    async def test_a_fault_of_ours_is_a_record_that_tells_nothing_of_the_inside(self, app, logs, caplog):
        logs.failures.append(ZeroDivisionError("secret"))
        async with open_stream(app, LOGS) as viewer:
            (event,) = await viewer.rest()
        assert (event[1]["code"], "secret" in str(event[1])) == ("internal_error", False)
        assert "a log stream broke off" in caplog.text


class TestSharing:
    @pytest.fixture
    def feed(self, logs, tasks):
        return LogFeed(logs, tasks, Pace(poll_s=60, turn_s=0))

    async def test_viewers_at_the_same_line_share_one_call(self, app, logs, tasks, feed):
        async with open_stream(app, LOGS) as first, open_stream(app, LOGS) as second:
            await until(lambda: feed.viewers == 2 and logs.waiting == 1)
            await logs.write("t1", make_line("one"))
            assert (await first.next_record())[0] == (await second.next_record())[0] == 1
            await until(lambda: logs.waiting == 1)
            assert sorted(logs.calls) == [("t1", 0), ("t1", 1)]
            await end(logs, tasks)
            assert await first.rest() == await second.rest()

    async def test_what_is_written_while_a_line_is_handed_out_comes_to_all_with_one_call(self, logs, feed):
        async def watch(after):
            page = await feed.next_page("t1", after)
            return page, await feed.next_page("t1", page.last_seq)

        watching = [asyncio.create_task(watch(0)) for _ in range(3 * VIEWERS_PER_TURN)]
        await until(lambda: logs.waiting == 1)
        await logs.write("t1", make_line("one"))
        await until(lambda: ("t1", 1) in logs.calls)
        await logs.write("t1", make_line("two"))
        pages = await asyncio.gather(*watching)
        assert {(first.last_seq, second.last_seq) for first, second in pages} == {(1, 2)}
        assert logs.calls == [("t1", 0), ("t1", 1)]

    async def test_viewers_are_served_some_at_a_time(self, logs, tasks):
        feed = LogFeed(logs, tasks, Pace(turn_s=60))
        waiting = [asyncio.create_task(feed.next_page("t1", 0)) for _ in range(VIEWERS_PER_TURN + 1)]
        await until(lambda: logs.waiting == 1)
        await logs.write("t1", make_line("one"))
        await until(waiting[-2].done)
        assert not waiting[-1].done()
        waiting[-1].cancel()

    async def test_an_idle_log_costs_one_look_at_its_task_for_all_viewers(self, logs, tasks, monkeypatch):
        looks = []
        look = tasks.get

        async def get(task_id):
            looks.append(task_id)
            return await look(task_id)

        monkeypatch.setattr(tasks, "get", get)
        feed = LogFeed(logs, tasks, Pace(poll_s=0.01, turn_s=0))
        pages = await asyncio.gather(*(feed.next_page("t1", 0) for _ in range(5)))
        assert (looks, {page.is_after_end for page in pages}) == (["t1"], {False})

    async def test_a_viewer_that_does_not_read_keeps_nobody_waiting(self, app, logs, tasks):
        async with open_stream(app, LOGS) as slow, open_stream(app, LOGS) as quick:
            await until(lambda: logs.waiting == 1)
            slow.pause()
            for number in range(1, 4):
                await logs.write("t1", make_line(str(number)))
                assert (await quick.next_record())[0] == number
            await end(logs, tasks)
            assert [number for number, *_ in await quick.rest()] == [4]
            slow._may_send.set()
            assert [number for number, *_ in await slow.rest()] == [1, 2, 3, 4]

    async def test_a_viewer_that_leaves_takes_nothing_from_the_others(self, app, logs, tasks, feed):
        async with open_stream(app, LOGS) as staying:
            async with open_stream(app, LOGS):
                await until(lambda: feed.viewers == 2)
            await until(lambda: feed.viewers == 1)
            assert logs.waiting == 1
            await end(logs, tasks)
            assert len(await staying.rest()) == 1

    async def test_the_last_viewer_to_leave_leaves_nothing_behind(self, app, logs, feed):
        before = asyncio.all_tasks()
        async with open_stream(app, LOGS), open_stream(app, LOGS):
            await until(lambda: feed.viewers == 2 and logs.waiting == 1)
        await until(lambda: feed.viewers == 0 and logs.waiting == 0)
        await until(lambda: asyncio.all_tasks() <= before)

    async def test_a_viewer_that_leaves_while_it_does_not_read_leaves_nothing_behind(self, app, logs, feed):
        before = asyncio.all_tasks()
        async with open_stream(app, LOGS) as viewer:
            await until(lambda: logs.waiting == 1)
            viewer.pause()
            await logs.write("t1", make_line("one"))
            viewer.leave()
            await until(lambda: feed.viewers == 0)
        await until(lambda: asyncio.all_tasks() <= before)

    async def test_open_streams_are_counted_in_health(self, app, client, feed):
        async with open_stream(app, LOGS):
            await until(lambda: feed.viewers == 1)
            assert (await client.get("/api/v1/health")).json()["active_log_streams"] == 1


class TestLimit:
    @pytest.fixture
    def settings(self):
        return Settings(max_log_streams=2)

    async def test_streams_beyond_the_limit_are_refused_until_one_ends(self, app, client, feed):
        async with open_stream(app, LOGS):
            async with open_stream(app, LOGS):
                await until(lambda: feed.viewers == 2)
                refused = await client.get(LOGS)
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
                assert "RFUAV_MAX_LOG_STREAMS" in refused.json()["message"]
                assert int(refused.headers["retry-after"]) > 0
                assert (await client.get(f"{LOGS}?format=json")).status_code == 200
            await until(lambda: feed.viewers == 1)
            async with open_stream(app, LOGS) as viewer:
                await until(lambda: viewer.status == 200)

    async def test_each_key_has_a_limit_of_its_own(self, app, client, feed, keys):
        viewer, operator = keys[Role.VIEWER], keys[Role.OPERATOR]
        async with open_stream(app, LOGS, x_api_key=viewer), open_stream(app, LOGS, x_api_key=viewer):
            await until(lambda: feed.viewers == 2)
            assert (await client.get(LOGS, headers={"X-API-Key": viewer})).status_code == 429
            async with open_stream(app, LOGS, x_api_key=operator) as other:
                await until(lambda: other.status == 200)


class TestArray:
    @pytest.mark.parametrize(
        ("query", "accept"), [("?format=json", "*/*"), ("", "application/json"), ("?format=json", "text/event-stream")]
    )
    async def test_who_asks_for_json_gets_what_is_there_as_one_array(self, client, logs, query, accept):
        await logs.write("t1", *(make_line(str(number)) for number in range(2500)))
        answer = await client.get(LOGS + query, headers={"accept": accept})
        assert answer.headers["content-type"] == "application/json"
        records = TypeAdapter(list[LogRecord]).validate_python(answer.json())
        assert [record.message for record in records] == [str(number) for number in range(2500)]

    async def test_an_empty_log_is_an_empty_array(self, client):
        assert (await client.get(f"{LOGS}?format=json")).json() == []

    async def test_an_array_begins_after_the_last_event_too(self, client, logs, tasks):
        await logs.write("t1", make_line("a"), make_line("b"))
        await end(logs, tasks)
        answer = await client.get(f"{LOGS}?format=json&last_event_id=1")
        assert [record["message"] for record in answer.json()] == ["b", "done"]

    async def test_a_browser_that_takes_both_gets_the_stream(self, app, logs, tasks):
        await end(logs, tasks)
        async with open_stream(app, LOGS, accept="text/event-stream, application/json") as viewer:
            assert len(await viewer.rest()) == 1

    async def test_an_array_while_the_log_hub_is_away_is_a_503(self, client, logs):
        logs.failures.append(NotReadyError("log_hub"))
        answer = await client.get(f"{LOGS}?format=json")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")

    async def test_another_form_is_refused(self, client):
        assert (await client.get(f"{LOGS}?format=xml")).status_code == 422
