"""Bringing up, watching and ending the processes of attempts, for the supervisor.

An attempt's process is a named, detached Ray actor that Ray never restarts: repeating is the supervisor's decision. It is scheduled
into the placement group of the leased device, with the lease's fraction, so Ray's own books pin and count it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.attempt_order import AttemptOrder, AttemptResult
from actors.core.errors import LeaseError
from actors.core.model import DeviceKind, Lease
from actors.core.task_events import AttemptDied, AttemptEnded
from actors.core.units import fraction_from_units
from actors.devices import find_group
from actors.learning.errors import RANK_LOST
from actors.messages import GrantedLease
from actors.names import NAMESPACE
from actors.redaction import hide_paths
from actors.workers.attempt import AttemptActor
from configs.settings import Settings

#: ready, outcome (more than once: an old supervisor's question may still wait), stop, and room to spare.
_CONCURRENCY = 8
#: How long the rank that made the others fail may take to say so.
_CAUSE_S = 5.0


def actor_name(attempt_id: str, rank: int) -> str:
    """The name of an attempt's process in Ray; of a gang, rank 0 bears the attempt's own."""
    return attempt_id if rank == 0 else f"{attempt_id}.rank{rank}"


def actor_options(order: AttemptOrder) -> dict[str, Any]:
    """The Ray options of an attempt's process: its name, its place, and what Ray's books say it takes."""
    granted = order.granted
    return {
        "name": actor_name(order.attempt_id, granted.rank),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "max_restarts": 0,
        "max_concurrency": _CONCURRENCY,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(find_group(granted.group_id), 0),
        **resource_options(granted),
    }


def resource_options(granted: GrantedLease) -> dict[str, float]:
    """What Ray is told that a holder of this lease takes."""
    fraction = fraction_from_units(granted.portion.units)
    if granted.device.kind is DeviceKind.GPU:
        return {"num_gpus": fraction, "num_cpus": 0}
    return {"num_cpus": round(fraction * granted.device.cores, 4), "num_gpus": 0}


class UnwantedAttemptError(Exception):
    """Nobody wants any more that an attempt begins."""


#: Why the processes of an attempt do not come up.
_NO_START: Final = (TimeoutError, LeaseError, UnwantedAttemptError, RayError, ValueError)


class AttemptRunner:
    """The processes of all attempts: one each, or one for each rank of a gang.

    Knows nothing of tasks: orders go in, events come out, and each attempt's own last word goes to ``on_result`` before its event.
    """

    def __init__(self, settings: Settings, on_result: Callable[[str, AttemptResult], None]) -> None:
        self._settings = settings
        self._on_result = on_result
        self._widths: dict[str, int] = {}  # the number of processes of each attempt

    async def run(self, order: AttemptOrder, renew: Callable[[Lease], Awaitable[None]]) -> AttemptEnded | AttemptDied:
        """Bring up the processes of an attempt and wait for its end.

        Args:
            order: what they are to do, on which lease.
            renew: keeps the lease alive until the processes are up and do so themselves; raises LeaseError where it is over, and
                UnwantedAttemptError where a user or the line asked for the end before there was a process to hear it.
        """
        ranks = order.granted.ranks()
        self._widths[order.attempt_id] = len(ranks)
        keep = partial(renew, order.granted.lease)
        try:
            # The record of its beginning may have waited long for room on the disk, and nobody kept the lease meanwhile.
            await keep()
            handles = [self._bring_up(replace(order, granted=granted)) for granted in ranks]
            await self._await_start(handles, keep)
        except _NO_START as error:
            return await self._give_up(order.attempt_id, error)
        return await self._await_outcome(order.attempt_id, handles)

    async def adopt(self, attempt_id: str, width: int, renew: Callable[[], Awaitable[None]]) -> AttemptEnded | AttemptDied:
        """Wait for the end of an attempt that an earlier supervisor brought up, or was about to.

        Without any process it costs no retry. One whose process is still coming up is waited for as by the supervisor before.

        Args:
            attempt_id: whose processes are looked for.
            width: how many there are to be.
            renew: as ``run``'s, of the attempt's lease; not called where the processes are up.
        """
        self._widths[attempt_id] = width
        handles = self._find(attempt_id)
        if len(handles) < width:
            await self.kill(attempt_id)
            cause = "its process was gone when the supervisor came back"
            return AttemptDied(attempt_id, cause, is_counted=bool(handles))
        try:
            await self._await_start(handles, renew)
        except _NO_START as error:
            return await self._give_up(attempt_id, error)
        return await self._await_outcome(attempt_id, handles)

    async def _give_up(self, attempt_id: str, error: Exception) -> AttemptDied:
        """End what there is of an attempt that could not begin."""
        await self.kill(attempt_id)
        match error:
            case TimeoutError():
                return AttemptDied(attempt_id, f"it did not start within {self._settings.start_deadline_s:.0f} s")
            case LeaseError():  # Its node may be lost: then the process waits for a place that never comes again.
                return AttemptDied(attempt_id, "its lease ended before its process answered", is_counted=False)
            case UnwantedAttemptError():
                return AttemptDied(attempt_id, "ended before it had begun", is_counted=False)
            case _:
                return AttemptDied(attempt_id, _explain(error, self._settings.data_roots))

    async def stop(self, attempt_id: str) -> None:
        """Ask the processes to stop at the next batch; end what has not ended after the grace period."""
        handles = self._find(attempt_id)
        try:
            async with asyncio.timeout(self._settings.stop_grace_s):
                await asyncio.gather(*(_answer(handle.stop.remote()) for handle in handles))
                await asyncio.gather(*(_outcome(handle) for handle in handles))
        except (TimeoutError, RayError):
            await self.kill(attempt_id)

    async def kill(self, attempt_id: str) -> None:
        """End the processes at once; nothing happens if they are gone. Ray may take seconds over one that is stopped."""
        handles = self._find(attempt_id)
        await asyncio.gather(*(asyncio.to_thread(ray.kill, handle, no_restart=True) for handle in handles))

    def _bring_up(self, order: AttemptOrder) -> ActorHandle:
        return ray.remote(AttemptActor).options(**actor_options(order)).remote(order, self._settings)

    def _find(self, attempt_id: str) -> list[ActorHandle]:
        """The live processes of an attempt."""
        found = (find_attempt(actor_name(attempt_id, rank)) for rank in range(self._widths.get(attempt_id, 1)))
        return [handle for handle in found if handle is not None]

    async def _await_start(self, handles: list[ActorHandle], renew: Callable[[], Awaitable[None]]) -> None:
        """Wait until every process is up, renewing their lease meanwhile. Raises TimeoutError after the deadline."""
        ready = asyncio.gather(*(_answer(handle.ready.remote()) for handle in handles))
        async with asyncio.timeout(self._settings.start_deadline_s):
            try:
                while not (await asyncio.wait({ready}, timeout=self._settings.heartbeat_s))[0]:
                    await renew()
                await ready
            finally:
                ready.cancel()

    async def _await_outcome(self, attempt_id: str, handles: list[ActorHandle]) -> AttemptEnded | AttemptDied:
        """Wait for the word of rank 0; a gang is over as soon as one of its processes fails or dies."""
        words = [asyncio.ensure_future(_outcome(handle)) for handle in handles]
        try:
            result = await _first_word(words)
        except RayError as error:
            await self.kill(attempt_id)
            return AttemptDied(attempt_id, _explain(error, self._settings.data_roots))
        finally:
            for word in words:
                word.cancel()
            if len(handles) > 1:
                await self.kill(attempt_id)
            self._widths.pop(attempt_id, None)
        self._on_result(attempt_id, result)
        return AttemptEnded(attempt_id, result.outcome, result.message, result.fault, result.is_retryable, result.progress)


async def _first_word(words: Sequence["asyncio.Future[AttemptResult]"]) -> AttemptResult:
    """The result of rank 0, or of the first rank that failed; raises what the first that died raised.

    A rank that only lost another one is not the cause: the other's own word, or its death, is waited for a little.
    """
    pending, lost = set(words), None
    while pending:
        done, pending = await asyncio.wait(pending, timeout=_CAUSE_S if lost else None, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        for word in sorted(done, key=words.index):
            result = word.result()
            if result.fault is not None and result.fault.code == RANK_LOST:
                lost = lost or result
            elif word is words[0] or result.outcome == "failed":
                return result
    assert lost is not None  # noqa: S101 - rank 0 answers otherwise
    return lost


async def _answer(ref: Awaitable[Any]) -> Any:
    return await ref


async def _outcome(handle: ActorHandle) -> AttemptResult:
    """How the attempt of a process ended, once it has. Raises RayError where the process dies before."""
    while (result := await _answer(handle.outcome.remote())) is None:
        pass
    return cast("AttemptResult", result)


def find_attempt(attempt_id: str) -> ActorHandle | None:
    """The live process of an attempt, or None."""
    try:
        return ray.get_actor(attempt_id, namespace=NAMESPACE)
    except ValueError:
        return None


def _explain(error: BaseException, roots: Sequence[Path]) -> str:
    """What Ray says of a dead process, in one line without paths of ours: the exit detail where there is one, else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    details = [line for line in lines if "exit detail" in line.lower()]
    return hide_paths((details or lines or [type(error).__name__])[0], roots)
