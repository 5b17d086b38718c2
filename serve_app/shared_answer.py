"""One answer for all who ask the same within a moment, so that asking often costs those behind it nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SharedAnswer(Generic[Answer]):
    """Asks at most once at a time, and not again while the last answer is fresh. What was raised is an answer too."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]], fresh_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._clock = clock
        self._asked: asyncio.Task[Answer] | None = None
        self._stale_at = 0.0

    async def get(self) -> Answer:
        """The answer, at most ``fresh_s`` seconds older than its coming."""
        if self._asked is None or (self._asked.done() and self._clock() >= self._stale_at):
            self._asked = asyncio.create_task(self._ask_now())
        # Shielded: the others want it too, when the first of them leaves.
        return await asyncio.shield(self._asked)

    async def _ask_now(self) -> Answer:
        try:
            return await self._ask()
        finally:
            self._stale_at = self._clock() + self._fresh_s
