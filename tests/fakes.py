"""The rest of the system, in memory: what the routes' ports do, with the domain's own state machines and no process.

Tests move the world by hand (``grant``, ``progress``, ``finish``, ``write``) and then look at what HTTP says.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from actors.access import ApiKey, AuditEntry, AuditPage, KeyTable, NewKey, Role, mint_key
from actors.core.errors import ActorSystemError, KeyNotFoundError, LastAdminKeyError, LimitError
from actors.core.events import WaitReason
from actors.core.explanation import Explanation, Holder
from actors.core.lease_history import PastLease
from actors.core.model import GIB, Device, DeviceKind, Lease, LeaseRequest, Portion, WorkKind
from actors.core.task_events import (
    AttemptEnded,
    AttemptProgressed,
    EndRequested,
    ForgetTask,
    LeaseGranted,
    LeaseQueued,
    PriorityChanged,
    SaveTask,
    TaskCommand,
    TaskDeleted,
    TaskEvent,
    TaskSubmitted,
)
from actors.core.task_flow import TaskFlow
from actors.core.tasks import EndMode, Progress, Submission, Task, TaskFault
from actors.messages import (
    BooksReport,
    ComponentHealth,
    DeviceView,
    Difference,
    LogLine,
    LogSlice,
    ResourceView,
    TaskCounters,
    TaskPage,
    TaskQuery,
)
from actors.task_counters import TaskTally
from actors.task_feed import FeedPosition, TaskNews
from actors.task_index import TaskIndex
from actors.task_watch import TaskWatch
from serve_app.ports import NotReadyError

START = 1_750_000_000.0


class FakeTasks:
    """``TasksPort`` over the task state machine; every call moves its clock by one second."""

    def __init__(self) -> None:
        self.flow = TaskFlow()
        self.now = START
        #: Raised by the next submissions, one each; None lets one pass.
        self.refusals: list[ActorSystemError | NotReadyError | None] = []
        self.submissions: list[Submission] = []
        self.queries: list[TaskQuery] = []
        self.is_ready = True
        self.tally = TaskTally()
        #: Every question for news.
        self.watched: list[FeedPosition] = []
        self.begin_anew()

    async def submit(self, submission: Submission) -> Task:
        self._check_ready()
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.submissions.append(submission)
        self._handle(TaskSubmitted(submission), now=self._tick())
        return self.flow.get(submission.task_id)

    async def get(self, task_id: str) -> Task:
        self._check_ready()
        return self.flow.get(task_id)

    async def list_page(self, query: TaskQuery) -> TaskPage:
        self._check_ready()
        self.queries.append(query)
        index = TaskIndex()
        for task in self.flow.tasks.values():
            index.add(task)
        return index.page(query, self.flow.tasks)

    async def end(self, task_id: str, mode: EndMode) -> Task:
        self._check_ready()
        self._handle(EndRequested(task_id, mode), now=self._tick())
        return self.flow.get(task_id)

    async def set_priority(self, task_id: str, priority: int) -> Task:
        self._check_ready()
        self._handle(PriorityChanged(task_id, priority), now=self._tick())
        return self.flow.get(task_id)

    async def explain(self, submission: Submission) -> Explanation:
        self._check_ready()
        self.submissions.append(submission)
        return make_explanation(submission.task_id, would_start=True, missing=None, estimated_start_at=self.now)

    async def watch(self, position: FeedPosition, wait_s: float) -> TaskNews:
        self._check_ready()
        self.watched.append(position)
        news = await self._watch.news(position, wait_s)
        self._check_ready()
        return news

    def begin_anew(self) -> None:
        """Forget what was told, as a new supervisor does."""
        self._watch = TaskWatch(self.flow, TaskIndex())

    async def counters(self) -> TaskCounters:
        self._check_ready()
        return self.tally.read(self.flow.tasks.values())

    async def delete(self, task_id: str) -> None:
        self._check_ready()
        self._handle(TaskDeleted(task_id), now=self._tick())

    def queue(self, task_id: str, position: int | None = None) -> None:
        """Put a task into the line."""
        self._handle(LeaseQueued(self.flow.get(task_id).attempt_id, "limit"), now=self._tick())
        self.flow.tasks[task_id] = replace(self.flow.get(task_id), queue_position=position)
        self._watch.note(task_id)

    def grant(self, task_id: str, device_id: str, units: int = 1_500, memory_bytes: int = 2 * GIB) -> Lease:
        """Let a task run on a device."""
        lease = make_lease(self.flow.lease_request(self.flow.get(task_id)), device_id, units=units, memory_bytes=memory_bytes)
        self._count(LeaseGranted(lease))
        return lease

    def progress(self, task_id: str, progress: Progress) -> None:
        """Let a running task tell how far it is."""
        self._handle(AttemptProgressed(self.flow.get(task_id).attempt_id, progress), now=self._tick())

    def finish(self, task_id: str, outcome: str = "completed", message: str = "done", fault: TaskFault | None = None) -> None:
        """Let a running task end."""
        attempt_id = self.flow.get(task_id).attempt_id
        self._count(AttemptEnded(attempt_id, outcome, message, fault))

    def _count(self, event: TaskEvent) -> None:
        self.tally.count(event, self._handle(event, now=self._tick()))

    def _handle(self, event: TaskEvent, *, now: float) -> list[TaskCommand]:
        commands = self.flow.handle(event, now=now)
        for command in commands:
            if isinstance(command, SaveTask):
                self._watch.note(command.task.task_id)
            elif isinstance(command, ForgetTask):
                self._watch.forget(command.task_id)
        return commands

    def _tick(self) -> float:
        self.now += 1.0
        return self.now

    def _check_ready(self) -> None:
        if not self.is_ready:
            raise NotReadyError("supervisor")


class FakeLogs:
    """``LogsPort`` over lists. ``calls`` lists every read, ``waiting`` counts the long-polls that wait now."""

    def __init__(self) -> None:
        self._lines: dict[str, list[LogLine]] = {}
        self._complete: set[str] = set()
        self._change = asyncio.Condition()
        self.calls: list[tuple[str, int]] = []
        self.waiting = 0
        #: Raised by the next reads, one each.
        self.failures: list[Exception] = []
        self._answers = asyncio.Event()
        self.answer_again()

    def hang(self) -> None:
        """Let reads wait until ``answer_again``."""
        self._answers.clear()

    def answer_again(self) -> None:
        """End what ``hang`` began."""
        self._answers.set()

    async def read(self, task_id: str, *, after: int, limit: int = 1000, wait_s: float = 0.0) -> LogSlice:
        self.calls.append((task_id, after))
        await self._answers.wait()
        if self.failures:
            raise self.failures.pop(0)
        if wait_s:
            await self._wait(task_id, after, wait_s)
        lines = tuple(line for line in self._lines.get(task_id, []) if line.seq > after)
        return LogSlice(lines[:limit], task_id in self._complete and len(lines) <= limit)

    async def write(self, task_id: str, *lines: LogLine, is_last: bool = False) -> None:
        """Append lines, which get their numbers here; ``is_last`` when no other will follow."""
        async with self._change:
            log = self._lines.setdefault(task_id, [])
            log += [replace(line, seq=len(log) + number) for number, line in enumerate(lines, 1)]
            if is_last:
                self._complete.add(task_id)
            self._change.notify_all()

    async def _wait(self, task_id: str, after: int, wait_s: float) -> None:
        def is_there() -> bool:
            return task_id in self._complete or len(self._lines.get(task_id, [])) > after

        self.waiting += 1
        try:
            async with asyncio.timeout(wait_s), self._change:
                self._change.notify_all()
                await self._change.wait_for(is_there)
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1


def make_explanation(request_id: str, **changes: Any) -> Explanation:
    """Why a request waits: by default behind one training of cuda:0."""
    holder = Holder("ahead", WorkKind.TRAINING, "cuda:0", 1_500, 2 * GIB, START, START + 600)
    fields: dict[str, Any] = {
        "would_start": False,
        "position": 1,
        "waiting": 1,
        "missing": WaitReason.LIMIT,
        "device_ids": ("cuda:0",),
        "detail": "1 of 1 training leases on cuda:0 are held",
        "remedy": "the end of one of them, or a higher training limit",
        "held_by": (holder,),
        "estimated_start_at": START + 600,
    }
    return Explanation(request_id, **(fields | changes))


class FakeResources:
    """``ResourcesPort`` over a view that tests replace."""

    def __init__(self, *devices: DeviceView) -> None:
        self.current = ResourceView(START, devices or (make_device_view("cpu:0"),), waiting=0, oldest_wait_s=0.0)
        self.is_ready = True
        #: Why requests wait, by their ids.
        self.explanations: dict[str, Explanation] = {}
        #: The leases that tasks had, by their ids.
        self.past: dict[str, Sequence[PastLease]] = {}
        #: What a comparison of the books finds.
        self.differences: tuple[Difference, ...] = ()

    async def check_books(self) -> BooksReport:
        self._check_ready()
        return BooksReport(not self.differences, self.differences, START)

    async def view(self) -> ResourceView:
        self._check_ready()
        return self.current

    async def explain(self, request_id: str) -> Explanation | None:
        self._check_ready()
        return self.explanations.get(request_id)

    async def past_leases(self, task_id: str) -> Sequence[PastLease]:
        self._check_ready()
        return self.past.get(task_id, ())

    async def set_limits(self, limits: Mapping[str, Mapping[WorkKind, int]]) -> ResourceView:
        self._check_ready()
        names = {each.device.device_id for each in self.current.devices} | set(DeviceKind)
        for name in limits:
            if name not in names:
                raise LimitError(name, "no such device")
        devices = tuple(self._with_limits(each, limits) for each in self.current.devices)
        self.current = replace(self.current, devices=devices)
        return self.current

    def _check_ready(self) -> None:
        if not self.is_ready:
            raise NotReadyError("accountant", retry_after_s=3)

    @staticmethod
    def _with_limits(view: DeviceView, limits: Mapping[str, Mapping[WorkKind, int]]) -> DeviceView:
        merged = dict(view.limits)
        for name in (view.device.kind.value, view.device.device_id):
            merged |= limits.get(name, {})
        return replace(view, limits=merged)


class FakeAccess:
    """``AccessPort`` over a dictionary and a list."""

    def __init__(self) -> None:
        self.table = KeyTable(0, {})
        self.entries: list[AuditEntry] = []
        self.is_ready = True
        self._change = asyncio.Condition()

    async def watch_keys(self, version: int, wait_s: float) -> KeyTable:
        self._check_ready()
        if wait_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s), self._change:
                    await self._change.wait_for(lambda: self.table.version != version)
        return self.table

    async def add_key(self, name: str, role: Role) -> NewKey:
        self._check_ready()
        new = mint_key(name, role, now=START)
        await self.put(KeyTable(self.table.version + 1, {**self.table.keys, new.key.key_id: new.key}))
        return new

    async def revoke_key(self, key_id: str) -> ApiKey:
        self._check_ready()
        keys = dict(self.table.keys)
        key = keys.pop(key_id, None)
        if key is None:
            raise KeyNotFoundError(key_id)
        if key.role is Role.ADMIN and all(other.role is not Role.ADMIN for other in keys.values()):
            raise LastAdminKeyError(key_id)
        await self.put(KeyTable(self.table.version + 1, keys))
        return key

    async def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        self._check_ready()
        self.entries += entries

    async def read_audit(self, cursor: int | None, limit: int) -> AuditPage:
        self._check_ready()
        end = len(self.entries) if cursor is None else cursor
        start = max(0, end - limit)
        return AuditPage(tuple(reversed(self.entries[start:end])), start or None)

    async def put(self, table: KeyTable) -> None:
        """Replace the keys, as others may at any time."""
        async with self._change:
            self.table = table
            self._change.notify_all()

    def _check_ready(self) -> None:
        if not self.is_ready:
            raise NotReadyError("gatekeeper")


class FakeHealth:
    """``HealthPort`` whose states tests set."""

    def __init__(self) -> None:
        self.states = dict.fromkeys(("accountant", "supervisor", "log_hub", "store"), "healthy") | {"predictor": "not_deployed"}
        #: How often somebody asked.
        self.looks = 0

    async def components(self) -> Mapping[str, ComponentHealth]:
        self.looks += 1
        return {name: ComponentHealth(state, 1.25, START) for name, state in self.states.items()}


def make_line(message: str, **parts: object) -> LogLine:
    """A log line; ``FakeLogs.write`` numbers it."""
    return LogLine(0, START, str(parts.pop("level", "INFO")), message, **parts)  # type: ignore[arg-type]


def make_lease(request: LeaseRequest, device_id: str, *, units: int = 1_500, memory_bytes: int = 2 * GIB) -> Lease:
    """A lease of one device."""
    return Lease(f"lease-{request.request_id}", 1, request, (Portion(device_id, units, memory_bytes),), START)


def make_device_view(device_id: str, *, simulated: bool = False, leases: tuple[Lease, ...] = (), **parts: object) -> DeviceView:
    """One device with the default limits and shares."""
    kind, _, number = device_id.partition(":")
    is_gpu = kind == DeviceKind.GPU
    device = Device(
        device_id,
        DeviceKind(kind),
        "node-1",
        int(number),
        (24 if is_gpu else 16) * GIB,
        name="Some GPU" if is_gpu else "Some CPU",
        cores=0 if is_gpu else 4,
        simulated=simulated,
    )
    limits = (
        {WorkKind.TRAINING: 1, WorkKind.INFERENCE: 3}
        if is_gpu
        else {WorkKind.TRAINING: 2, WorkKind.INFERENCE: 4, WorkKind.PREPROCESSING: 2}
    )
    counts = {work: sum(lease.request.work is work for lease in leases) for work in limits}
    held = sum(portion.units for lease in leases for portion in lease.portions)
    view = DeviceView(device, True, limits, counts, 7_500 if is_gpu else 8_000, held, 2, leases, "group")
    return replace(view, **parts)  # type: ignore[arg-type]
