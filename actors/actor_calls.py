"""Questions of one actor to another: found by name, answered within a deadline, asked again where that does no harm.

Owns the handles and the pauses. What is asked, and what an answer means, is the caller's.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.core.errors import (
    ActorSystemError,
    DuplicateRequestError,
    LeaseError,
    StoreUnavailableError,
    UnsatisfiableRequestError,
)
from actors.names import NAMESPACE

#: The deadline of a question that names no other.
ANSWER_S: Final = 20.0
#: Between two tries; an actor that was killed is back after about a second.
PAUSE_S: Final = 0.5


class ActorCalls:
    """The named actors that one process asks; a handle is kept until its actor dies."""

    def __init__(self) -> None:
        self._handles: dict[str, ActorHandle] = {}

    async def ask(self, name: str, method: str, *args: Any, deadline_s: float = ANSWER_S) -> Any:
        """Send one message to another actor and wait for the answer.

        Raises:
            ActorSystemError: what the other raised, as it was raised.
            RayError, TimeoutError, ValueError: it does not answer, or there is no such actor.
        """
        if name not in self._handles:
            self._handles[name] = await asyncio.to_thread(ray.get_actor, name, NAMESPACE)
        try:
            return await asyncio.wait_for(getattr(self._handles[name], method).remote(*args), deadline_s)
        except RayTaskError as error:
            if isinstance(error.cause, ActorSystemError):
                raise error.cause from None
            raise
        except RayActorError:
            self._handles.pop(name, None)
            raise

    async def ask_once(self, name: str, method: str, *args: Any) -> None:
        """Send a message that another follows soon; nothing happens where nobody answers.

        Raises:
            ActorSystemError: what the other raised, as it was raised.
        """
        with suppress(RayError, TimeoutError, ValueError):
            await self.ask(name, method, *args)

    async def insist(self, name: str, method: str, *args: Any) -> Any:
        """Send a message until it is answered. Only for messages that may be repeated.

        Raises:
            DuplicateRequestError, UnsatisfiableRequestError, LeaseError: asking again would get the same.
        """
        while True:
            try:
                return await self.ask(name, method, *args)
            except (DuplicateRequestError, UnsatisfiableRequestError, LeaseError):
                raise
            except (StoreUnavailableError, RayError, TimeoutError, ValueError):
                await asyncio.sleep(PAUSE_S)
