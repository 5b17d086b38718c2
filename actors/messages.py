"""What crosses between processes, beside the domain's own records: frozen, with slots, picklable.

The nouns of the domain (tasks, leases, devices) cross as they are; here are the questions, answers and reports that only the shells
and their callers need.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from actors.core.errors import RequestError
from actors.core.model import Device, DeviceKind, Lease, Portion, WorkKind
from actors.core.tasks import Compact, Progress, Task, TaskFault, TaskState
from actors.learning.memory_need import Peak
from actors.presence import Presence


@dataclass(frozen=True, slots=True)
class LogLine(Compact):
    """One line of a task's log.

    Attributes:
        seq: position in the task's log, from 1, without gaps.
        at: seconds since the epoch.
        level: DEBUG, INFO, WARNING or ERROR.
        message: the text.
        stage: epoch_start, training, validation, epoch_end or completed, where it marks one.
        step: the batch or file number, where it has one.
        metrics: figures, by the names of the HTTP contract.
        status: the task's state: on progress records, and on the last line of an ended task.
        progress: 0 to 100, on progress records.
    """

    seq: int
    at: float
    level: str
    message: str
    stage: str | None = None
    step: int | None = None
    metrics: Mapping[str, float] | None = None
    status: str | None = None
    progress: int | None = None


@dataclass(frozen=True, slots=True)
class LogDraft:
    """A line before the hub has numbered it; ``index`` is its number within its source, from 1. Else as ``LogLine``.

    ``is_last`` marks the line after which the task says nothing more; its status is the final state.
    """

    index: int
    at: float
    level: str
    message: str
    stage: str | None = None
    step: int | None = None
    metrics: Mapping[str, float] | None = None
    status: str | None = None
    progress: int | None = None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class EndedLog:
    """The log of an ended task, with what its one line shall say once the log is removed."""

    task_id: str
    state: TaskState
    said: str


@dataclass(frozen=True, slots=True)
class LogSlice(Compact):
    """Lines of one task's log from a position on; ``is_complete`` when the task has ended and no line will follow these."""

    lines: tuple[LogLine, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks to list: newest first, at most ``limit``, after the position ``cursor``, of one batch where one is named."""

    state: TaskState | None = None
    task_type: str | None = None
    limit: int = 100
    cursor: str | None = None
    batch_id: str = ""


@dataclass(frozen=True, slots=True)
class TaskPage(Compact):
    """Tasks of one page, newest first, without their histories; ``next_cursor`` is None on the last."""

    tasks: tuple[Task, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class EncodedPage(Compact):
    """A ``TaskPage`` on its way: each task as its own pickle, so that neither side works again on what has not changed."""

    tasks: tuple[bytes, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A version that a replica holds ready.

    Attributes:
        name, version: which.
        precision: what it computes in: float32 or bfloat16.
        memory_bytes: what its weights take. Working memory is the replica's, since one forward pass runs at a time.
        requests: answered since it was loaded.
    """

    name: str
    version: int
    precision: str
    memory_bytes: int
    requests: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What a replica of the predictor tells the accountant of itself, every few seconds and after each change.

    Attributes:
        replica_id: Serve's name of it.
        node_id: where it runs.
        kind: the kind of its device.
        gpu_index: Ray's number of its GPU on the node; 0 for a CPU.
        presence: its process.
        memory_bytes: what it holds: of the GPU's memory with its CUDA context, else of main memory.
        budget_bytes: what it may hold.
        models: loaded versions.
        ongoing: requests in it now.
        is_ready: false while it begins and takes no requests yet.
    """

    replica_id: str
    node_id: str
    kind: DeviceKind
    gpu_index: int
    presence: Presence
    memory_bytes: int
    budget_bytes: int
    models: tuple[LoadedModel, ...] = ()
    ongoing: int = 0
    is_ready: bool = True


@dataclass(frozen=True, slots=True)
class ReplicaStanding:
    """A replica as the accountant knows it: its last report, the device that it is on, and when it was heard."""

    report: ReplicaReport
    device_id: str
    heard_at: float


@dataclass(frozen=True, slots=True)
class DeviceView(Compact):
    """One device with everything that is known of it now.

    Attributes:
        device: what it is.
        is_present: false while its node is gone.
        limits: most leases by kind of work.
        counts: leases held by kind of work.
        share_units: units that leases may use together.
        held_units: units that leases hold.
        serving_replicas: the most replicas of the serving share.
        leases: open leases, ending ones included.
        placement_group: Ray's id of the group that holds the task share, "" while there is none.
        allocated_bytes: memory in use by every process as the driver sees it (simulated: the budgets of the leases).
        utilization: percent, 0 where unknown.
        temperature_c: degrees, 0 where unknown.
        power_w: watts, 0 where unknown.
        compute_capability: of a GPU, "" where unknown.
        processes: (pid, task id or replica id or "foreign" or "unknown", bytes) of the processes on a GPU.
        quarantine: why nothing new may start, "" while it may.
        foreign_bytes: memory in use by processes that neither hold a lease nor are replicas.
        free_bytes: memory that is neither used by others nor promised to a lease.
        replicas: the predictor's replicas that live there.
    """

    device: Device
    is_present: bool
    limits: Mapping[WorkKind, int]
    counts: Mapping[WorkKind, int]
    share_units: int
    held_units: int
    serving_replicas: int
    leases: tuple[Lease, ...]
    placement_group: str
    allocated_bytes: int = 0
    utilization: int = 0
    temperature_c: float = 0.0
    power_w: float = 0.0
    compute_capability: str = ""
    processes: tuple[tuple[int, str, int], ...] = ()
    quarantine: str = ""
    foreign_bytes: int = 0
    free_bytes: int = 0
    replicas: tuple[ReplicaReport, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceView(Compact):
    """All devices and the line at one moment. ``oldest_wait_s`` is 0 with nobody waiting."""

    at: float
    devices: tuple[DeviceView, ...]
    waiting: int
    oldest_wait_s: float
    cuda_version: str = ""


@dataclass(frozen=True, slots=True)
class WaitCounts:
    """How many tasks waited how long for their first lease.

    Attributes:
        bounds_s: the upper bounds of the classes, growing.
        counts: tasks in each class, and last those beyond all bounds; one more than ``bounds_s``.
        sum_s: all waits together.
    """

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True, slots=True)
class TaskCounters:
    """What the supervisor has counted since it began: attempts by outcome, waits by work, what was removed; and its tasks by state now."""

    attempts: Mapping[str, int]
    tasks: Mapping[TaskState, int]
    waits: Mapping[WorkKind, WaitCounts]
    removed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the ledger and the rest of the world do not agree about: what it is, and what either says."""

    subject: str
    ledger: str
    found: str


@dataclass(frozen=True, slots=True)
class BooksReport:
    """The ledger compared with Ray's books and the live processes, at one moment."""

    agrees: bool
    differences: tuple[Difference, ...]
    at: float


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """Whether one component answers.

    Attributes:
        state: healthy; restarting: it answers, but had to begin anew again and again; starting; unhealthy; or not_deployed.
        latency_ms: how long its answer took.
        since: in this state from when on.
        detail: what else is worth knowing, in words for people.
        restarts: how often it began anew within the last ten minutes.
        last_started_at: when its present process took its place; None where that is not known.
    """

    state: str
    latency_ms: float
    since: float
    detail: str = ""
    restarts: int = 0
    last_started_at: float | None = None


@dataclass(frozen=True, slots=True)
class LeasePlace:
    """One device of a lease, and the placement group of its task share."""

    device: Device
    group_id: str


@dataclass(frozen=True, slots=True)
class GrantedLease:
    """A lease with what is needed to place its processes: one place for each of its devices, in the order of its portions.

    ``rank`` is the place that is meant: 0, but for the other processes of a gang.
    """

    lease: Lease
    places: tuple[LeasePlace, ...]
    rank: int = 0

    @property
    def device(self) -> Device:
        """The device of this rank."""
        return self.places[self.rank].device

    @property
    def group_id(self) -> str:
        """The placement group of this rank's device."""
        return self.places[self.rank].group_id

    @property
    def portion(self) -> Portion:
        """What the lease holds of this rank's device."""
        return self.lease.portions[self.rank]

    def ranks(self) -> tuple["GrantedLease", ...]:
        """The same lease as each of its processes sees it."""
        return tuple(replace(self, rank=rank) for rank in range(len(self.places)))


@dataclass(frozen=True, slots=True)
class Queued:
    """The answer "not now": the request waits in line, for this reason."""

    request_id: str
    reason: str


#: What a request for a lease is answered with; a refusal is raised where only one is asked for.
LeaseAnswer = GrantedLease | Queued | RequestError


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the accountant has decided since a position.

    Attributes:
        incarnation: changes when the accountant begins anew; positions and the line start over with it.
        seq: the position after these decisions.
        grants: leases granted to waiting requests, oldest first.
        revocations: the requests whose leases must give way, oldest first; naming one twice is possible and harmless.
        order: the best-ranked waiting requests, best first.
    """

    incarnation: str
    seq: int
    grants: tuple[GrantedLease, ...]
    order: tuple[str, ...]
    revocations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """Everything that the process of one attempt needs to know; of a gang, ``rank`` of ``world_size`` such processes."""

    attempt_id: str
    task_id: str
    work: WorkKind
    task_type: str
    request: Mapping[str, Any]
    resolved: Mapping[str, str]
    granted: GrantedLease
    resume: bool = False

    @property
    def rank(self) -> int:
        """Which of the attempt's processes this is; 0 but for a gang's others."""
        return self.granted.rank

    @property
    def world_size(self) -> int:
        """How many processes the attempt has."""
        return len(self.granted.places)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended by itself.

    Attributes:
        outcome: completed, stopped (asked to) or failed.
        message: one line for people.
        fault: set when failed.
        is_retryable: whether another attempt could end differently.
        progress: the last state of it.
        peak_bytes: the most that its process held of a GPU at once; 0 without one.
        peak: what a training of at least one whole epoch teaches about the memory that such trainings need.
        unsent: lines that the log hub did not take while the process could wait (a full disk, say); the supervisor sends them on.
    """

    outcome: str
    message: str
    fault: TaskFault | None = None
    is_retryable: bool = False
    progress: Progress = field(default_factory=Progress)
    peak_bytes: int = 0
    peak: Peak | None = None
    unsent: tuple[LogDraft, ...] = ()
