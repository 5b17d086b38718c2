"""Bodies as they come, and the disk that large ones are written to.

Owns when a client counts as gone, how large a body may be, and how much of a disk stays free. It knows nothing of what a body holds or
of where it goes.
"""

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from actors.core.errors import ServingFullError
from serve_app.bodies import announced_size
from serve_app.http_errors import RequestRefusedError

#: A client that sends nothing for so long has gone, whatever its connection says.
SILENCE_S: Final = 60.0
#: A body that is needed at once may take so long, and beyond that as long as what came has kept this pace on the whole.
PATIENCE_S: Final = 120.0
SLOWEST_BYTES_PER_S: Final = 64 << 10
#: Enough that a large file takes few trips to a thread.
BLOCK_BYTES: Final = 1 << 20
#: Stays free whatever is sent: the store and the logs lie on the same disk more often than not.
RESERVE_BYTES: Final = 1 << 30
#: A full disk takes a person.
_RETRY_AFTER_S: Final = 30


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The most bytes that a body may have; ``what`` and ``setting`` name it in its refusal."""

    most_bytes: int
    what: str
    setting: str

    def check(self, size_bytes: int) -> None:
        """Refuse what is larger. Raises RequestRefusedError (413)."""
        if size_bytes > self.most_bytes:
            raise RequestRefusedError(413, "body_too_large", f"{self.what} may take {self.most_bytes} bytes ({self.setting})")

    def check_announced(self, request: Request) -> None:
        """Refuse a body that is said to be larger, before any of it is read. Raises RequestRefusedError (413)."""
        self.check(announced_size(request))


class BodyRoom:
    """The memory that bodies may take which are read as a whole, of all requests together.

    Invariant: what was taken and not given back is never more than ``most_bytes``.
    """

    def __init__(self, most_bytes: int) -> None:
        self._free_bytes = most_bytes
        self._guard = threading.Lock()

    @contextmanager
    def take(self) -> Iterator["HeldRoom"]:
        """Hold what a request takes bit by bit, until its end."""
        held = HeldRoom(self)
        try:
            yield held
        finally:
            self.move(-held.size_bytes)

    def move(self, size_bytes: int) -> None:
        """Take room, or give it back where the size is negative. Raises ServingFullError where there is none."""
        with self._guard:
            if size_bytes > self._free_bytes:
                raise ServingFullError("the requests under way take all the memory that there is for bodies; try again in a moment")
            self._free_bytes -= size_bytes


class HeldRoom:
    """What one request has of the room. For one thread at a time."""

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self.size_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """Take more, before the memory itself is taken. Raises ServingFullError where there is none."""
        self._room.move(size_bytes)
        self.size_bytes += size_bytes


async def body_chunks(request: Request, limit: BodyLimit, *, is_urgent: bool = False) -> AsyncIterator[bytes]:
    """The body as it comes; an urgent one must keep a pace, so that nobody holds memory for ever.

    Raises:
        RequestRefusedError: it is larger than the limit (413), ends early, stops coming or comes too slowly (400).
    """
    clock = asyncio.get_running_loop().time
    begun_at = clock()
    stream = request.stream()
    received = 0
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                chunk = await anext(stream)
            if is_urgent and clock() - begun_at > PATIENCE_S + received / SLOWEST_BYTES_PER_S:
                raise RequestRefusedError(400, "body_incomplete", f"the body comes too slowly: {received} bytes until now")
        except StopAsyncIteration:
            return
        except ClientDisconnect:
            raise RequestRefusedError(400, "body_incomplete", "the connection ended before the body did") from None
        except TimeoutError:
            raise RequestRefusedError(400, "body_incomplete", f"nothing came for {SILENCE_S:.0f} s") from None
        received += len(chunk)
        limit.check(received)
        yield chunk


def require_room(place: Path | int, size_bytes: int) -> None:
    """Make sure that a disk takes so much and still has its reserve. Raises OSError (no space left)."""
    if size_bytes + RESERVE_BYTES > shutil.disk_usage(place).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk has no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(name: str) -> RequestRefusedError:
    """The refusal of a file that finds no room."""
    wait = {"Retry-After": str(_RETRY_AFTER_S)}
    return RequestRefusedError(503, "disk_full", f"no room is left for {name!r}; free some space", headers=wait)
