"""How long callers of predictions wait: deadlines, and callers who leave."""

import asyncio
from contextlib import suppress
from urllib.parse import urlencode

import pytest

from configs.settings import Settings
from tests.fake_serving import make_version
from tests.http.callers import error_code

pytestmark = pytest.mark.anyio

PREDICT = "/api/v2/predict"
PNG = {"content-type": "image/png"}
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path / "var")


@pytest.fixture(autouse=True)
async def registered(models):
    await models.put(make_version(recipe={"pipeline": "native"}))


@pytest.fixture
def spooled(settings):
    """The files that lie in the spool now."""
    return lambda: [path.name for path in (settings.state_dir / "spool").rglob("*") if path.is_file() and path.name != "lock"]


async def post(client, content=b"picture", headers=PNG):
    return await client.post(PREDICT, content=content, headers=headers)


class TestDeadlines:
    async def test_the_order_is_told_what_is_left(self, client, predictor):
        await post(client, headers=PNG | {"x-request-timeout": "2.5"})
        assert 2.0 < predictor.orders[0].timeout_s < 2.5

    @pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "600.1", "soon", "", "1,5"])
    async def test_a_wrong_deadline_is_told_by_the_headers_name(self, client, predictor, text):
        answer = await post(client, headers=PNG | {"x-request-timeout": text})
        assert error_code(answer) == (422, "invalid_field")
        assert "X-Request-Timeout" in answer.json()["message"]
        assert not predictor.orders

    async def test_work_that_is_late_is_dropped(self, client, predictor):
        predictor.gate.clear()
        answer = await post(client, headers=PNG | {"x-request-timeout": "0.05"})
        assert error_code(answer) == (504, "deadline_exceeded")
        assert predictor.cancelled == predictor.orders != []

    async def test_the_upload_counts(self, client, predictor, spooled):
        async def slowly():
            yield b"x"
            await asyncio.Event().wait()

        answer = await post(client, slowly(), RAW | {"x-request-timeout": "0.05"})
        assert error_code(answer) == (504, "deadline_exceeded")
        assert (predictor.orders, spooled()) == ([], [])


class Call:
    """A request by hand, whose caller can leave."""

    def __init__(self, app, *, headers=PNG, content=b"picture", **params):
        self.left = asyncio.Event()
        self.sent = []
        self._messages = [{"type": "http.request", "body": content, "more_body": False}]
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": PREDICT,
            "raw_path": PREDICT.encode(),
            "root_path": "",
            "query_string": urlencode(params).encode(),
            "http_version": "1.1",
            "scheme": "http",
            "headers": [(b"host", b"localhost"), *((name.encode(), text.encode()) for name, text in headers.items())],
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.create_task(app(self._scope, self._receive, self._send))

    async def _receive(self):
        if self._messages:
            return self._messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.sent.append(message)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - of what the fakes note, which have no events
            await asyncio.sleep(0)


class TestCallersWhoLeave:
    async def test_the_order_is_cancelled_and_its_files_are_gone(self, app, predictor, spooled):
        predictor.gate.clear()
        call = Call(app, headers=RAW)
        await until(lambda: predictor.orders)
        assert spooled() == ["body.iq"]
        call.left.set()
        await call.task
        assert predictor.cancelled == predictor.orders
        assert spooled() == []

    async def test_also_where_the_server_breaks_the_request_off_itself(self, app, predictor):
        """Ray Serve cancels the task of a request whose client left; the message comes all the same."""
        predictor.gate.clear()
        call = Call(app)
        await until(lambda: predictor.orders)
        call.left.set()
        call.task.cancel()
        with suppress(asyncio.CancelledError):
            await call.task
        await until(lambda: predictor.cancelled)

    async def test_who_stays_gets_the_answer(self, app, predictor):
        call = Call(app)
        await call.task
        assert call.sent[0]["status"] == 200
        assert predictor.cancelled == []
