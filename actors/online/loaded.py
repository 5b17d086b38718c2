"""The versions that a replica holds.

Owns which versions are in memory: loaded once when first asked for, evicted by memory, swapped where two do not fit. All of it runs on
one event loop, so nothing changes between two awaits; only loading itself is done in a thread.
"""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import torch

from actors.core.errors import ModelCheckError
from actors.messages import LoadedModel
from actors.online.footprint import Footprint, total_bytes
from actors.online.loading import Load, LoadedVersion, name_of
from actors.registry.records import LoadReport, ServedVersion

Key = tuple[str, int]
Made = TypeVar("Made")
#: How long a version stands in for the one that it took the place of; by then an alias means it, or the swap came to nothing.
FOLLOWING_S: Final = 120.0


class NoRoomError(ModelCheckError):
    """A version does not fit beside those that must stay."""


@dataclass(frozen=True, slots=True)
class _Swap:
    """What a version is loaded for: to take the place of another one, which may be freed before where both do not fit.

    With ``is_back`` that one had taken the place of this one: then nobody is to follow, since who names it means it.
    """

    instead_of: ServedVersion
    may_free: bool
    is_back: bool


@dataclass(frozen=True, slots=True)
class _Following:
    """The version that stands in for one that gave way, and until when by the loop's clock."""

    model: ServedVersion
    until: float


class _Entry:
    """A version that is wanted: on its way, held, or on its way out.

    Invariant: ``unused`` is set while nobody claims it; a claim is made before its load, so that nobody evicts what others wait for.
    """

    def __init__(self, model: ServedVersion) -> None:
        self.model = model
        self.load: Load | None = None
        self.ready: asyncio.Future[Load]
        self.used_at = 0
        self.requests = 0
        self.unused = asyncio.Event()
        self.unused.set()
        self._claims = 0

    @property
    def is_claimed(self) -> bool:
        """Whether somebody works with it or waits for it."""
        return self._claims > 0

    def claim(self, used_at: int) -> None:
        """Keep it from leaving."""
        self._claims += 1
        self.used_at = used_at
        self.unused.clear()

    def release(self) -> None:
        """Take one claim back."""
        self._claims -= 1
        if not self._claims:
            self.unused.set()


class LoadedVersions:
    """The versions of one engine, all used from one event loop.

    Invariant: what is held, with what is on its way out, takes no more than the budget; ``_entries`` names each version at most once,
    and holds none that is on its way out.
    """

    def __init__(
        self,
        load: Callable[[ServedVersion], Load],
        *,
        expect: Callable[[ServedVersion], Footprint],
        budget_bytes: int,
        pause: "Callable[[], Future[None]]",
    ) -> None:
        """Hold nothing yet.

        Args:
            load: makes a version answer; called in a thread, one at a time.
            expect: what a version will take.
            budget_bytes: what all may take.
            pause: tells when the forward pass that runs now is over.
        """
        self._load_version = load
        self._expect = expect
        self._budget_bytes = budget_bytes
        self._pause = pause
        self._entries: dict[Key, _Entry] = {}
        self._leaving: dict[_Entry, asyncio.Task[None]] = {}
        #: Versions that gave way to another one before that was ready, and which; kept beyond its time, to tell a swap back.
        self._following: dict[Key, _Following] = {}
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loads")
        self._uses = itertools.count(1)

    @asynccontextmanager
    async def use(self, model: ServedVersion, *, may_follow: bool = False) -> AsyncIterator[LoadedVersion]:
        """Load a version if need be, and keep it while it is worked with.

        Args:
            model: which.
            may_follow: whether the version that takes its place during a swap will do.

        Raises:
            ModelCheckError: It cannot be loaded, or is larger than the budget.
        """
        entry = await self._claim(model, may_follow=may_follow)
        entry.requests += 1
        try:
            yield entry.ready.result().version
        finally:
            entry.release()

    async def prepare(self, model: ServedVersion, instead_of: ServedVersion | None, *, may_free: bool) -> LoadReport:
        """Have a version loaded, evicting others but never ``instead_of``, unless it may be freed where there is no other way.

        Raises:
            NoRoomError: It does not fit beside ``instead_of``; nothing was freed.
            ModelCheckError: It cannot be loaded; if ``instead_of`` was freed, it is on its way back.
        """
        followed = self._following.pop(model.key, None)
        swap = None
        if instead_of is not None:
            is_back = followed is not None and followed.model.key == instead_of.key
            swap = _Swap(instead_of, may_free=may_free, is_back=is_back)
        entry = await self._claim_one(model, swap)
        entry.release()
        return entry.ready.result().report

    async def free(self, key: Key) -> None:
        """Drop a version once all work with it has ended; later orders for it load it anew. One that is not held is free already."""
        self._end_following(key)
        entry = self._entries.get(key)
        if entry is None:
            return
        with suppress(ModelCheckError):
            await asyncio.shield(entry.ready)
        self._end_following(key)  # again: it may have taken another's place only now
        if entry.load is not None:
            await self._retire(entry)

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Tell what is held ready, least recently used first, each with the memory of its weights alone."""
        held = sorted((entry for entry in self._entries.values() if entry.load), key=lambda entry: entry.used_at)
        return tuple(
            LoadedModel(*entry.model.key, entry.load.report.precision, entry.load.footprint.weights_bytes, entry.requests)
            for entry in held
            if entry.load
        )

    def memory_bytes(self) -> int:
        """What is held takes, with what is on its way out."""
        return total_bytes(self._footprints())

    def close(self) -> None:
        """End the loading thread; a load under way is finished first."""
        self._thread.shutdown(cancel_futures=True)

    async def _claim(self, model: ServedVersion, *, may_follow: bool) -> _Entry:
        """Claim a version, or the one that takes its place if that can be loaded."""
        successor = self._successor(model.key) if may_follow else None
        if successor is not None:
            with suppress(ModelCheckError):
                return await self._claim_one(successor)
        return await self._claim_one(model)

    def _successor(self, key: Key) -> ServedVersion | None:
        """The version that stands in for another one now."""
        following = self._following.get(key)
        if following is None or asyncio.get_running_loop().time() >= following.until:
            return None
        return following.model

    def _end_following(self, key: Key) -> None:
        """Let no version stand in for this one, nor this one for any other."""
        self._following = {old: new for old, new in self._following.items() if key not in (old, new.model.key)}

    async def _claim_one(self, model: ServedVersion, swap: _Swap | None = None) -> _Entry:
        """Claim a version once it is loaded; whoever comes first begins the load, and the others wait for it."""
        entry = self._entries.get(model.key) or self._begin(model, swap)
        entry.claim(next(self._uses))
        try:
            # The load goes on for the others, whoever stops waiting for it.
            await asyncio.shield(entry.ready)
        except BaseException:
            entry.release()
            raise
        return entry

    def _begin(self, model: ServedVersion, swap: _Swap | None = None) -> _Entry:
        """Begin to load a version."""
        entry = self._entries[model.key] = _Entry(model)
        entry.ready = asyncio.create_task(self._load_in_turn(entry, swap))
        # Nobody needs to wait for it, and then nobody hears of its failure.
        entry.ready.add_done_callback(lambda task: task.cancelled() or task.exception())
        return entry

    async def _load_in_turn(self, entry: _Entry, swap: _Swap | None) -> Load:
        """Load once no other load is under way, since two would compete for room."""
        try:
            async with self._turn:
                entry.load = await self._load(entry.model, swap)
        except BaseException:
            if self._entries.get(entry.model.key) is entry:
                del self._entries[entry.model.key]
            raise
        return entry.load

    async def _load(self, model: ServedVersion, swap: _Swap | None) -> Load:
        """Load a version beside the others, or in place of the one that it is to replace."""
        if swap is None:
            return await self._load_beside(model)
        try:
            return await self._load_beside(model, keep=swap.instead_of.key)
        except NoRoomError:
            if not swap.may_free:
                raise
        return await self._load_in_place(model, swap)

    async def _load_in_place(self, model: ServedVersion, swap: _Swap) -> Load:
        """Free a version first; whoever may follow waits for the new one meanwhile. Where that fails the old one comes back."""
        old = swap.instead_of
        if not swap.is_back:
            self._following[old.key] = _Following(model, asyncio.get_running_loop().time() + FOLLOWING_S)
        replaced = self._entries.get(old.key)
        if replaced is not None and replaced.load is not None:
            await self._retire(replaced)
        try:
            return await self._load_beside(model)
        except BaseException:
            self._following.pop(old.key, None)
            if replaced is not None and old.key not in self._entries:
                self._begin(old)
            raise

    async def _load_beside(self, model: ServedVersion, *, keep: Key | None = None) -> Load:
        """Load a version, evicting others as far as needed.

        Raises:
            NoRoomError: It does not fit beside the one to keep.
            ModelCheckError: It cannot be loaded, or is larger than the budget.
        """
        expected = self._expect(model)
        if total_bytes([expected]) > self._budget_bytes:
            raise _too_large(model, expected, self._budget_bytes)
        await self._make_room(model, expected, keep)
        while True:
            try:
                load = await self._in_thread(partial(self._load_version, model))
                break
            except torch.OutOfMemoryError:
                # The device holds less than the budget says: others may work there too.
                await self._evict_one(model, keep)
        await self._make_room(model, load.footprint, keep)
        return load

    async def _make_room(self, model: ServedVersion, wanted: Footprint, keep: Key | None) -> None:
        """Evict until a version fits, those not in use first, and of those the least recently used."""
        if total_bytes([*self._footprints(), wanted]) <= self._budget_bytes:
            return
        await self._await_leaving()
        candidates = self._evictable(keep)
        staying = self._footprints()
        doomed: list[_Entry] = []
        while total_bytes([*staying, wanted]) > self._budget_bytes:
            if not candidates:
                raise _no_room(model, wanted, self._budget_bytes)
            doomed.append(candidates.pop(0))
            staying = self._footprints(without=doomed)
        for entry in doomed:
            self._retire_soon(entry)
        await self._await_leaving()

    async def _evict_one(self, model: ServedVersion, keep: Key | None) -> None:
        """Evict the version that is needed least."""
        candidates = self._evictable(keep)
        if not candidates:
            raise NoRoomError(name_of(model), "the device's memory does not suffice")
        await self._retire(candidates[0])

    def _evictable(self, keep: Key | None) -> list[_Entry]:
        """List what may leave, in the order in which it should; what is in use leaves once the work with it has ended."""
        held = [entry for entry in self._entries.values() if entry.load is not None and entry.model.key != keep]
        return sorted(held, key=lambda entry: (entry.is_claimed, entry.used_at))

    def _footprints(self, *, without: Collection[_Entry] = ()) -> list[Footprint]:
        """What is held takes, one by one, with what is on its way out."""
        return [entry.load.footprint for entry in (*self._entries.values(), *self._leaving) if entry.load and entry not in without]

    async def _retire(self, entry: _Entry) -> None:
        """Give a version no more work, and wait until it has left."""
        await asyncio.shield(self._retire_soon(entry))

    def _retire_soon(self, entry: _Entry) -> asyncio.Task[None]:
        """Give a version no more work, and drop it once the work with it has ended; whoever wants it then loads it anew."""
        if entry not in self._leaving:
            del self._entries[entry.model.key]
            self._leaving[entry] = asyncio.create_task(self._drop(entry))
        return self._leaving[entry]

    async def _drop(self, entry: _Entry) -> None:
        await entry.unused.wait()
        # Somebody may have given up on an answer while its forward pass was running.
        await asyncio.wrap_future(self._pause())
        entry.load = None
        entry.ready = asyncio.get_running_loop().create_future()
        await self._in_thread(_give_memory_back)
        del self._leaving[entry]

    async def _await_leaving(self) -> None:
        if self._leaving:
            await asyncio.wait(list(self._leaving.values()))

    async def _in_thread(self, work: Callable[[], Made]) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _give_memory_back() -> None:
    """Free what only cycles of objects hold, as graphs do, and hand the GPU's free blocks back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _too_large(model: ServedVersion, wanted: Footprint, budget_bytes: int) -> ModelCheckError:
    reason = f"it takes {total_bytes([wanted])} bytes, a replica may hold {budget_bytes}"
    return ModelCheckError(name_of(model), f"{reason}; raise serving_memory_gb or lower serving_max_batch")


def _no_room(model: ServedVersion, wanted: Footprint, budget_bytes: int) -> NoRoomError:
    return NoRoomError(name_of(model), f"{total_bytes([wanted])} bytes do not fit beside the others into {budget_bytes}")
