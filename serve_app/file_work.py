"""Threads for work on the users' files.

Owns that a slow disk keeps only those waiting who want something of a disk: the threads are others than those for everything else that
blocks, and there are not many of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

FILE_THREADS: Final = 16
#: Of each event loop.
_LIMITER: Final[RunVar[CapacityLimiter]] = RunVar("file_threads")
Given = ParamSpec("Given")
Result = TypeVar("Result")


async def in_file_thread(work: Callable[Given, Result], *args: Given.args, **options: Given.kwargs) -> Result:
    """Call a blocking function in one of the threads; who is cancelled once it has begun still waits for its end."""
    limiter = _LIMITER.get(None)
    if limiter is None:
        limiter = CapacityLimiter(FILE_THREADS)
        _LIMITER.set(limiter)
    async with limiter:
        # The place is taken above, where waiting for it can still be given up.
        return await to_the_end(to_thread.run_sync(partial(work, *args, **options), limiter=CapacityLimiter(1)))


async def to_the_end(work: Awaitable[Result]) -> Result:
    """Wait for work that cannot be stopped half-way; who is cancelled meanwhile waits for its end first."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):  # else a scope of anyio would cancel again and again
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # nobody else will look at it
    raise cancelled
