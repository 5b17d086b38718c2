"""What the supervisor and the process of an attempt tell each other: the order at its beginning, the result at its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from actors.core.model import WorkKind
from actors.core.tasks import Progress, Task, TaskFault
from actors.learning.memory_need import Peak
from actors.messages import GrantedLease, LogDraft


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

    @classmethod
    def of(cls, task: Task, granted: GrantedLease, *, resume: bool) -> Self:
        """The order for a task's current attempt, on the lease that it was granted."""
        submission = task.submission
        return cls(
            attempt_id=task.attempt_id,
            task_id=task.task_id,
            work=submission.work,
            task_type=submission.task_type,
            request=task.request,
            resolved=submission.resolved,
            granted=granted,
            resume=resume,
        )

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
        unsent: lines that the log hub did not take while the process could wait (a full disk, say); the supervisor sends them on,
            and has them in its memory only: one that ends before the hub takes them loses them.
    """

    outcome: str
    message: str
    fault: TaskFault | None = None
    is_retryable: bool = False
    progress: Progress = field(default_factory=Progress)
    peak_bytes: int = 0
    peak: Peak | None = None
    unsent: tuple[LogDraft, ...] = ()
