"""Many viewers of one log, and requests beside them, over plain sockets: a client that takes little of the processor it shares.

The requests come from a process of their own, so that what the viewers of this one have to read is not counted against the answers.
"""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event

#: Connections that the requests beside the viewers take turns on.
CONNECTIONS = 10


@dataclass
class Watched:
    """What one viewer saw: the event ids in their order, and the last record."""

    ids: list[int] = field(default_factory=list)
    last: bytes = b""


@dataclass
class Answered:
    """What became of the requests: seconds from when each was due, and the statuses that were no 200."""

    latencies_s: list[float] = field(default_factory=list)
    failures: list[bytes] = field(default_factory=list)


async def watch(port: int, path: str, joined: asyncio.Barrier) -> Watched:
    """Follow a log stream to its end, once all viewers have theirs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = await reader.readline()
    assert b" 200 " in status, status
    await joined.wait()
    watched = Watched()
    async for line in reader:
        if line.startswith(b"id: "):
            watched.ids.append(int(line[4:]))
        elif line.startswith(b"data: "):
            watched.last = line[6:]
    writer.close()
    return watched


async def request_beside(port: int, paths: list[str], *, per_s: float, until: Event) -> Answered:
    """Send GETs at a fixed pace, whether or not the ones before are answered, until an event is set."""
    answered = Answered()
    begun = time.perf_counter()
    turns = (
        _take_turns(port, paths, answered, begun + number / per_s, interval_s=CONNECTIONS / per_s, until=until)
        for number in range(CONNECTIONS)
    )
    await asyncio.gather(*turns)
    return answered


async def _take_turns(port: int, paths: list[str], answered: Answered, due_at: float, *, interval_s: float, until: Event) -> None:
    """The requests of one connection: each at its time, or late where the answer before it was."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = 0
    while not until.is_set():
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        writer.write(f"GET {paths[turn % len(paths)]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        answered.latencies_s.append(time.perf_counter() - due_at)
        if b" 200 " not in head[:20]:
            answered.failures.append(head)
        due_at += interval_s
        turn += 1
    writer.close()


async def watch_together(port: int, log: str, beside: list[str], *, viewers: int, per_s: float) -> tuple[list[Watched], Answered]:
    """Let many follow one log to its end, with requests beside them from when all are there."""
    joined = asyncio.Barrier(viewers + 1)
    context = multiprocessing.get_context("spawn")
    over = context.Event()
    with ProcessPoolExecutor(1, mp_context=context, initializer=_receive_end, initargs=(over,)) as beside_them:
        beside_them.submit(_is_here).result()
        following = asyncio.gather(*(watch(port, log, joined) for _ in range(viewers)))
        await joined.wait()
        requests = beside_them.submit(_request_until_the_end, port, beside, per_s)
        try:
            watched = await following
        finally:
            over.set()
        return watched, await asyncio.wrap_future(requests)


_end: list[Event] = []  # of the process that sends the requests: an event crosses only when the process is made


def _receive_end(over: Event) -> None:
    _end.append(over)


def _is_here() -> bool:
    return True


def _request_until_the_end(port: int, paths: list[str], per_s: float) -> Answered:
    return asyncio.run(request_beside(port, paths, per_s=per_s, until=_end[0]))
