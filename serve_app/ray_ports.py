"""The ports over the named actors: which message each method is, how long its answer may take, and whether it may be sent twice.

How an actor is found and what its silence means is ``named_actor``'s; how the parts feel is ``ray_health``'s.
"""

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

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
    EncodedPage,
    LogSlice,
    ResourceView,
    TaskCounters,
    TaskPage,
    TaskQuery,
)
from actors.names import ACCOUNTANT, LOG_HUB, SUPERVISOR
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
from serve_app.named_actor import ANSWER_S, PING_S, NamedActor
from serve_app.predictor_port import RayPredictor
from serve_app.ray_health import Asked, RayHealth

#: Checking a submission may read through large folders.
SUBMIT_S = 60.0
#: Decoded tasks that are kept; the largest page holds 1,000.
DECODED_TASKS = 2_048
#: Tasks that are decoded between two looks at what else came in.
DECODED_PER_TURN = 50


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


def build_ray_ports(state_dir: Path) -> Ports:
    """The ports of a process that is connected to the service's Ray, and lives where its state folder is."""
    accountant, supervisor, log_hub = NamedActor(ACCOUNTANT), NamedActor(SUPERVISOR), NamedActor(LOG_HUB)
    return Ports(
        tasks=RayTasks(supervisor),
        logs=RayLogs(log_hub),
        resources=RayResources(accountant),
        access=RayAccess(supervisor),
        models=RayModels(supervisor),
        predictor=RayPredictor(),
        health=RayHealth(Asked(accountant, supervisor, log_hub), state_dir),
    )
