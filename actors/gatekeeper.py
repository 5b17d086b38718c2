"""The gatekeeper: owner of the API keys and the audit log of a running service.

Lives in the supervisor's process and answers messages of its own; it neither knows tasks nor decides who may do what: the ingress does,
with the table of keys that it watches here. Keys may also be changed by ``rfuav keys``, behind this process's back, so a watcher looks
into the store twice a second.
"""

import asyncio
from typing import Final, assert_never

from actors.access import (
    AddKey,
    ApiKey,
    AuditPage,
    GateQuestion,
    KeyTable,
    NewKey,
    ReadAudit,
    RevokeKey,
    WatchKeys,
    WriteAudit,
    mint_key,
)
from actors.access_store import AccessStore
from actors.clock import Clock
from configs.settings import Settings

#: How often the store is asked for changes of others; a revoked key is refused after this time at the latest.
_LOOK_EVERY_S: Final = 0.5


class Gatekeeper:
    """Keys and audit entries. Everything it knows is in the store, so it holds no state of its own."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._store = AccessStore(settings.database_url)
        self._clock = clock
        self._most_entries = settings.audit_entries

    async def answer(self, question: GateQuestion) -> KeyTable | NewKey | ApiKey | AuditPage | None:
        """Do what is asked, with the store in a thread.

        Raises:
            KeyNotFoundError, LastAdminKeyError: of a revocation.
            StoreUnavailableError: nothing was changed.
        """
        match question:
            case WatchKeys():
                return await self._watch(question)
            case AddKey():
                return await asyncio.to_thread(self._add, question)
            case RevokeKey():
                return await asyncio.to_thread(self._store.revoke_key, question.key_id)
            case WriteAudit():
                return await asyncio.to_thread(self._store.write_audit, question.entries, most=self._most_entries)
            case ReadAudit():
                return await asyncio.to_thread(self._store.read_audit, before=question.cursor, limit=question.limit)
            case _:
                assert_never(question)

    async def _watch(self, question: WatchKeys) -> KeyTable:
        """All keys once their version is another than the asker's, or the wait is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + question.wait_s
        # Other processes change the store too, and can tell nobody.
        while await asyncio.to_thread(self._store.keys_version) == question.version and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
        return await asyncio.to_thread(self._store.read_keys)

    def _add(self, question: AddKey) -> NewKey:
        new = mint_key(question.name, question.role, now=self._clock.now())
        self._store.add_key(new.key)
        return new
