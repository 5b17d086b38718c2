"""Who changed what: entries on their way from this process to the gatekeeper.

An answer never waits for its entry. An entry is sent the moment the answer begins, together with those that came meanwhile, and again
until the gatekeeper has it; only the sudden end of this process within these milliseconds loses one.
"""

import asyncio
import logging
from collections import deque
from typing import Final

from actors.access import AuditEntry
from actors.core.errors import ActorSystemError
from serve_app.ports import AccessPort, NotReadyError

_MOST_AT_ONCE: Final = 500
#: Kept while the gatekeeper is away, when next to nothing can be changed anyhow.
_MOST_WAITING: Final = 10_000
_PAUSE_S: Final = 0.5
_LOGGER = logging.getLogger(__name__)


class AuditTrail:
    """Sends entries in the order in which they were put."""

    def __init__(self, port: AccessPort) -> None:
        self._port = port
        self._waiting: deque[AuditEntry] = deque()
        self._sender: asyncio.Task[None] | None = None

    def put(self, entry: AuditEntry) -> None:
        """Take an entry; returns at once."""
        if len(self._waiting) >= _MOST_WAITING:
            lost = self._waiting.popleft()
            _LOGGER.error("an audit entry is lost: %s", lost, extra={"action": "audit_lost"})
        self._waiting.append(entry)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def flush(self, wait_s: float) -> None:
        """Wait until everything is sent, or the time is over."""
        if self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender], timeout=wait_s)

    async def _send(self) -> None:
        while self._waiting:
            batch = tuple(self._waiting)[:_MOST_AT_ONCE]
            try:
                await self._port.write_audit(batch)
            except (NotReadyError, ActorSystemError) as error:
                _LOGGER.warning("the audit log cannot be written now: %s", error, extra={"action": "audit_unwritable"})
                await asyncio.sleep(_PAUSE_S)
                continue
            sent = set(batch)
            while self._waiting and self._waiting[0] in sent:
                self._waiting.popleft()
