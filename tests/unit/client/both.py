"""Both clients behind one face, so that each test holds for the one that blocks and the one that awaits."""

import asyncio
from contextlib import aclosing, closing

import httpx

from cluster.client import AsyncClient, Client, Retry

URL = "http://127.0.0.1:8000"


class FakeTime:
    """A clock that only pauses move on; ``pauses`` lists them."""

    def __init__(self):
        self.now = 1000.0
        self.pauses = []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds):
        self.sleep(seconds)


class Script:
    """Answers requests from a list: an exception is raised, anything else is answered. ``requests`` lists what came, read whole."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def bodies(self):
        return [request.content for request in self.requests]


class Blocking:
    """The client that blocks."""

    def __init__(self, script, *, retry=None, **options):
        self.time = FakeTime()
        self.client = Client(
            URL,
            transport=httpx.MockTransport(script),
            sleep=self.time.sleep,
            clock=self.time.clock,
            retry=retry or Retry(),
            **options,
        )

    def call(self, name, *args, **kwargs):
        return getattr(self.client, name)(*args, **kwargs)

    def items(self, name, *args, most=10**6, **kwargs):
        found = []
        with closing(getattr(self.client, name)(*args, **kwargs)) as items:
            for item in items:
                found.append(item)
                if len(found) == most:
                    break
        return found


class Awaiting:
    """The client that awaits, each call in a loop of its own."""

    def __init__(self, script, *, retry=None, **options):
        self.time = FakeTime()
        self._make = lambda: AsyncClient(
            URL,
            transport=httpx.MockTransport(script),
            sleep=self.time.sleep_async,
            clock=self.time.clock,
            retry=retry or Retry(),
            **options,
        )

    def call(self, name, *args, **kwargs):
        async def run():
            async with self._make() as client:
                return await getattr(client, name)(*args, **kwargs)

        return asyncio.run(run())

    def items(self, name, *args, most=10**6, **kwargs):
        async def run():
            found = []
            async with self._make() as client, aclosing(getattr(client, name)(*args, **kwargs)) as items:
                async for item in items:
                    found.append(item)
                    if len(found) == most:
                        break
            return found

        return asyncio.run(run())


def task(task_id="t1", **changes):
    """A task as the service answers."""
    return {
        "task_id": task_id,
        "task_type": "training",
        "status": "queued",
        "message": "",
        "progress": 0,
        "device": "cuda",
        "priority": 5,
        "created_at": "2025-06-15T15:06:40+00:00",
        "updated_at": "2025-06-15T15:06:40+00:00",
        "current_epoch": None,
        "total_epochs": None,
        "latest_metrics": None,
        "name": None,
        "model": None,
        "batch_size": None,
        "description": "",
        "queue_position": None,
        "attempts": 0,
        "error": None,
        "lease": None,
        "started_at": None,
        "finished_at": None,
        "output_path": "out",
        "batch_id": None,
    } | changes


def answer(body, status=200, **headers):
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def refusal(status, code, **headers):
    body = {"status": "error", "code": code, "message": f"it is {code}", "detail": f"it is {code}", "timestamp": "now"}
    return answer(body, status, **headers)


class Breaking(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in the given pieces, and then breaks off if it shall."""

    def __init__(self, *pieces, breaks=False):
        self._pieces, self._breaks = pieces, breaks

    def __iter__(self):
        yield from self._pieces
        if self._breaks:
            raise httpx.ReadError("connection lost")

    async def __aiter__(self):
        for piece in self:
            yield piece


def stream(*pieces, breaks=False, status=200, **headers):
    return httpx.Response(status, stream=Breaking(*pieces, breaks=breaks), headers={"Content-Type": "text/event-stream", **headers})
