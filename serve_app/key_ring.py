"""The keys as this process knows them. Before there was any table, nobody is let in."""

from typing import ClassVar

from actors.access import KeyTable
from serve_app.followed import FollowedTable
from serve_app.ports import AccessPort


class KeyRing(FollowedTable[KeyTable]):
    """The newest table of keys; a key that was revoked while the gatekeeper is away counts until he is back."""

    keeper: ClassVar[str] = "gatekeeper"

    def __init__(self, port: AccessPort) -> None:
        super().__init__()
        self._port = port

    async def watch(self, revision: int, wait_s: float) -> KeyTable:
        """See FollowedTable."""
        return await self._port.watch_keys(revision, wait_s)

    def revision_of(self, table: KeyTable) -> int:
        """See FollowedTable."""
        return table.version
