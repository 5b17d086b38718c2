"""What an actor does beside answering messages: coroutines that somebody must hear of when they fail.

An actor is a cache of what the store holds, and its duties are promises (to see the end of a process, to take in a grant). A duty that
fails breaks one in silence, so it ends the actor: Ray starts it anew, and its beginning takes up everything that is open.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

_FAILED_STATUS = 70  # EX_SOFTWARE of sysexits.h


def end_process(error: BaseException) -> None:
    """Tell the actor's log what has happened, and end the process at once."""
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(_FAILED_STATUS)


class Duties:
    """The running duties of one actor; keeps them from being collected as garbage."""

    def __init__(self, on_failure: Callable[[BaseException], None] = end_process) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._on_failure = on_failure

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start a duty on the running loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(error)
