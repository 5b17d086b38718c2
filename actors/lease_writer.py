"""Leases on their way to the store: one thread, one commit after the other, in the order of the accountant's decisions."""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from actors.core.errors import StoreUnavailableError
from actors.lease_store import LeaseChange, LeaseStore

_PAUSE_S = 0.5


class LeaseWriter:
    """The one writer of leases.

    Invariant: changes are committed in the order they came in, each before anything that came after it.
    """

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self._pause = threading.Event()  # never set: it only waits
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lease-writer")

    async def keep(self, change: LeaseChange) -> None:
        """Write a change; returns once it is on disk."""
        await self.call(self._keep, change)

    async def call(self, write: Callable[..., None], *args: Any) -> None:
        """Let the thread write something else of the accountant's, behind what came before it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, write, *args)

    def _keep(self, change: LeaseChange) -> None:
        """Write until the store takes it.

        What the scheduler has decided cannot be taken back: were it given up here, its commands would never be carried out.
        """
        while True:
            try:
                self._store.write_leases(change)
            except StoreUnavailableError as error:
                print(f"leases are not written yet: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the actor's own log
                self._pause.wait(_PAUSE_S)
            else:
                return
