"""A table that lives elsewhere, kept up to date in memory by a long poll, so that no request waits for a store.

Owns the following of changes, whatever the table holds. While whoever keeps it is away, the last table counts.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import ClassVar, Final, Generic, TypeVar

from actors.core.errors import ActorSystemError
from serve_app.ports import NotReadyError

#: How long one question for news waits at the keeper.
POLL_S: Final = 30.0
#: A question that takes every revision for news.
ANY_REVISION: Final = -1
_PAUSE_S: Final = 0.5
_LOGGER = logging.getLogger(__name__)

Table = TypeVar("Table")


class FollowedTable(ABC, Generic[Table]):
    """Holds the newest table; only ``_take`` changes it, and never back to an older revision."""

    #: Who has the table, for the error while there is none.
    keeper: ClassVar[str]

    def __init__(self) -> None:
        self._table: Table | None = None
        self._follower: asyncio.Task[None] | None = None

    @abstractmethod
    async def watch(self, revision: int, wait_s: float) -> Table:
        """Ask the keeper for the table: once its revision is another than the given one, or after so many seconds."""

    @abstractmethod
    def revision_of(self, table: Table) -> int:
        """A number in the table that grows with every change."""

    @property
    def current(self) -> Table | None:
        """The table, or None before there is one; asking for it starts the following of changes."""
        if self._follower is None or self._follower.done():
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        return self._table

    async def wait(self, wait_s: float) -> Table:
        """The table, waiting for the first one. Raises NotReadyError if none comes in time."""
        if (table := self.current) is not None:
            return table
        with suppress(TimeoutError, ActorSystemError):
            return self._take(await asyncio.wait_for(self.watch(ANY_REVISION, 0.0), wait_s))
        raise NotReadyError(self.keeper)

    async def refresh(self) -> Table:
        """The table as it is at its keeper's now. Raises NotReadyError, StoreUnavailableError."""
        return self._take(await self.watch(ANY_REVISION, 0.0))

    async def _follow(self) -> None:
        while True:
            try:
                known = self.revision_of(self._table) if self._table is not None else ANY_REVISION
                self._take(await self.watch(known, POLL_S))
            except (NotReadyError, ActorSystemError) as error:
                _LOGGER.warning(
                    "the table of the %s cannot be read now: %s", self.keeper, error, extra={"action": "table_unreadable"}
                )
                await asyncio.sleep(_PAUSE_S)

    def _take(self, table: Table) -> Table:
        if self._table is None or self.revision_of(table) >= self.revision_of(self._table):
            self._table = table
        return self._table
