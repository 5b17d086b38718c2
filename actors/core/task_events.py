"""What happens to tasks (events, past tense) and what the task flow wants done (commands, imperative).

The supervisor builds an event, calls ``TaskFlow.handle(event, now=...)`` and carries out the commands in their order.
"""

from dataclasses import dataclass

from actors.core.errors import ActorSystemError
from actors.core.model import Lease, LeaseRequest
from actors.core.tasks import EndMode, Progress, Submission, Task, TaskFault, TaskState

# --- events ---


@dataclass(frozen=True, slots=True)
class TaskSubmitted:
    """A checked submission; repeating it is harmless."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class LeaseQueued:
    """The accountant put the attempt's request into the line."""

    attempt_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseGranted:
    """The accountant granted the attempt's request."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class LeaseRejected:
    """The accountant will never grant the attempt's request."""

    attempt_id: str
    error: ActorSystemError


@dataclass(frozen=True, slots=True)
class LeaseRevoked:
    """The accountant wants the attempt to give way to a better-ranked request."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class AttemptProgressed:
    """The attempt's process tells how far it is."""

    attempt_id: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The attempt ended by itself: completed, stopped because it was asked to, or failed with a fault."""

    attempt_id: str
    outcome: str
    message: str
    fault: TaskFault | None = None
    is_retryable: bool = False
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class AttemptDied:
    """The attempt's process is gone, or never came up, without a word of its own.

    ``is_counted``: it counts against the attempts that the task may have; not where the whole service ended, which is not its fault.
    """

    attempt_id: str
    cause: str
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class EndRequested:
    """A user wants the task to end."""

    task_id: str
    mode: EndMode


@dataclass(frozen=True, slots=True)
class PriorityChanged:
    """A user wants a waiting task to have another place in the line."""

    task_id: str
    priority: int


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """A user wants an ended task to be forgotten."""

    task_id: str


TaskEvent = (
    TaskSubmitted
    | LeaseQueued
    | LeaseGranted
    | LeaseRejected
    | LeaseRevoked
    | AttemptProgressed
    | AttemptEnded
    | AttemptDied
    | EndRequested
    | PriorityChanged
    | TaskDeleted
)

# --- commands ---


@dataclass(frozen=True, slots=True)
class SaveTask:
    """Write this version of the record. ``durable``: the answer to the user waits for it."""

    task: Task
    durable: bool = True


@dataclass(frozen=True, slots=True)
class ForgetTask:
    """Delete the record and the log; the user's files stay."""

    task_id: str


@dataclass(frozen=True, slots=True)
class RequestLease:
    """Ask the accountant."""

    request: LeaseRequest


@dataclass(frozen=True, slots=True)
class WithdrawRequest:
    """Take the attempt's request out of the line (or give the lease back, if the grant is on its way)."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """Tell the accountant the new priority of the attempt's waiting request."""

    attempt_id: str
    priority: int


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Bring up the process of an attempt on its lease."""

    task: Task
    lease: Lease
    resume: bool


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Ask the process to stop at the next batch; end it by force after the grace period, or at once."""

    attempt_id: str
    at_once: bool


@dataclass(frozen=True, slots=True)
class FinishAttempt:
    """The attempt is over: end its process and give its lease back. ``is_complete``: its work came to a proper end."""

    attempt_id: str
    lease_id: str
    token: int
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class Announce:
    """Write a line into the task's log; the last one of an ended task carries its state.

    ``step`` is the place in the task's history, from 1, of what the line tells; 0 for a remark.
    """

    task_id: str
    level: str
    message: str
    state: TaskState
    is_last: bool = False
    step: int = 0


TaskCommand = (
    SaveTask | ForgetTask | RequestLease | WithdrawRequest | RerankRequest | StartAttempt | StopAttempt | FinishAttempt | Announce
)


def tell_step(task: Task, number: int) -> Announce:
    """What the log says of a step of a task's history, counted from 1; the same each time it is told."""
    change = task.history[number - 1]
    state = change.after
    cause = change.cause if change.before is not None else f"{task.submission.task_type} task accepted"
    level = "ERROR" if state is TaskState.FAILED else "INFO"
    return Announce(task.task_id, level, cause, state, is_last=state.is_final, step=number)
