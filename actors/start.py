"""An actor's start, finished before its first answer.

Ray builds an actor in a plain constructor, where nothing can be awaited, and builds it again by itself after a crash, where nobody
calls a start method. So every message of the accountant and the supervisor first awaits this.
"""

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable

import ray

#: How long those who wait have to hear the reason before the process ends.
_LAST_WORDS_S = 1.0


class Start:
    """Runs a coroutine function once, when it is first waited for.

    Invariant: after a failure nothing is answered any more: those who wait get the reason, then the process ends, and Ray begins anew.
    """

    def __init__(self, begin: Callable[[], Awaitable[None]]) -> None:
        self._begin = begin
        self._task: asyncio.Task[None] | None = None
        self._is_finished = False

    async def finished(self) -> None:
        """Return when the start is finished; at once if it is. Raises what the start raised."""
        if self._is_finished:
            return
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            await self._begin()
        except Exception:
            traceback.print_exc()
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, os._exit, 1)
            raise
        self._is_finished = True


def is_reborn() -> bool:
    """Whether Ray has restarted the actor that this process is, rather than made it for the first time; a driver is no actor.

    Asks Ray's head.
    """
    if not ray.is_initialized():
        return False
    context = ray.get_runtime_context()
    return context.get_actor_id() is not None and bool(context.was_current_actor_reconstructed)
