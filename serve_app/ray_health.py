"""Whether each part of the service answers, since when it is as it is, and how often it had to begin anew.

What a part says is asked of it; what it cannot say itself (that it was ended a minute ago, and why) is read from the notes that every
part leaves in the state folder, which outlive this process too.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from actors import presence
from actors.messages import ComponentHealth, ReplicaStanding
from actors.names import ACCOUNTANT, INGRESS, LOG_HUB, PREDICTOR, SUPERVISOR, WATCHDOG
from actors.part_life import PartLife, read_life
from serve_app.named_actor import PING_S, NamedActor
from serve_app.ports import NotReadyError

STORE: Final = "store"
#: A replica speaks to the accountant every two seconds; one that has been silent for so long does not answer.
REPLICA_SILENCE_S: Final = 10.0
#: The watchdog shows every few seconds that it lives; after so long it hangs.
WATCHDOG_SILENCE_S: Final = 15.0
#: A process that has begun so lately may still be on its way to its first answer.
START_S: Final = 30.0
#: The parts whose starts are noted, the predictor's by the watchdog. The store has none of its own: it is open in the supervisor's process.
_NOTED: Final = (ACCOUNTANT, SUPERVISOR, LOG_HUB, INGRESS, PREDICTOR, WATCHDOG)


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer: the milliseconds that it took, what else is worth knowing, and since when it may have been so, where that is known."""

    latency_ms: float
    detail: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The actors that are asked."""

    accountant: NamedActor
    supervisor: NamedActor
    log_hub: NamedActor


class _TroubleError(Exception):
    """A part answers, and says that it cannot do its work."""


class RayHealth:
    """``HealthPort`` over questions and notes.

    Invariant: a state's ``since`` moves only when the state changes, or when the part's process has changed meanwhile. A part that was
    ended on purpose is down since then; of any other end this process knows no more than when it asked and had no answer.
    """

    def __init__(self, asked: Asked, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._made_at = clock()
        self._probes: dict[str, Callable[[], Awaitable[Pong]]] = {
            ACCOUNTANT: lambda: _ping(asked.accountant),
            SUPERVISOR: lambda: _ping(asked.supervisor),
            LOG_HUB: lambda: _log_hub_ping(asked.log_hub),
            PREDICTOR: lambda: _predictor_ping(asked.accountant),
            STORE: lambda: _store_ping(asked.supervisor),
        }
        self._last: dict[str, ComponentHealth] = {}
        self._answered_at: dict[str, float] = {}

    async def components(self) -> Mapping[str, ComponentHealth]:
        """See HealthPort."""
        names = list(self._probes)
        lives = await asyncio.to_thread(self._read_notes)
        answers = await asyncio.gather(*(self._probes[name]() for name in names), return_exceptions=True)
        said: dict[str, Pong | BaseException] = dict(zip(names, answers, strict=True))
        said[INGRESS] = Pong(0.0, f"process {os.getpid()}")
        if lives[WATCHDOG].starts:
            said[WATCHDOG] = self._look_at_watchdog()
        self._last = {name: self._judge(name, answer, lives.get(name, PartLife())) for name, answer in said.items()}
        return dict(self._last)

    def _read_notes(self) -> dict[str, PartLife]:
        lives = {name: read_life(self._state_dir, name) for name in _NOTED}
        # It begins with the supervisor; how often that did is told of the supervisor alone.
        lives[STORE] = PartLife(tuple(replace(start, number=1) for start in lives[SUPERVISOR].starts[-1:]))
        return lives

    def _look_at_watchdog(self) -> Pong | NotReadyError | _TroubleError:
        """Whether the watchdog lives and works. It answers nobody, so its signs of life are looked at."""
        found = presence.find(self._state_dir, WATCHDOG)
        shown_at = presence.shown_at(self._state_dir, WATCHDOG)
        if found is None or shown_at is None or found.process() is None:
            return _TroubleError("its process has ended: a part that hangs is not ended by itself now")
        silent_s = self._clock() - shown_at
        if silent_s > WATCHDOG_SILENCE_S:
            return _TroubleError(f"it has shown no life for {silent_s:.0f} s: a part that hangs is not ended by itself now")
        return Pong(0.0, f"process {found.pid}")

    def _judge(self, name: str, answer: Pong | BaseException, life: PartLife) -> ComponentHealth:
        now = self._clock()
        if isinstance(answer, Pong):
            self._answered_at[name] = now
            state = "restarting" if life.is_looping(now) else "healthy"
            first = answer.since or now
            since = self._well_since(name, state, life.last_started_at, first)
            latency_ms, told = answer.latency_ms, answer.detail
        else:
            state = "starting" if self._may_be_starting(name, answer, life, now) else "unhealthy"
            last = self._last.get(name)
            since = last.since if last is not None and last.state == state else life.ended_at or now
            latency_ms, told = 0.0, str(answer)
        detail = "; ".join(filter(None, (told, life.describe(now))))
        return ComponentHealth(state, latency_ms, since, detail, life.restarts(now), life.last_started_at)

    def _may_be_starting(self, name: str, error: BaseException, life: PartLife, now: float) -> bool:
        """Whether a part that does not answer has not done so since its process began, and that was only just now.

        Of a part without notes nobody knows when it began: it has the time of a start from when this process did.
        """
        if not isinstance(error, NotReadyError):
            return False  # an answer, of a part that cannot do its work
        begun, answered_at = life.last_started_at, self._answered_at.get(name)
        if begun is None:
            return answered_at is None and now - self._made_at < START_S
        return now - begun < START_S and (answered_at is None or answered_at < begun)

    def _well_since(self, name: str, state: str, begun: float | None, first: float) -> float:
        """Since when a part that answers is in its state.

        Args:
            name: of the part.
            state: healthy or restarting.
            begun: when its present process took its place; None where that is not known.
            first: what to tell where neither this process nor ``begun`` knows better.
        """
        last = self._last.get(name)
        if last is None:
            return first if begun is None else begun
        if begun is not None and begun > last.since:
            return begun
        return last.since if last.state == state else self._clock()


async def _ping(actor: NamedActor) -> Pong:
    began = time.perf_counter()
    await actor.ask("ping", timeout_s=PING_S, is_repeatable=False)
    return Pong(_passed_ms(began))


async def _log_hub_ping(log_hub: NamedActor) -> Pong:
    """Whether the hub can write. Raises _TroubleError where it cannot."""
    began = time.perf_counter()
    trouble: str = await log_hub.ask("trouble", timeout_s=PING_S, is_repeatable=False)
    if trouble:
        raise _TroubleError(trouble)
    return Pong(_passed_ms(began))


async def _store_ping(supervisor: NamedActor) -> Pong:
    """The milliseconds that the store took, as the supervisor measured them."""
    return Pong(float(await supervisor.ask("store_ping", timeout_s=PING_S, is_repeatable=False)))


async def _predictor_ping(accountant: NamedActor) -> Pong:
    """How many replicas speak, as the accountant hears them: a request of our own would wait behind those of callers.

    Raises:
        NotReadyError: none does.
    """
    began = time.perf_counter()
    standings: Sequence[ReplicaStanding] = await accountant.ask("list_replicas", timeout_s=PING_S, is_repeatable=False)
    speaking = [each for each in standings if each.report.is_ready and time.time() - each.heard_at < REPLICA_SILENCE_S]
    if not speaking:
        raise NotReadyError(PREDICTOR)
    count = len(speaking)
    oldest = min(each.report.presence.created for each in speaking)
    return Pong(_passed_ms(began), f"{count} replica{'s' if count > 1 else ''}", oldest)


def _passed_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000
