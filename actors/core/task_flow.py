"""The life of tasks as one state machine: what happened goes in, what to do comes out.

``TaskFlow.handle(event, now=...)`` moves one task along the table of legal moves and returns the commands that the supervisor must
carry out. It is synchronous and deterministic like the scheduler, and knows neither Ray nor the store.

    pending --> queued --> running --> completed | failed | cancelled
       |          |  ^        |
       |          |  `--------'  an attempt died and is repeated
       `----------`--> failed (refused) | cancelled

An *attempt* is one run of a task: it asks for one lease, gets one process, ends once. What arrives for an attempt that is no longer
the current one is answered by giving back what it holds, and changes nothing else.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from actors.core.attempt_end import HINTS_AFTER_DEATH, final_state, has_run, smaller_batch
from actors.core.errors import (
    DuplicateRequestError,
    InvalidTransitionError,
    TaskEndedError,
    TaskNotEndedError,
    TaskNotFoundError,
    TaskNotWaitingError,
)
from actors.core.model import Lease, LeaseRequest
from actors.core.task_events import (
    Announce,
    AttemptDied,
    AttemptEnded,
    AttemptProgressed,
    EndRequested,
    FinishAttempt,
    ForgetTask,
    LeaseGranted,
    LeaseQueued,
    LeaseRejected,
    LeaseRevoked,
    PriorityChanged,
    RequestLease,
    RerankRequest,
    SaveTask,
    StartAttempt,
    StopAttempt,
    TaskCommand,
    TaskDeleted,
    TaskEvent,
    TaskSubmitted,
    WithdrawRequest,
    tell_step,
)
from actors.core.tasks import (
    DISK_NOTE,
    MEMORY_NOTE,
    TRANSITIONS,
    EndMode,
    LeaseView,
    Progress,
    StateChange,
    Task,
    TaskFault,
    TaskState,
)


class TaskFlow:
    """All tasks that are known, changed by ``handle`` alone.

    Invariant (``validate``): a task's state is the last of its history; only a running one has a lease; every task that has not
    ended has a current attempt, and each current attempt belongs to one task.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self._by_attempt: dict[str, str] = {}
        self._handlers: dict[type, Callable[[Any, float], list[TaskCommand]]] = {
            TaskSubmitted: self._on_submitted,
            LeaseQueued: self._on_lease_queued,
            LeaseGranted: self._on_lease_granted,
            LeaseRejected: self._on_lease_rejected,
            LeaseRevoked: self._on_lease_revoked,
            AttemptProgressed: self._on_progressed,
            AttemptEnded: self._on_ended,
            AttemptDied: self._on_died,
            EndRequested: self._on_end_requested,
            PriorityChanged: self._on_priority_changed,
            TaskDeleted: self._on_deleted,
        }

    def handle(self, event: TaskEvent, *, now: float) -> list[TaskCommand]:
        """Take in one event and return what follows from it.

        Raises:
            DuplicateRequestError: a submission under an id that is in use for another content.
            TaskNotFoundError, TaskEndedError, TaskNotEndedError, TaskNotWaitingError: a user's wish that cannot be met.
            InvalidTransitionError: the caller's mistake; nothing was changed.
        """
        return self._handlers[type(event)](event, now)

    def restore(self, task: Task) -> None:
        """Take in a record from the store, before any event."""
        self.tasks[task.task_id] = task
        if not task.state.is_final:
            self._by_attempt[task.attempt_id] = task.task_id

    def get(self, task_id: str) -> Task:
        """The current record. Raises TaskNotFoundError."""
        task = self.tasks.get(task_id)
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    def current(self, attempt_id: str) -> Task | None:
        """The unfinished task whose current attempt this is."""
        task_id = self._by_attempt.get(attempt_id)
        return None if task_id is None else self.tasks[task_id]

    def running(self) -> list[Task]:
        """The tasks whose attempt holds a lease."""
        return [task for task in self._unfinished() if task.state is TaskState.RUNNING]

    @property
    def unfinished_count(self) -> int:
        """How many tasks wait or run."""
        return len(self._by_attempt)

    def waiting(self) -> list[Task]:
        """The tasks whose attempt wants a lease."""
        return [task for task in self._unfinished() if task.state is not TaskState.RUNNING]

    def discard(self, task_id: str) -> None:
        """Undo a submission that could not be made durable, before anything but its end followed from it."""
        task = self.tasks.pop(task_id, None)
        if task is not None:
            self._by_attempt.pop(task.attempt_id, None)

    def _unfinished(self) -> list[Task]:
        return [self.tasks[task_id] for task_id in self._by_attempt.values()]

    def lease_request(self, task: Task) -> LeaseRequest:
        """The wish of a task's current attempt; the same each time it is asked for."""
        submission = task.submission
        return LeaseRequest(
            request_id=task.attempt_id,
            task_id=task.task_id,
            work=submission.work,
            selector=submission.device,
            priority=task.priority,
            submitted_at=task.submitted_at,
            memory_bytes=submission.memory_bytes,
            device_count=submission.device_count,
            preemptible=submission.preemptible,
            profile=str(submission.request.get("model") or submission.task_type),
        )

    def validate(self) -> None:
        """Prove the invariant.

        Raises:
            AssertionError: names the task that is wrong.
        """
        unfinished = {task.attempt_id: task_id for task_id, task in self.tasks.items() if not task.state.is_final}
        if unfinished != self._by_attempt:
            raise AssertionError("current attempts and unfinished tasks do not match")
        for task_id, task in self.tasks.items():
            if task.history[-1].after is not task.state:
                raise AssertionError(f"{task_id} is {task.state}, its history ends with {task.history[-1].after}")
            if (task.lease is not None) != (task.state is TaskState.RUNNING):
                raise AssertionError(f"{task_id} is {task.state} with lease {task.lease}")

    # --- submission and the line ---

    def _on_submitted(self, event: TaskSubmitted, now: float) -> list[TaskCommand]:
        submission = event.submission
        known = self.tasks.get(submission.task_id)
        if known is not None:
            if known.submission == submission:
                return []
            reason = f"task_id {submission.task_id!r} is in use for another request; choose a new one"
            raise DuplicateRequestError(submission.task_id, reason)
        first = StateChange(now, None, TaskState.PENDING, "submitted")
        task = Task(submission, TaskState.PENDING, submitted_at=now, updated_at=now, history=(first,))
        task = self._begin_attempt(task)
        said = [tell_step(task, 1)]
        notes = [submission.resolved[name] for name in (MEMORY_NOTE, DISK_NOTE) if name in submission.resolved]
        said += [Announce(task.task_id, "WARNING", note, task.state) for note in notes]
        if submission.ignored_fields:
            names = ", ".join(submission.ignored_fields)
            said.append(Announce(task.task_id, "WARNING", f"ignored, since no such field is known: {names}", task.state))
        return [SaveTask(task), *said, RequestLease(self.lease_request(task))]

    def _on_lease_queued(self, event: LeaseQueued, now: float) -> list[TaskCommand]:
        task = self.current(event.attempt_id)
        if task is None:
            return [WithdrawRequest(event.attempt_id)]
        if task.state is not TaskState.PENDING:
            return []
        return self._move(task, TaskState.QUEUED, f"waiting for a device ({event.reason})", now)

    def _on_lease_granted(self, event: LeaseGranted, now: float) -> list[TaskCommand]:
        lease = event.lease
        task = self.current(lease.request.request_id)
        if task is None or task.ending is not None:
            return [FinishAttempt(lease.request.request_id, lease.lease_id, lease.token)]
        if task.state is TaskState.RUNNING:
            return []
        view = _view(lease)
        started_at = task.started_at or now
        task = replace(task, lease=view, device_id=view.device_id, started_at=started_at, progress=Progress(message="starting"))
        resume = has_run(task)
        commands = self._move(task, TaskState.RUNNING, f"attempt {task.attempts} got {view.device_id}", now)
        return [*commands, StartAttempt(self.tasks[task.task_id], lease, resume=resume)]

    def _on_lease_rejected(self, event: LeaseRejected, now: float) -> list[TaskCommand]:
        task = self.current(event.attempt_id)
        if task is None or task.state is TaskState.RUNNING:
            return []  # the answer to a request that was told twice, and granted the first time
        if isinstance(event.error, DuplicateRequestError):
            # Its lease was granted, and over before anybody here heard of it: the accountant began anew between the two.
            task = self._begin_attempt(replace(task, interruptions=task.interruptions + 1))
            return [SaveTask(task), RequestLease(self.lease_request(task))]
        fault = TaskFault(event.error.code, str(event.error), "choose another device or another id")
        return self._move(replace(task, fault=fault), TaskState.FAILED, str(event.error), now)

    def _on_lease_revoked(self, event: LeaseRevoked, now: float) -> list[TaskCommand]:
        task = self.current(event.attempt_id)
        if task is None or task.state is not TaskState.RUNNING or task.is_pausing or task.ending is not None:
            return []
        progress = replace(task.progress, message="saving its work to give way to a better-ranked task")
        task = replace(task, is_pausing=True, progress=progress, updated_at=now)
        self.tasks[task.task_id] = task
        said = Announce(task.task_id, "WARNING", "paused for a better-ranked task: saving the work", task.state)
        return [SaveTask(task), said, StopAttempt(task.attempt_id, at_once=False)]

    # --- the attempt ---

    def _on_progressed(self, event: AttemptProgressed, now: float) -> list[TaskCommand]:
        task = self.current(event.attempt_id)
        if task is None or task.state is not TaskState.RUNNING:
            return []
        task = replace(task, progress=event.progress, updated_at=now)
        self.tasks[task.task_id] = task
        return [SaveTask(task, durable=False)]

    def _on_ended(self, event: AttemptEnded, now: float) -> list[TaskCommand]:
        task = self.current(event.attempt_id)
        if task is None or task.lease is None:
            return []
        finish = _finish(task.attempt_id, task.lease, is_complete=event.outcome == "completed")
        if event.progress is not None:
            task = replace(task, progress=event.progress)
        if event.outcome == "stopped" and task.is_pausing and task.ending is None:
            return self._repeat(task, "gave way to a better-ranked task; it goes on from its checkpoint", finish, now)
        smaller = smaller_batch(task, event.fault)
        if smaller and event.fault is not None:
            return self._reduce_batch(task, event.fault, smaller, finish, now=now)
        if event.is_retryable and event.fault is not None and task.ending is None:
            return self._retry_or_fail(task, event.fault, finish, now)
        state = final_state(event.outcome, task.ending)
        task = replace(task, fault=event.fault if state is TaskState.FAILED else None)
        return [*self._move(task, state, event.message, now), finish]

    def _on_died(self, event: AttemptDied, now: float) -> list[TaskCommand]:
        task = self.current(event.attempt_id)
        if task is None or task.lease is None:
            return []
        finish = _finish(task.attempt_id, task.lease)
        if task.ending is not None:
            return [*self._move(task, TaskState.CANCELLED, f"ended by {task.ending}", now), finish]
        if task.is_pausing:  # counts once, as an attempt that gave way
            cause = "ended before it had saved its work; it goes on from its last checkpoint"
            return self._repeat(task, cause, finish, now)
        if not event.is_counted:
            task = replace(task, interruptions=task.interruptions + 1)
            return self._repeat(task, f"{event.cause}; it goes on from its last checkpoint", finish, now)
        hint = HINTS_AFTER_DEATH[task.submission.work]
        fault = TaskFault("attempt_died", f"the process of attempt {task.attempts} died: {event.cause}", hint)
        return self._retry_or_fail(task, fault, finish, now)

    def _retry_or_fail(self, task: Task, fault: TaskFault, finish: FinishAttempt, now: float) -> list[TaskCommand]:
        most = task.submission.max_retries + 1
        used = task.attempts - task.preemptions - task.batch_reductions - task.interruptions
        if used >= most:
            return [*self._move(replace(task, fault=fault), TaskState.FAILED, fault.message, now), finish]
        return self._repeat(task, f"{fault.message}; attempt {used + 1} of {most} follows", finish, now)

    def _reduce_batch(
        self, task: Task, fault: TaskFault, batch_size: int, finish: FinishAttempt, *, now: float
    ) -> list[TaskCommand]:
        cause = f"{fault.message}; going on from the last checkpoint with batch_size {batch_size}"
        task = replace(task, batch_size_override=batch_size, batch_reductions=task.batch_reductions + 1)
        return self._repeat(task, cause, finish, now)

    def _repeat(self, task: Task, cause: str, finish: FinishAttempt, now: float) -> list[TaskCommand]:
        """Put a task back into the line, with the rank it had, for another attempt from its last checkpoint."""
        task = replace(task, preemptions=task.preemptions + task.is_pausing, is_pausing=False)
        commands = self._move(task, TaskState.QUEUED, cause, now)
        task = self._begin_attempt(self.tasks[task.task_id])
        return [*commands, finish, SaveTask(task), RequestLease(self.lease_request(task))]

    # --- what users ask for ---

    def _on_end_requested(self, event: EndRequested, now: float) -> list[TaskCommand]:
        task = self.get(event.task_id)
        if task.state.is_final:
            raise TaskEndedError(event.task_id)
        if task.state is not TaskState.RUNNING:
            attempt_id = task.attempt_id
            return [*self._move(task, TaskState.CANCELLED, f"{event.mode} before it started", now), WithdrawRequest(attempt_id)]
        if task.ending is EndMode.KILL or task.ending is event.mode:
            return []
        progress = replace(task.progress, message=f"{event.mode} requested, waiting for the process to end")
        task = replace(task, ending=event.mode, progress=progress, updated_at=now)
        self.tasks[task.task_id] = task
        said = Announce(task.task_id, "WARNING", f"{event.mode} requested", task.state)
        return [SaveTask(task), said, StopAttempt(task.attempt_id, at_once=event.mode is EndMode.KILL)]

    def _on_priority_changed(self, event: PriorityChanged, now: float) -> list[TaskCommand]:
        task = self.get(event.task_id)
        if task.state not in (TaskState.PENDING, TaskState.QUEUED):
            raise TaskNotWaitingError(event.task_id)
        if task.priority == event.priority:
            return []
        task = replace(task, new_priority=event.priority, updated_at=now)
        self.tasks[task.task_id] = task
        said = Announce(task.task_id, "INFO", f"priority is {event.priority} now", task.state)
        return [SaveTask(task), said, RerankRequest(task.attempt_id, event.priority)]

    def _on_deleted(self, event: TaskDeleted, now: float) -> list[TaskCommand]:  # noqa: ARG002 - one shape for all
        task = self.get(event.task_id)
        if not task.state.is_final:
            raise TaskNotEndedError(event.task_id)
        del self.tasks[event.task_id]
        return [ForgetTask(event.task_id)]

    # --- one step ---

    def _begin_attempt(self, task: Task) -> Task:
        self._by_attempt.pop(task.attempt_id, None)
        number = task.attempts + 1
        task = replace(task, attempts=number, attempt_id=f"{task.task_id}.{number}")
        self.tasks[task.task_id] = task
        self._by_attempt[task.attempt_id] = task.task_id
        return task

    def _move(self, task: Task, state: TaskState, cause: str, now: float) -> list[TaskCommand]:
        """Make one legal move; returns the save and the log line."""
        if state not in TRANSITIONS[task.state]:
            raise InvalidTransitionError(task.task_id, state, tuple(change.after for change in task.history))
        change = StateChange(now, task.state, state, cause)
        is_final = state.is_final
        task = replace(
            task,
            state=state,
            updated_at=now,
            history=(*task.history, change),
            lease=task.lease if state is TaskState.RUNNING else None,
            finished_at=now if is_final else None,
            queue_position=None,
            progress=_progress_at(state, task.progress, cause),
        )
        self.tasks[task.task_id] = task
        if is_final:
            del self._by_attempt[task.attempt_id]
        return [SaveTask(task), tell_step(task, len(task.history))]


def _finish(attempt_id: str, lease: LeaseView, *, is_complete: bool = False) -> FinishAttempt:
    return FinishAttempt(attempt_id, lease.lease_id, lease.token, is_complete)


def _view(lease: Lease) -> LeaseView:
    """What a task shows of its lease; a gang's devices stand in one string."""
    first = lease.portions[0]
    device_id = ",".join(portion.device_id for portion in lease.portions)
    return LeaseView(lease.lease_id, lease.token, device_id, first.units, first.memory_bytes, lease.granted_at)


def _progress_at(state: TaskState, progress: Progress, cause: str) -> Progress:
    if state is TaskState.RUNNING:
        return progress
    percent = 100 if state is TaskState.COMPLETED else progress.percent
    return replace(progress, percent=percent, message=cause)
