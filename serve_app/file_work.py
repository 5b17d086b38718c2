"""Threads for work on the users' files.

Owns that a slow disk keeps only those waiting who want something of a disk: the threads are others than those for everything else that
blocks, and there are not many of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

FILE_THREADS: Final = 16
#: Of each event loop.
_LIMITER: Final[RunVar[CapacityLimiter]] = RunVar("file_threads")
Given = ParamSpec("Given")
Result = TypeVar("Result")


async def in_file_thread(work: Callable[Given, Result], *args: Given.args, **options: Given.kwargs) -> Result:
    """Call a blocking function in one of the threads; who is cancelled meanwhile still waits for its end."""
    limiter = _LIMITER.get(None)
    if limiter is None:
        limiter = CapacityLimiter(FILE_THREADS)
        _LIMITER.set(limiter)
    return await to_thread.run_sync(partial(work, *args, **options), limiter=limiter)
