"""An actor found by its name, and the only place where Ray's errors become the domain's.

Owns time limits, the finding of actors and the repeats that hide an actor's restart (a second or two). No route ever sees a
Ray exception: what an actor raised comes out as it was raised, a silent or dead actor as ``NotReadyError``.
"""

import asyncio
import time
from typing import Any, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from actors.names import NAMESPACE
from serve_app.ports import NotReadyError

#: An actor answers in milliseconds; beyond this it hangs.
ANSWER_S = 10.0
PING_S = 2.0
#: An actor that was killed is back after a second or two: it is asked again this often, for so long.
RESTART_PAUSE_S = 0.2
RESTART_PATIENCE_S = 3.0


class NamedActor:
    """An actor found by its name. The handle is kept until the actor dies for good; it may be found anew then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: ActorHandle | None = None

    async def ask(self, method: str, *args: Any, timeout_s: float = ANSWER_S, is_repeatable: bool = True) -> Any:
        """Call a method and wait for its answer.

        Args:
            method: of the actor.
            args: of the method.
            timeout_s: for one try.
            is_repeatable: whether another call does no harm where one before may have been carried out.

        Raises:
            NotReadyError: the actor is not there, died or did not answer in time.
            Exception: whatever the method raised.
        """
        last_try_at = time.monotonic() + (RESTART_PATIENCE_S if is_repeatable else 0.0)
        while True:
            try:
                return await self._ask_once(method, args, timeout_s)
            except NotReadyError as error:
                if time.monotonic() >= last_try_at or isinstance(error.__cause__, TimeoutError):
                    raise
            await asyncio.sleep(RESTART_PAUSE_S)

    async def _ask_once(self, method: str, args: tuple[Any, ...], timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                handle = await self._find()
                return await getattr(handle, method).remote(*args)
        except RayTaskError as error:
            raise self._raised_inside(error) from None
        except ActorDiedError as error:
            self._handle = None
            raise NotReadyError(self._name) from error
        except (RayError, TimeoutError) as error:
            raise NotReadyError(self._name) from error

    async def _find(self) -> ActorHandle:
        if self._handle is None:
            try:
                # In a thread: it is a blocking call to Ray's head.
                self._handle = await asyncio.to_thread(ray.get_actor, self._name, NAMESPACE)
            except ValueError as error:
                raise NotReadyError(self._name) from error
        return self._handle

    def _raised_inside(self, error: RayTaskError) -> Exception:
        """What the method raised; where it only passed on that another actor is away, that."""
        cause = error.cause
        if isinstance(cause, RayError | TimeoutError):
            return NotReadyError(self._name)
        return cast("Exception", cause)
