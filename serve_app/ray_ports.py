"""The ports over the named actors, and the only place where Ray's errors become the domain's.

Owns time limits, the finding of actors and the repeats that hide an actor's restart (a second or two). No route ever sees a
Ray exception: what an actor raised comes out as it was raised, a silent or dead actor as ``NotReadyError``.
"""

import asyncio
import pickle
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from actors.access import (
    AddKey,
    ApiKey,
    AuditEntry,
    AuditPage,
    KeyTable,
    NewKey,
    ReadAudit,
    RevokeKey,
    Role,
    WatchKeys,
    WriteAudit,
)
from actors.core.explanation import Explanation
from actors.core.lease_history import PastLease
from actors.core.model import WorkKind
from actors.core.tasks import EndMode, Submission, Task
from actors.messages import (
    BooksReport,
    ComponentHealth,
    EncodedPage,
    LogSlice,
    ReplicaStanding,
    ResourceView,
    TaskCounters,
    TaskPage,
    TaskQuery,
)
from actors.names import ACCOUNTANT, LOG_HUB, NAMESPACE, PREDICTOR, SUPERVISOR
from actors.registry.records import (
    DeleteVersion,
    ModelTable,
    ModelVersion,
    RegisterModel,
    RegistryQuestion,
    RemoveAlias,
    SetAlias,
    WatchModels,
)
from actors.task_feed import FeedPosition, TaskNews
from serve_app.context import Ports
from serve_app.ports import NotReadyError
from serve_app.predictor_port import RayPredictor

#: An actor answers in milliseconds; beyond this it hangs.
ANSWER_S = 10.0
#: Checking a submission may read through large folders.
SUBMIT_S = 60.0
PING_S = 2.0
#: Decoded tasks that are kept; the largest page holds 1,000.
DECODED_TASKS = 2_048
#: Tasks that are decoded between two looks at what else came in.
DECODED_PER_TURN = 50
#: An actor that was killed is back after a second or two: it is asked again this often, for so long.
RESTART_PAUSE_S = 0.2
RESTART_PATIENCE_S = 3.0
#: A replica speaks to the accountant every two seconds; one that has been silent for so long does not answer.
REPLICA_SILENCE_S = 10.0


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


def _decode_task(encoded: bytes) -> Task:
    return cast("Task", pickle.loads(encoded))  # noqa: S301 - from the supervisor, over Ray's own channel


class RayTasks:
    """``TasksPort`` over the supervisor."""

    def __init__(self, supervisor: NamedActor) -> None:
        self._supervisor = supervisor
        # A task that has not changed comes as the same bytes: it is decoded once.
        self._decode = lru_cache(maxsize=DECODED_TASKS)(_decode_task)

    async def submit(self, submission: Submission) -> Task:
        """See TasksPort. May be repeated: the id makes the second call return the first task."""
        return cast("Task", await self._supervisor.ask("submit", submission, timeout_s=SUBMIT_S))

    async def get(self, task_id: str) -> Task:
        """See TasksPort."""
        return cast("Task", await self._supervisor.ask("get", task_id))

    async def list_page(self, query: TaskQuery) -> TaskPage:
        """See TasksPort."""
        page = cast("EncodedPage", await self._supervisor.ask("list_page", query))
        tasks: list[Task] = []
        for number, encoded in enumerate(page.tasks, 1):
            tasks.append(self._decode(encoded))
            if number % DECODED_PER_TURN == 0:
                await asyncio.sleep(0)
        return TaskPage(tuple(tasks), page.next_cursor)

    async def end(self, task_id: str, mode: EndMode) -> Task:
        """See TasksPort."""
        return cast("Task", await self._supervisor.ask("end", task_id, mode, is_repeatable=False))

    async def set_priority(self, task_id: str, priority: int) -> Task:
        """See TasksPort. May be repeated: the priority is absolute."""
        return cast("Task", await self._supervisor.ask("set_priority", task_id, priority))

    async def explain(self, submission: Submission) -> Explanation:
        """See TasksPort."""
        return cast("Explanation", await self._supervisor.ask("explain", submission, timeout_s=SUBMIT_S))

    async def delete(self, task_id: str) -> None:
        """See TasksPort."""
        await self._supervisor.ask("delete", task_id, is_repeatable=False)

    async def watch(self, position: FeedPosition, wait_s: float) -> TaskNews:
        """See TasksPort."""
        return cast("TaskNews", await self._supervisor.ask("watch_tasks", position, wait_s, timeout_s=wait_s + ANSWER_S))

    async def counters(self) -> TaskCounters:
        """See TasksPort. Not asked twice: who measures wants to know that the supervisor is away."""
        return cast("TaskCounters", await self._supervisor.ask("counters", timeout_s=PING_S, is_repeatable=False))


class RayLogs:
    """``LogsPort`` over the log hub."""

    def __init__(self, log_hub: NamedActor) -> None:
        self._log_hub = log_hub

    async def read(self, task_id: str, *, after: int, limit: int = 1000, wait_s: float = 0.0) -> LogSlice:
        """See LogsPort."""
        answer = await self._log_hub.ask("read", task_id, after, limit, wait_s, timeout_s=wait_s + ANSWER_S)
        return cast("LogSlice", answer)


class RayResources:
    """``ResourcesPort`` over the accountant."""

    def __init__(self, accountant: NamedActor) -> None:
        self._accountant = accountant

    async def view(self) -> ResourceView:
        """See ResourcesPort."""
        return cast("ResourceView", await self._accountant.ask("view"))

    async def check_books(self) -> BooksReport:
        """See ResourcesPort."""
        return cast("BooksReport", await self._accountant.ask("check_books"))

    async def explain(self, request_id: str) -> Explanation | None:
        """See ResourcesPort."""
        return cast("Explanation | None", await self._accountant.ask("explain", request_id))

    async def past_leases(self, task_id: str) -> Sequence[PastLease]:
        """See ResourcesPort."""
        return cast("Sequence[PastLease]", await self._accountant.ask("past_leases", task_id))

    async def set_limits(self, limits: Mapping[str, Mapping[WorkKind, int]]) -> ResourceView:
        """See ResourcesPort. May be repeated: the limits are absolute."""
        return cast("ResourceView", await self._accountant.ask("set_limits", limits))


class RayAccess:
    """``AccessPort`` over the gatekeeper, who lives with the supervisor."""

    def __init__(self, supervisor: NamedActor) -> None:
        self._supervisor = supervisor

    async def watch_keys(self, version: int, wait_s: float) -> KeyTable:
        """See AccessPort."""
        answer = await self._supervisor.ask("gatekeep", WatchKeys(version, wait_s), timeout_s=wait_s + ANSWER_S)
        return cast("KeyTable", answer)

    async def add_key(self, name: str, role: Role) -> NewKey:
        """See AccessPort."""
        return cast("NewKey", await self._supervisor.ask("gatekeep", AddKey(name, role), is_repeatable=False))

    async def revoke_key(self, key_id: str) -> ApiKey:
        """See AccessPort."""
        return cast("ApiKey", await self._supervisor.ask("gatekeep", RevokeKey(key_id), is_repeatable=False))

    async def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        """See AccessPort. May be repeated: entries have ids."""
        await self._supervisor.ask("gatekeep", WriteAudit(tuple(entries)))

    async def read_audit(self, cursor: int | None, limit: int) -> AuditPage:
        """See AccessPort."""
        return cast("AuditPage", await self._supervisor.ask("gatekeep", ReadAudit(cursor, limit)))


class RayModels:
    """``ModelsPort`` over the registry, who lives with the supervisor."""

    def __init__(self, supervisor: NamedActor) -> None:
        self._supervisor = supervisor

    async def watch(self, revision: int, wait_s: float) -> ModelTable:
        """See ModelsPort."""
        return cast("ModelTable", await self._ask(WatchModels(revision, wait_s), timeout_s=wait_s + ANSWER_S))

    async def register(self, wish: RegisterModel) -> ModelVersion:
        """See ModelsPort. The weights are read and copied meanwhile."""
        return cast("ModelVersion", await self._ask(wish, timeout_s=SUBMIT_S, is_repeatable=False))

    async def set_alias(self, wish: SetAlias) -> ModelTable:
        """See ModelsPort."""
        return cast("ModelTable", await self._ask(wish, is_repeatable=False))

    async def remove_alias(self, name: str, alias: str) -> ModelTable:
        """See ModelsPort."""
        return cast("ModelTable", await self._ask(RemoveAlias(name, alias), is_repeatable=False))

    async def delete(self, name: str, version: int | None) -> ModelTable:
        """See ModelsPort."""
        return cast("ModelTable", await self._ask(DeleteVersion(name, version), is_repeatable=False))

    async def _ask(self, question: RegistryQuestion, **options: Any) -> Any:
        return await self._supervisor.ask("ask_registry", question, **options)


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to a ping: the milliseconds that it took, and what else is worth knowing."""

    latency_ms: float
    detail: str = ""


class RayHealth:
    """``HealthPort`` over pings. Remembers since when each component has been in its state."""

    def __init__(self, accountant: NamedActor, supervisor: NamedActor, log_hub: NamedActor) -> None:
        self._probes: dict[str, Callable[[], Awaitable[Pong]]] = {
            "accountant": lambda: _ping(accountant),
            "supervisor": lambda: _ping(supervisor),
            "log_hub": lambda: _ping(log_hub),
            "predictor": lambda: _predictor_ping(accountant),
            "store": lambda: _store_ping(supervisor),
        }
        now = time.time()
        self._last = {name: ComponentHealth("starting", 0.0, now) for name in self._probes}

    async def components(self) -> Mapping[str, ComponentHealth]:
        """See HealthPort."""
        names = list(self._probes)
        answers = await asyncio.gather(*(self._probes[name]() for name in names), return_exceptions=True)
        self._last = {name: self._judge(name, answer) for name, answer in zip(names, answers, strict=True)}
        return dict(self._last)

    def _judge(self, name: str, answer: Pong | BaseException) -> ComponentHealth:
        """The new state of a component; one that has never answered is starting."""
        last = self._last[name]
        if isinstance(answer, BaseException):
            state, latency_ms, detail = "starting" if last.state == "starting" else "unhealthy", 0.0, str(answer)
        else:
            state, latency_ms, detail = "healthy", answer.latency_ms, answer.detail
        since = last.since if state == last.state else time.time()
        return ComponentHealth(state, latency_ms, since, detail)


async def _ping(actor: NamedActor) -> Pong:
    began = time.perf_counter()
    await actor.ask("ping", timeout_s=PING_S, is_repeatable=False)
    return Pong((time.perf_counter() - began) * 1000)


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
    count = sum(time.time() - each.heard_at < REPLICA_SILENCE_S for each in standings if each.report.is_ready)
    if not count:
        raise NotReadyError(PREDICTOR)
    return Pong((time.perf_counter() - began) * 1000, f"{count} replica{'s' if count > 1 else ''}")


def build_ray_ports() -> Ports:
    """The ports of a process that is connected to the service's Ray."""
    accountant, supervisor, log_hub = NamedActor(ACCOUNTANT), NamedActor(SUPERVISOR), NamedActor(LOG_HUB)
    return Ports(
        tasks=RayTasks(supervisor),
        logs=RayLogs(log_hub),
        resources=RayResources(accountant),
        access=RayAccess(supervisor),
        models=RayModels(supervisor),
        predictor=RayPredictor(),
        health=RayHealth(accountant, supervisor, log_hub),
    )
