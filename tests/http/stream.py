"""A viewer of a log stream that reads event by event and may stop or leave at any point: httpx in process reads answers whole."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Viewer:
    """One open request. ``pause`` keeps the application's next send waiting, as a full socket would."""

    status: int = 0
    headers: dict = field(default_factory=dict)
    _chunks: asyncio.Queue = field(default_factory=asyncio.Queue)
    _may_send: asyncio.Event = field(default_factory=asyncio.Event)
    _left: asyncio.Event = field(default_factory=asyncio.Event)
    _events: list = field(default_factory=list)

    def __post_init__(self):
        self._may_send.set()

    def pause(self):
        self._may_send.clear()

    def leave(self):
        self._left.set()

    async def next_event(self):
        """The next event: its id (or None) and its record, or the text of a comment; None at the end of the stream."""
        while not self._events:
            chunk = await asyncio.wait_for(self._chunks.get(), 5)
            if chunk is None:
                return None
            self._events += [part for part in chunk.decode().split("\n\n") if part]
        return parse_event(self._events.pop(0))

    async def next_record(self):
        """The next event that is no comment."""
        while True:
            event = await self.next_event()
            if event is None or event[1] is not None:
                return event

    async def rest(self):
        """All further events but comments, to the end of the stream."""
        found = []
        while (event := await self.next_record()) is not None:
            found.append(event)
        return found

    async def send(self, message):
        await self._may_send.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message.get("body"):
            await self._chunks.put(message["body"])
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await self._chunks.put(None)

    async def receive(self):
        await self._left.wait()
        return {"type": "http.disconnect"}


def parse_event(text):
    """(id, record, comment) of one event."""
    number, record, comment = None, None, None
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        if name == "id":
            number = int(value)
        elif name == "data":
            record = json.loads(value)
        elif name == "":
            comment = value.strip()
        else:
            raise AssertionError(f"a log stream has no {name!r} lines")
    return number, record, comment


@asynccontextmanager
async def open_stream(app, path, **headers):
    """Open a GET on the application as a server would; leaves when the block ends."""
    path, _, query = path.partition("?")
    viewer = Viewer()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), *((name.replace("_", "-").encode(), str(v).encode()) for name, v in headers.items())],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8000),
    }
    request = asyncio.create_task(app(scope, viewer.receive, viewer.send))
    try:
        yield viewer
    finally:
        viewer.leave()
        viewer._may_send.set()
        await asyncio.wait_for(request, 5)
