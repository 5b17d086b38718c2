"""Letting an alias mean another version without a gap: prepare beside, check, flip, free.

Owns the order of these steps, and that a version which fails its check never gets traffic. How a replica loads and checks is the
predictor's business, what is durable the registry's. Promotions of one model come one after the other here; against those of other
processes the registry compares before it sets.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from actors.core.errors import ActorSystemError, ModelCheckError
from actors.online.orders import PrepareOrder, PrepareReport
from actors.registry.records import PRODUCTION, ModelEntry, ModelVersion, RegisterModel, ServedVersion, SetAlias
from serve_app.model_table import FollowedModels, find_entry, require_version
from serve_app.ports import ModelsPort, NotReadyError, PredictorPort

Done = TypeVar("Done")


class Promoter:
    """Changes what aliases mean, and which versions there are, with the replicas following."""

    def __init__(self, registry: ModelsPort, predictor: PredictorPort, models: FollowedModels) -> None:
        self._registry = registry
        self._predictor = predictor
        self._models = models
        #: Of each model, while somebody uses it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        #: What goes on although its caller may have gone away.
        self._going_on: set[asyncio.Task[Any]] = set()

    async def register(self, wish: RegisterModel, alias: str = "") -> tuple[ModelVersion, str]:
        """Register a version, check it, and let an alias mean it where one is given.

        Returns:
            The version, and why it is not checked yet; "" where it is.

        Raises:
            ModelCheckError: it cannot be loaded, or fails its check; it is not kept.
            AliasMovedError, NotReadyError: the alias could not be set; the version is not kept.
            SubmissionError, TaskNotFoundError, StoreUnavailableError: nothing was registered.
        """
        version = await self._registry.register(wish)
        served = version.served
        try:
            if alias:
                await self.promote(served.name, alias, served.version)
                return version, ""
            return version, await self._check(served)
        except (ActorSystemError, NotReadyError):
            with suppress(ActorSystemError, NotReadyError):
                await self._registry.delete(served.name, served.version)
            raise
        finally:
            await self._models.learn_at_once()

    async def promote(self, name: str, alias: str, version: int) -> ModelEntry:
        """Let an alias mean a version, once every replica is ready for it. The same call with an earlier version rolls back.

        Raises:
            ModelNotFoundError: there is no such model or version.
            ModelCheckError: a replica cannot load it, or it fails its check there; nothing has changed.
            AliasMovedError: somebody else changed the alias meanwhile; nothing has changed.
            NotReadyError: the registry or every replica is away; nothing has changed.
        """
        async with self._alone(name):
            entry = find_entry(await self._models.refresh(), name)
            require_version(entry, version)
            if entry.aliases.get(alias) == version:
                return entry
            await self._swap(_Swap(self._predictor, entry, alias, version))
            return find_entry(await self._models.table(), name)

    async def _swap(self, swap: "_Swap") -> None:
        """Prepare, flip, refresh and free; put everything back where one of the first two fails, or the caller goes away."""
        try:
            await swap.prepare()
            await self._registry.set_alias(SetAlias(swap.new.name, swap.alias, swap.new.version, swap.expected))
        except NotReadyError:
            if not await self._to_the_end(self._settle(swap)):
                raise
        except BaseException:
            await self._to_the_end(self._settle(swap))
            raise
        else:
            await self._models.learn_at_once()
            # Nobody need wait until the last request in the old version has ended, which may be a long recording.
            self._begin(swap.free_old())

    async def _settle(self, swap: "_Swap") -> bool:
        """End a promotion that was interrupted: put everything back, unless the alias means the new version all the same.

        The answer of the registry may get lost after the change was made; its table tells.
        """
        is_set = False
        with suppress(ActorSystemError, NotReadyError):
            entry = find_entry(await self._models.refresh(), swap.new.name)
            is_set = entry.aliases.get(swap.alias) == swap.new.version
        await (swap.free_old() if is_set else swap.put_back())
        return is_set

    async def _to_the_end(self, work: Coroutine[None, None, bool]) -> bool:
        """Wait for work that goes on when the waiting is cancelled."""
        return await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[None, None, Done]) -> asyncio.Task[Done]:
        """Let work go on by itself; the loop keeps no task that nobody holds."""
        task = asyncio.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        return task

    async def remove_alias(self, name: str, alias: str) -> ModelEntry:
        """Let an alias mean nothing. Raises ModelNotFoundError, NotReadyError."""
        async with self._alone(name):
            table = await self._registry.remove_alias(name, alias)
            await self._models.learn_at_once()
            return find_entry(table, name)

    async def delete(self, name: str, version: int | None) -> None:
        """Forget a version, or a whole model, in the registry and in the replicas. Raises ModelNotFoundError, ModelInUseError."""
        async with self._alone(name):
            entry = find_entry(await self._models.refresh(), name)
            await self._registry.delete(name, version)
            await self._models.learn_at_once()
            for number in entry.versions if version is None else (version,):
                await _free(self._predictor, name, number)

    async def _check(self, served: ServedVersion) -> str:
        """Let the replicas load a version that nobody asks for yet; why it is not checked, "" where it is. Raises ModelCheckError."""
        try:
            reports = await self._predictor.prepare(PrepareOrder(served, await self._meant(served)))
        except NotReadyError as error:
            return f"not checked yet: {error}"
        _raise_failure(served, reports)
        is_checked = any(report.state == "ready" for report in reports)
        return "" if is_checked else "not checked yet: no replica has room for it beside the models that it serves"

    async def _meant(self, served: ServedVersion) -> ServedVersion | None:
        """What the bare name of a new version's model means, if that is another version. Raises NotReadyError."""
        await self._models.learn_at_once()
        entry = (await self._models.table()).models.get(served.name)
        meant = entry.versions.get(entry.default_version or 0) if entry is not None else None
        return meant.served if meant is not None and meant.served.version != served.version else None

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """Keep other changes of this model in this process waiting."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield


class _Swap:
    """One promotion under way: knows which replicas have given up the old version for the new one."""

    def __init__(self, predictor: PredictorPort, entry: ModelEntry, alias: str, version: int) -> None:
        self._predictor = predictor
        self._entry = entry
        self._swapped: list[str] = []
        self.alias = alias
        self.new = entry.versions[version].served
        self.expected = entry.aliases.get(alias)
        self._old = entry.versions[self.expected].served if self.expected is not None else None

    async def prepare(self) -> None:
        """Have every replica load the new version: beside the old one, or where both do not fit in its place, replica by replica."""
        reports = await self._predictor.prepare(PrepareOrder(self.new, self._old or self._production()))
        _raise_failure(self.new, reports)
        for report in reports:
            if report.state == "no_room":
                await self._prepare_instead(report.replica_id)

    async def put_back(self) -> None:
        """Let the replicas be as they were; what cannot be reached now loads what it is asked for."""
        for replica_id in reversed(self._swapped):
            with suppress(ActorSystemError, NotReadyError):
                await self._predictor.prepare(PrepareOrder(self._given_up(replica_id), self.new, replica_id))
        if not self._entry.aliases_of(self.new.version):
            await _free(self._predictor, self.new.name, self.new.version)

    async def free_old(self) -> None:
        """Let the replicas forget the old version, unless another alias means it."""
        if self._old is not None and not self._others():
            await _free(self._predictor, self._old.name, self._old.version)

    async def _prepare_instead(self, replica_id: str) -> None:
        old = self._given_up(replica_id)
        self._swapped.append(replica_id)  # first: one that fails may have given up the old version already
        reports = await self._predictor.prepare(PrepareOrder(self.new, old, replica_id))
        _raise_failure(self.new, reports)
        if any(report.state == "no_room" for report in reports):
            raise _no_room(self.new, replica_id, f"even without version {old.version}")

    def _given_up(self, replica_id: str) -> ServedVersion:
        """The version that makes room in a replica. Raises ModelCheckError where there is none, or it is still asked for."""
        if self._old is None:
            raise _no_room(self.new, replica_id, "beside what it serves")
        if others := self._others():
            raise _no_room(self.new, replica_id, f"beside version {self._old.version}, which {others[0]} means too")
        return self._old

    def _production(self) -> ServedVersion | None:
        """What production means, if that is another version: a new alias must not evict it."""
        number = self._entry.aliases.get(PRODUCTION, self.new.version)
        return self._entry.versions[number].served if number != self.new.version else None

    def _others(self) -> list[str]:
        """The other aliases that mean the old version."""
        if self._old is None:
            return []
        return [each for each in self._entry.aliases_of(self._old.version) if each != self.alias]


def _no_room(served: ServedVersion, replica_id: str, beside: str) -> ModelCheckError:
    remedy = "raise serving_memory_gb, or remove an alias"
    return ModelCheckError(f"{served.name}@{served.version}", f"replica {replica_id} has no room for it {beside}; {remedy}")


def _raise_failure(served: ServedVersion, reports: Sequence[PrepareReport]) -> None:
    """Raise ModelCheckError where a replica could not load the version or it failed its check there."""
    failed = [report for report in reports if report.state == "failed"]
    if failed:
        first = failed[0]
        raise ModelCheckError(
            f"{served.name}@{served.version}", f"it fails its check on replica {first.replica_id}: {first.reason}"
        )


async def _free(predictor: PredictorPort, name: str, version: int) -> None:
    """Let every replica forget a version; one that is not reached forgets it when it needs the room."""
    with suppress(ActorSystemError, NotReadyError):
        await predictor.free(name, version)
