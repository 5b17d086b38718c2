"""How long a caller waits: until its deadline, and as long as it is there.

Owns the header of deadlines, and that work whose caller has gone or whose time is over is cancelled. It knows nothing of the work.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeVar

from fastapi import Header, Request

from actors.core.errors import DeadlineExceededError
from serve_app.http_errors import RequestRefusedError

TIMEOUT_HEADER: Final = "X-Request-Timeout"
#: Nobody may wait longer: what is so late belongs into a job, and a replica that has to go would be held up.
MOST_TIMEOUT_S: Final = 600.0
#: Serve uses it too; nobody is there any more to see it but the figures.
_CLIENT_GONE: Final = 499

TimeoutHeader = Annotated[
    float | None,
    Header(
        alias=TIMEOUT_HEADER,
        gt=0,
        le=MOST_TIMEOUT_S,
        allow_inf_nan=False,
        description="seconds, from the request's arrival, after which its answer is of no use: what is later is dropped",
    ),
]
Result = TypeVar("Result")


class Deadline:
    """When the answer to a request must be there; never, if its caller named no time."""

    def __init__(self, timeout_s: float | None) -> None:
        """Begin now, with the request's arrival."""
        self._clock = asyncio.get_running_loop().time
        self.began_at = self._clock()
        self._timeout_s = timeout_s

    def elapsed_s(self) -> float:
        """How long ago the request came."""
        return self._clock() - self.began_at

    def left_s(self) -> float | None:
        """What is left; None without a deadline. Raises DeadlineExceededError where it is nothing."""
        if self._timeout_s is None:
            return None
        left_s = self._timeout_s - self.elapsed_s()
        if left_s <= 0:
            raise self._exceeded()
        return left_s

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Cancel what is inside when the time is over. Raises DeadlineExceededError then."""
        end_at = None if self._timeout_s is None else self.began_at + self._timeout_s
        try:
            async with asyncio.timeout_at(end_at) as timeout:
                yield
        except TimeoutError:
            if timeout.expired():
                raise self._exceeded() from None
            raise

    def _exceeded(self) -> DeadlineExceededError:
        return DeadlineExceededError(f"there was no answer within {self._timeout_s:g} s ({TIMEOUT_HEADER}); the work was dropped")


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do work for a caller whose body was read, and cancel it when the caller goes or nobody waits here any more.

    Raises:
        RequestRefusedError: the caller has gone.
    """
    tasks = asyncio.create_task(work), asyncio.create_task(_gone(request))
    doing, watching = tasks
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return await doing
        raise RequestRefusedError(_CLIENT_GONE, "client_gone", "the client went before its answer came")
    finally:
        watching.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait((doing,))


async def _gone(request: Request) -> None:
    """Wait until the caller has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
