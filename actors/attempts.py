"""Bringing up, watching and ending the processes of attempts, for the supervisor.

An attempt's process is a named, detached Ray actor that Ray never restarts: repeating is the supervisor's decision. It is scheduled
into the placement group of the leased device, with the lease's fraction, so Ray's own books pin and count it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.core.model import DeviceKind, Lease
from actors.core.task_events import AttemptDied, AttemptEnded
from actors.core.units import fraction_from_units
from actors.devices import find_group
from actors.messages import AttemptOrder, AttemptResult, GrantedLease
from actors.names import NAMESPACE
from actors.workers.attempt import AttemptActor
from configs.settings import Settings

#: ready, outcome (twice: an old supervisor's call may still wait), stop, and room to spare.
_CONCURRENCY = 8


def actor_options(order: AttemptOrder) -> dict[str, Any]:
    """The Ray options of an attempt's process: its name, its place, and what Ray's books say it takes."""
    granted = order.granted
    return {
        "name": order.attempt_id,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "max_restarts": 0,
        "max_concurrency": _CONCURRENCY,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(find_group(granted.group_id), 0),
        **resource_options(granted),
    }


def resource_options(granted: GrantedLease) -> dict[str, float]:
    """What Ray is told that a holder of this lease takes."""
    fraction = fraction_from_units(granted.lease.portions[0].units)
    if granted.device.kind is DeviceKind.GPU:
        return {"num_gpus": fraction, "num_cpus": 0}
    return {"num_cpus": round(fraction * granted.device.cores, 4), "num_gpus": 0}


class AttemptRunner:
    """The processes of all attempts. Knows nothing of tasks: attempts go in, events come out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self, order: AttemptOrder, renew: Callable[[Lease], Awaitable[None]]) -> AttemptEnded | AttemptDied:
        """Bring up the process of an attempt and wait for its end.

        Args:
            order: what the process is to do, on which lease.
            renew: keeps the lease alive until the process is up and does so itself.
        """
        try:
            handle = ray.remote(AttemptActor).options(**actor_options(order)).remote(order, self._settings)
            await self._await_start(handle, order.granted.lease, renew)
        except TimeoutError:
            await self.kill(order.attempt_id)
            return AttemptDied(order.attempt_id, f"it did not start within {self._settings.start_deadline_s:.0f} s")
        except (RayError, ValueError) as error:
            return AttemptDied(order.attempt_id, _explain(error))
        return await self._await_outcome(order.attempt_id, handle)

    async def adopt(self, attempt_id: str) -> AttemptEnded | AttemptDied:
        """Wait for the end of an attempt that an earlier supervisor brought up."""
        handle = find_attempt(attempt_id)
        if handle is None:
            return AttemptDied(attempt_id, "its process was gone when the supervisor came back")
        return await self._await_outcome(attempt_id, handle)

    async def stop(self, attempt_id: str) -> None:
        """Ask the process to stop at the next batch; if it has not ended after the grace period, end it."""
        handle = find_attempt(attempt_id)
        if handle is None:
            return
        try:
            async with asyncio.timeout(self._settings.stop_grace_s):
                await handle.stop.remote()
                await handle.outcome.remote()
        except (TimeoutError, RayError):
            await self.kill(attempt_id)

    async def kill(self, attempt_id: str) -> None:
        """End the process at once; nothing happens if it is gone. Ray may take seconds over one that is stopped."""
        handle = find_attempt(attempt_id)
        if handle is not None:
            await asyncio.to_thread(ray.kill, handle, no_restart=True)

    async def _await_start(self, handle: ActorHandle, lease: Lease, renew: Callable[[Lease], Awaitable[None]]) -> None:
        """Wait until the process is up, renewing its lease meanwhile. Raises TimeoutError after the deadline."""
        ready = asyncio.ensure_future(_answer(handle.ready.remote()))
        async with asyncio.timeout(self._settings.start_deadline_s):
            while not (await asyncio.wait({ready}, timeout=self._settings.heartbeat_s))[0]:
                await renew(lease)
            await ready

    async def _await_outcome(self, attempt_id: str, handle: ActorHandle) -> AttemptEnded | AttemptDied:
        try:
            result: AttemptResult = await handle.outcome.remote()
        except RayActorError as error:
            return AttemptDied(attempt_id, _explain(error))
        except RayError as error:
            await self.kill(attempt_id)
            return AttemptDied(attempt_id, _explain(error))
        return AttemptEnded(attempt_id, result.outcome, result.message, result.fault, result.is_retryable, result.progress)


async def _answer(ref: Awaitable[int]) -> int:
    return await ref


def find_attempt(attempt_id: str) -> ActorHandle | None:
    """The live process of an attempt, or None."""
    try:
        return ray.get_actor(attempt_id, namespace=NAMESPACE)
    except ValueError:
        return None


def _explain(error: BaseException) -> str:
    """What Ray says of a dead process, in one line: the exit detail where there is one, else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    details = [line for line in lines if "exit detail" in line.lower()]
    return (details or lines or [type(error).__name__])[0]
