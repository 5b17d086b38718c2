"""The keys as this process knows them: a table in memory, kept up to date by a long poll, so that no request waits for a store.

While the gatekeeper is away, the last table counts; before there was any, nobody is let in.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from actors.access import KeyTable
from actors.core.errors import ActorSystemError
from serve_app.ports import AccessPort, NotReadyError

#: How long one question for news waits at the gatekeeper.
POLL_S: Final = 30.0
_PAUSE_S: Final = 0.5
_LOGGER = logging.getLogger(__name__)


class KeyRing:
    """Holds the newest table; only ``_take`` changes it, and never back to an older version."""

    def __init__(self, port: AccessPort) -> None:
        self._port = port
        self._table: KeyTable | None = None
        self._follower: asyncio.Task[None] | None = None

    @property
    def current(self) -> KeyTable | None:
        """The table, or None before there is one; asking for it starts the following of changes."""
        if self._follower is None or self._follower.done():
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        return self._table

    async def wait(self, wait_s: float) -> KeyTable:
        """The table, waiting for the first one. Raises NotReadyError if none comes in time."""
        if (table := self.current) is not None:
            return table
        with suppress(TimeoutError, ActorSystemError):
            return self._take(await asyncio.wait_for(self._port.watch_keys(-1, 0.0), wait_s))
        raise NotReadyError("gatekeeper")

    async def refresh(self) -> KeyTable:
        """The table as it is in the store now. Raises NotReadyError, StoreUnavailableError."""
        return self._take(await self._port.watch_keys(-1, 0.0))

    async def _follow(self) -> None:
        while True:
            try:
                self._take(await self._port.watch_keys(self._table.version if self._table else -1, POLL_S))
            except (NotReadyError, ActorSystemError) as error:
                _LOGGER.warning("the keys cannot be read now: %s", error, extra={"action": "keys_unreadable"})
                await asyncio.sleep(_PAUSE_S)

    def _take(self, table: KeyTable) -> KeyTable:
        if self._table is None or table.version >= self._table.version:
            self._table = table
        return self._table
