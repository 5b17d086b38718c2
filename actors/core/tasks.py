"""What a user submits, and what became of it. Frozen records; ``task_flow`` alone makes new versions of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from actors.core.model import Lease, WorkKind

#: The code of a fault that a smaller batch may cure, and the ``on_oom`` of a request that asks for that.
OUT_OF_MEMORY: Final = "gpu_out_of_memory"
REDUCE_BATCH: Final = "reduce_batch"
#: The ``Submission.task_type`` of an evaluation, which is of the kind inference.
EVALUATE: Final = "evaluate"
#: The key in ``Submission.resolved`` of a warning about the memory that a training will need.
MEMORY_NOTE: Final = "memory_note"
#: The same about the room on the disk that a task will need.
DISK_NOTE: Final = "disk_note"
#: The key in ``Submission.resolved`` of the registered version that an inference was given, as NAME@VERSION; absent where it has files.
REGISTERED_MODEL: Final = "model"


class Compact:
    """A record that pickles as its constructor's arguments: three times faster than dataclasses do by themselves.

    For frozen dataclasses whose fields are all arguments of the constructor; lists of tasks cross processes at every look.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), tuple([getattr(self, name) for name in self.__match_args__])


class TaskState(StrEnum):
    """Where a task is in its life."""

    PENDING = "pending"  # accepted, not yet answered by the accountant
    QUEUED = "queued"  # waiting in line
    RUNNING = "running"  # an attempt holds a lease
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return not TRANSITIONS[self]


#: The legal moves; everything else raises ``InvalidTransitionError``.
TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.PENDING: frozenset({TaskState.QUEUED, TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.QUEUED: frozenset({TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset({TaskState.QUEUED, TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}


class PreprocessingType(StrEnum):
    """What a preprocessing task does, in the words of the HTTP contract: its ``Submission.task_type``."""

    SPLIT = "dataset_split"
    AUGMENT = "data_augmentation"
    CROP = "image_crop"
    SPECTROGRAM = "spectrogram"


class EndMode(StrEnum):
    """How a user ends a task."""

    CANCEL = "cancel"  # leave the line, or stop
    STOP = "stop"  # write a checkpoint, then end
    KILL = "kill"  # end at once


@dataclass(frozen=True, slots=True)
class TaskFault(Compact):
    """Why a task failed, in words for the user: a stable code, what happened, and what to do about it."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class StateChange(Compact):
    """One step of a task's history; ``before`` is None for the submission."""

    at: float
    before: TaskState | None
    after: TaskState
    cause: str


@dataclass(frozen=True, slots=True)
class LeaseView(Compact):
    """The lease of a running attempt, as far as a task shows it."""

    lease_id: str
    token: int
    device_id: str
    units: int
    memory_bytes: int
    granted_at: float

    @classmethod
    def of(cls, lease: Lease) -> Self:
        """What a task shows of this lease; a gang's devices stand in one string."""
        first = lease.portions[0]
        device_id = ",".join(portion.device_id for portion in lease.portions)
        return cls(lease.lease_id, lease.token, device_id, first.units, first.memory_bytes, lease.granted_at)


@dataclass(frozen=True, slots=True)
class Progress(Compact):
    """How far an attempt is.

    Attributes:
        percent: 0 to 100.
        message: one line for people.
        epoch: the current epoch, from 1; None for work without epochs.
        total_epochs: how many there will be.
        metrics: the latest full set, by the names of the HTTP contract.
        stats: what work that counts rather than learns has counted at its end, by the names of the HTTP contract; JSON values only.
    """

    percent: int = 0
    message: str = ""
    epoch: int | None = None
    total_epochs: int | None = None
    metrics: Mapping[str, float] | None = None
    stats: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Submission(Compact):
    """What a user wants done, checked and complete.

    Attributes:
        task_id: the caller's own id, or one made at the door.
        work: the kind, which is also the limit it counts against.
        task_type: the kind in the words of the HTTP contract (training, inference, ...).
        request: the request body after defaults, JSON values only.
        device: the selector to use: the one of the request, or what this service makes of it. Repeating a request is not another
            one because its device was understood otherwise.
        priority: 1 is the most urgent, 10 the least.
        memory_bytes: the budget asked for, or None.
        device_count: more than 1 for a gang.
        preemptible: may be paused for a better-ranked task.
        max_retries: how often a died attempt is repeated.
        output_path: where the user's files go.
        batch_id: the parent, for one source of a batch.
        batch_index: which of the batch's sources it is, from 0.
        resolved: the paths of the request as this machine understood them, and what it remarked on them; not part of what was asked.
        ignored_fields: names in the body that mean nothing here, where the route takes such; not part of what was asked either.
    """

    task_id: str
    work: WorkKind
    task_type: str
    request: Mapping[str, Any]
    device: str = field(compare=False)
    priority: int
    memory_bytes: int | None = None
    device_count: int = 1
    preemptible: bool = False
    max_retries: int = 2
    output_path: str = ""
    batch_id: str = ""
    resolved: Mapping[str, str] = field(default_factory=dict, compare=False)
    ignored_fields: tuple[str, ...] = field(default=(), compare=False)
    batch_index: int = 0


@dataclass(frozen=True, slots=True)
class Task(Compact):
    """One task: what was submitted, where it is, and every state it has been in.

    Attributes:
        submission: what the user wants.
        state: the current state; equals the last entry of ``history``.
        submitted_at: seconds since the epoch; the base of its rank.
        updated_at: when anything of this record changed last.
        attempts: how many attempts were begun (asked a lease for).
        attempt_id: the current or last attempt.
        lease: held by the running attempt, else None.
        device_id: where the last attempt ran or runs; "" before the first lease.
        ending: set once a user has asked for the end; the state follows when the process is gone.
        is_pausing: the running attempt was asked to save its work and give way.
        preemptions: how many attempts gave way; they do not count as failed ones.
        interruptions: how many attempts ended with the whole service; they do not count either.
        new_priority: set where the priority was changed while it waited.
        progress: of the current attempt.
        fault: why it failed.
        started_at: when the first attempt got its lease.
        finished_at: when it reached a final state.
        batch_size_override: the batch in use since the one asked for ran out of GPU memory; None while it is the one asked for.
        batch_reductions: attempts that ended by making the batch smaller; they do not count as retries.
        queue_position: 1 for the next in line; None when not waiting or not known.
        history: every state change, oldest first.
    """

    submission: Submission
    state: TaskState
    submitted_at: float
    updated_at: float
    attempts: int = 0
    attempt_id: str = ""
    lease: LeaseView | None = None
    device_id: str = ""
    ending: EndMode | None = None
    progress: Progress = field(default_factory=Progress)
    fault: TaskFault | None = None
    started_at: float | None = None
    finished_at: float | None = None
    batch_size_override: int | None = None
    batch_reductions: int = 0
    queue_position: int | None = None
    history: tuple[StateChange, ...] = ()
    is_pausing: bool = False
    preemptions: int = 0
    interruptions: int = 0
    new_priority: int | None = None

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return self.submission.task_id

    @property
    def priority(self) -> int:
        """1 is the most urgent, 10 the least: as submitted, or as changed since."""
        return self.submission.priority if self.new_priority is None else self.new_priority

    @property
    def request(self) -> Mapping[str, Any]:
        """What the next attempt is to do: the request that was submitted, with the batch that is in use."""
        asked = self.submission.request
        return asked if self.batch_size_override is None else {**asked, "batch_size": self.batch_size_override}
