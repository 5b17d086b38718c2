"""A part of a device for the actors of a user's own program, in the same line and under the same limits as the service's tasks.

    from cluster.lease import lease

    with lease(device="cuda", memory_gb=4, name="my-notebook") as held:
        actor = MyActor.options(**held.actor_options).remote()
        ...

The program waits in line like everybody. While the block runs, a keeper actor holds the lease; at its end, and whenever the program
ends, however that happens, its actors in the lease are ended and the units return.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import uuid4

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.attempts import resource_options
from actors.core.errors import ActorSystemError, DuplicateRequestError
from actors.core.model import GIB, HolderKind, LeaseRequest, WorkKind, parse_selector
from actors.core.units import fraction_from_units
from actors.devices import find_group
from actors.driver_keeper import INDEX_NAME, MEMORY_NAME, DriverKeeper, environment
from actors.messages import GrantedLease, Queued
from actors.names import ACCOUNTANT, NAMESPACE, SUPERVISOR
from actors.workers.gpu_memory import GpuMemory
from cluster.driver import NoServiceError, connect
from configs.settings import Settings
from serve_app.schemas.fields import is_task_id

Work = Literal["training", "inference", "preprocessing"]

_ANSWER_S: Final = 10.0
_PAUSE_S: Final = 0.5
#: Of the characters of a task id, what is added here takes nine.
_LONGEST_NAME: Final = 100
_KEEPER_CONCURRENCY: Final = 2


class LeaseTimeoutError(TimeoutError):
    """No lease was granted in the time that the program was ready to wait; the text tells what was missing."""


@dataclass(frozen=True, slots=True)
class DriverLease:
    """A lease that is held.

    Attributes:
        holder: the name under which views show it.
        device: ``cuda:N`` or ``cpu:N``.
        fraction: of the device, that the actors in the lease may tell Ray they take, all together.
        memory_bytes: the memory that they may take, all together.
        is_simulated: the device is a logical GPU that computes on the CPU.
        environment: variables that every process in the lease must be started with; part of ``actor_options``.
        actor_options: for ``.options()`` of the one actor that uses the lease.
    """

    holder: str
    device: str
    fraction: float
    memory_bytes: int
    is_simulated: bool
    environment: Mapping[str, str]
    actor_options: Mapping[str, Any]

    def options_for(self, count: int) -> dict[str, Any]:
        """The ``.options()`` of each of so many actors that share the lease, its memory included, evenly."""
        shared = {name: self.actor_options[name] / count for name in ("num_gpus", "num_cpus")}
        # Ray keeps ten-thousandths: rounded down, so that all together take no more than the lease.
        amounts = {name: int(amount * 10_000) / 10_000 for name, amount in shared.items()}
        variables = {**self.environment, MEMORY_NAME: str(self.memory_bytes // count)}
        return {**self.actor_options, **amounts, "runtime_env": {"env_vars": variables}}


@contextmanager
def lease(  # noqa: PLR0913 (one argument for each part of the wish)
    device: str = "cuda",
    *,
    memory_gb: float | None = None,
    priority: int = 5,
    work: Work = "inference",
    name: str = "driver",
    timeout_s: float | None = None,
) -> Iterator[DriverLease]:
    """Wait for a part of a device, and hold it while the block runs.

    Connects to the Ray of ``RAY_ADDRESS`` unless the program is connected already.

    Args:
        device: cpu, cuda (the least loaded GPU), or one by its name: cuda:N, cpu:N.
        memory_gb: of the device, in GiB; by default what a task of the same work gets.
        priority: 1 is the most urgent, 10 the least.
        work: whose limit it counts against, and so how large a fraction it is.
        name: whose it is, for the views; letters, digits, dots, hyphens and underscores.
        timeout_s: how long to wait in line; None waits without end.

    Raises:
        ValueError: the name or the work is none.
        InvalidSelectorError, UnsatisfiableRequestError: there is no such device, or none could ever carry the wish.
        LeaseTimeoutError: it was not granted in time.
        NoServiceError: there is no running service.
    """
    request = _describe_wish(device, memory_gb=memory_gb, priority=priority, work=work, name=name)
    connect(is_quiet=False)
    settings: Settings = _ask(SUPERVISOR, "settings", patience_s=_ANSWER_S)
    office = _Office(request(_ask(ACCOUNTANT, "ping", patience_s=_ANSWER_S)), settings)
    granted = office.wait(timeout_s)
    keeper = office.hand_over(granted)
    try:
        yield _describe_lease(granted)
    finally:
        office.take_back(granted, keeper)


def cap_gpu_memory() -> str:
    """Limit what torch takes of the GPU in this process to the lease's memory; call it first in an actor.

    Returns:
        A line that says so; "" outside of a lease and where there is no real GPU.
    """
    budget = int(os.environ.get(MEMORY_NAME, "0"))
    return GpuMemory().cap(budget, gpu_index=int(os.environ.get(INDEX_NAME, "0"))) if budget else ""


class _Office:
    """What a program does at the accountant for one lease."""

    def __init__(self, request: LeaseRequest, settings: Settings) -> None:
        self._request = request
        self._settings = settings

    def wait(self, timeout_s: float | None) -> GrantedLease:
        """Stand in line until the lease is granted. Whatever ends the waiting, nothing of it stays in line."""
        try:
            return self._wait(timeout_s)
        except BaseException:
            with suppress(ActorSystemError, NoServiceError, RayError):
                self._ask("withdraw", self._request.request_id)
            raise

    def _wait(self, timeout_s: float | None) -> GrantedLease:
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        incarnation, seq = "", 0
        while True:
            answer = self._acquire()
            if isinstance(answer, GrantedLease):
                return answer
            again_at = min(deadline, time.monotonic() + self._settings.heartbeat_s)
            while (left_s := again_at - time.monotonic()) > 0:
                news = self._ask("next_decisions", incarnation, seq, left_s, HolderKind.DRIVER, answer_s=left_s + _ANSWER_S)
                incarnation, seq = news.incarnation, news.seq
                grants: tuple[GrantedLease, ...] = news.grants
                for granted in grants:
                    if granted.lease.request.request_id == self._request.request_id:
                        return granted
            if time.monotonic() >= deadline:
                raise LeaseTimeoutError(self._why_not(timeout_s, answer))

    def _acquire(self) -> GrantedLease | Queued:
        """Ask, or ask again: that is also the sign of life, without which the accountant gives the place in line away.

        A program that was suspended for so long comes back to a request that is over; it goes on with a new one of the same rank.
        """
        try:
            answer: GrantedLease | Queued = self._ask("acquire", self._request)
        except DuplicateRequestError:
            holder = _make_holder(self._request.profile)
            self._request = replace(self._request, request_id=holder, task_id=holder)
            answer = self._ask("acquire", self._request)
        return answer

    def _why_not(self, timeout_s: float | None, answer: Queued) -> str:
        explanation = self._ask("explain", self._request.request_id)
        reason = f"{explanation.detail}; what would help: {explanation.remedy}" if explanation else answer.reason
        return f"no lease on {self._request.selector} within {timeout_s:g} s: {reason}"

    def hand_over(self, granted: GrantedLease) -> ActorHandle:
        """Start the keeper on the device's node, and keep the lease until it does. Raises NoServiceError where it cannot."""
        keeper = self._start_keeper(granted)
        try:
            self._await_start(granted, keeper)
        except BaseException:
            self.take_back(granted, keeper)
            raise
        return keeper

    def _await_start(self, granted: GrantedLease, keeper: ActorHandle) -> None:
        begun = keeper.begin.remote()
        deadline = time.monotonic() + self._settings.start_deadline_s
        while not ray.wait([begun], timeout=self._settings.heartbeat_s)[0]:
            if time.monotonic() > deadline:
                raise NoServiceError(f"the keeper of the lease did not start within {self._settings.start_deadline_s:.0f} s")
            self._ask("renew", granted.lease.lease_id, granted.lease.token)
        ray.get(begun)

    def _start_keeper(self, granted: GrantedLease) -> ActorHandle:
        options = {
            "name": f"lease.{self._request.request_id}",
            "namespace": NAMESPACE,
            "num_cpus": 0,
            "max_restarts": 0,
            "max_concurrency": _KEEPER_CONCURRENCY,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(find_group(granted.group_id), 0),
        }
        beat = {"every_s": self._settings.heartbeat_s, "ttl_s": self._settings.lease_ttl_s}
        return ray.remote(DriverKeeper).options(**options).remote(granted, **beat)

    def take_back(self, granted: GrantedLease, keeper: ActorHandle) -> None:
        """Let the keeper end what works in the lease, and end the keeper; where it is gone, the accountant does it."""
        try:
            ray.get(keeper.finish.remote(), timeout=self._settings.lease_ttl_s)
        except (RayError, TimeoutError):
            with suppress(ActorSystemError, NoServiceError, RayError):
                self._ask("release", granted.lease.lease_id, granted.lease.token)
        ray.kill(keeper, no_restart=True)

    def _ask(self, method: str, *args: Any, answer_s: float = _ANSWER_S) -> Any:
        return _ask(ACCOUNTANT, method, *args, answer_s=answer_s, patience_s=self._settings.lease_ttl_s)


def _ask(name: str, method: str, *args: Any, patience_s: float, answer_s: float = _ANSWER_S) -> Any:
    """Ask a part of the service, again while it is away; raises what it raised. Only for what may be repeated."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            actor = ray.get_actor(name, namespace=NAMESPACE)
            return ray.get(getattr(actor, method).remote(*args), timeout=answer_s)
        except RayTaskError as error:
            if isinstance(error.cause, ActorSystemError):
                raise error.cause from None
            raise
        except (RayError, ValueError) as error:
            if time.monotonic() > deadline:
                raise NoServiceError(f"the {name} does not answer: {error}") from None
        time.sleep(_PAUSE_S)


def _describe_wish(device: str, *, memory_gb: float | None, priority: int, work: str, name: str) -> Callable[[float], LeaseRequest]:
    """The request, but for its time, which is the accountant's."""
    parse_selector(device)
    if len(name) > _LONGEST_NAME or not is_task_id(name):
        raise ValueError(f"name: {name!r} must have 1 to {_LONGEST_NAME} letters, digits, dots, hyphens or underscores")
    holder = _make_holder(name)
    kind = WorkKind(work)
    budget = None if memory_gb is None else round(memory_gb * GIB)

    def at(submitted_at: float) -> LeaseRequest:
        return LeaseRequest(holder, holder, kind, device, priority, submitted_at, budget, holder=HolderKind.DRIVER, profile=name)

    return at


def _make_holder(name: str) -> str:
    return f"{name}.{uuid4().hex[:8]}"


def _describe_lease(granted: GrantedLease) -> DriverLease:
    variables = environment(granted)
    options = {
        **resource_options(granted),
        "scheduling_strategy": PlacementGroupSchedulingStrategy(find_group(granted.group_id), 0),
        "runtime_env": {"env_vars": dict(variables)},
        "max_restarts": 0,  # a process that ends is not started again behind the keeper's back
    }
    return DriverLease(
        holder=granted.lease.request.task_id,
        device=granted.device.device_id,
        fraction=fraction_from_units(granted.portion.units),
        memory_bytes=granted.portion.memory_bytes,
        is_simulated=granted.device.simulated,
        environment=variables,
        actor_options=options,
    )
