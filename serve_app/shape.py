"""Domain records in the words of the HTTP contract: tasks, logs and their parts.

Pure functions. Owns how seconds, bytes and units turn into text and floats; resources have a file of their own (``shape_resources``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from actors.core.events import EndCause
from actors.core.lease_history import PastLease
from actors.core.model import GIB, DeviceKind
from actors.core.tasks import REGISTERED_MODEL, LeaseView, PreprocessingType, Task, TaskFault, TaskState
from actors.core.units import fraction_from_units
from actors.messages import LogLine
from serve_app.schemas.inference import BatchStatusResponse
from serve_app.schemas.preprocessing import PreprocessingResponse
from serve_app.schemas.tasks import (
    FaultBody,
    LeaseBody,
    LogRecord,
    PastLeaseBody,
    PortionBody,
    StateChangeBody,
    TaskActionResponse,
    TaskHistoryResponse,
    TaskLeasesResponse,
    TaskResponse,
)

_STAGES = frozenset({"epoch_start", "training", "validation", "epoch_end", "completed"})
_WAITING_MESSAGES = {TaskState.PENDING: "accepted", TaskState.QUEUED: "waiting for a device"}


@lru_cache(maxsize=8192)
def timestamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 with offset. Remembered: lists show the same instants again and again."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def gigabytes(size_bytes: int) -> float:
    """Bytes in GB as torch and drivers count them (2**30), to the megabyte."""
    return round(size_bytes / GIB, 3)


def clean_text(text: str) -> str:
    """The text, with what no UTF-8 can carry (undecodable bytes of a file's name) replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def task_response(task: Task) -> TaskResponse:
    """One task."""
    submission, progress, request = task.submission, task.progress, task.request
    return TaskResponse(
        task_id=task.task_id,
        task_type=submission.task_type,
        status=task.state,
        message=task_message(task),
        progress=min(100, max(0, progress.percent)),
        device=shown_device(task),
        priority=task.priority,
        created_at=timestamp(task.submitted_at),
        updated_at=timestamp(task.updated_at),
        current_epoch=progress.epoch,
        total_epochs=progress.total_epochs or request.get("num_epochs"),
        latest_metrics=progress.metrics,
        name=request.get("name"),
        model=submission.resolved.get(REGISTERED_MODEL) or request.get("model"),
        batch_size=request.get("batch_size"),
        description=request.get("description") or "",
        batch_id=submission.batch_id or None,
        queue_position=task.queue_position,
        attempts=task.attempts,
        error=_fault_body(task.fault),
        lease=_lease_body(task.lease),
        started_at=_optional_timestamp(task.started_at),
        finished_at=_optional_timestamp(task.finished_at),
        output_path=clean_text(submission.output_path),
    )


def preprocessing_response(task: Task) -> PreprocessingResponse:
    """One preprocessing task; the input is called as its request calls it."""
    request = task.request
    return PreprocessingResponse(
        task_id=task.task_id,
        task_type=PreprocessingType(task.submission.task_type),
        status=task.state,
        message=task_message(task),
        progress=min(100, max(0, task.progress.percent)),
        input_path=clean_text(request.get("input_path") or request["dataset_path"]),
        output_path=clean_text(task.submission.output_path),
        stats=task.progress.stats,
        created_at=timestamp(task.submitted_at),
        updated_at=timestamp(task.updated_at),
    )


def batch_response(batch_id: str, tasks: Sequence[Task]) -> BatchStatusResponse:
    """A batch as a whole, from its tasks in the order of their sources."""
    counts = Counter(task.state for task in tasks)
    done = sum(100 if task.state.is_final else task.progress.percent for task in tasks)
    ended = sum(counts[state] for state in TaskState if state.is_final)
    return BatchStatusResponse(
        batch_id=batch_id,
        status=batch_state(counts),
        message=f"{ended} of {len(tasks)} tasks have ended",
        progress=min(100, max(0, done // len(tasks))),
        total=len(tasks),
        counts={state: counts[state] for state in TaskState},
        task_ids=[task.task_id for task in tasks],
        created_at=timestamp(min(task.submitted_at for task in tasks)),
        updated_at=timestamp(max(task.updated_at for task in tasks)),
    )


def batch_state(counts: Mapping[TaskState, int]) -> TaskState:
    """One state for many tasks: running from the first start to the last end; then the worst end of any."""
    present = {state for state, count in counts.items() if count}
    unfinished = {state for state in present if not state.is_final}
    if unfinished:
        has_begun = TaskState.RUNNING in present or present != unfinished
        return TaskState.RUNNING if has_begun else max(unfinished, key=list(TaskState).index)
    return next(state for state in (TaskState.FAILED, TaskState.CANCELLED, TaskState.COMPLETED) if state in present)


def task_history_response(task: Task) -> TaskHistoryResponse:
    """Every state that a task has been in, oldest first."""
    changes = [
        StateChangeBody(at=timestamp(each.at), before=each.before, after=each.after, cause=clean_text(each.cause))
        for each in task.history
    ]
    return TaskHistoryResponse(task_id=task.task_id, history=changes)


def task_leases_response(task: Task, leases: Sequence[PastLease]) -> TaskLeasesResponse:
    """Every lease that a task had, oldest first; not those of another task that was deleted and had the same id."""
    own = [each for each in leases if each.granted_at is None or each.granted_at >= task.submitted_at]
    return TaskLeasesResponse(task_id=task.task_id, leases=[_past_lease_body(each) for each in own])


def action_response(task_id: str, message: str) -> TaskActionResponse:
    """The answer to a wish that was taken up."""
    return TaskActionResponse(status="success", message=message, task_id=task_id)


def task_message(task: Task) -> str:
    """One line for people on how the task stands."""
    if task.fault is not None and task.state is TaskState.FAILED:
        return clean_text(task.fault.message)
    if task.queue_position is not None and task.state is TaskState.QUEUED:
        return f"waiting in line, position {task.queue_position}"
    return clean_text(task.progress.message) or _WAITING_MESSAGES.get(task.state, task.state.value)


def shown_device(task: Task) -> str:
    """Where the task runs or ran, else what was asked for; ``cpu`` stays ``cpu``, which is how users know the only one there is."""
    asked = task.submission.device
    return asked if asked == DeviceKind.CPU else task.device_id or asked


def log_json(line: LogLine) -> bytes:
    """One log line as JSON; what has no value is left out."""
    record = LogRecord(
        timestamp=timestamp(line.at),
        level=line.level,
        message=clean_text(line.message),
        stage=line.stage if line.stage in _STAGES else None,
        step=line.step,
        metrics=line.metrics,
        status=TaskState(line.status) if line.status else None,
        progress=line.progress,
    )
    return record.model_dump_json(exclude_none=True).encode()


def _fault_body(fault: TaskFault | None) -> FaultBody | None:
    if fault is None:
        return None
    return FaultBody(code=fault.code, message=clean_text(fault.message), hint=clean_text(fault.hint))


def _lease_body(lease: LeaseView | None) -> LeaseBody | None:
    if lease is None:
        return None
    return LeaseBody(
        device=lease.device_id,
        gpu_fraction=fraction_from_units(lease.units),
        memory_gb=gigabytes(lease.memory_bytes),
        granted_at=timestamp(lease.granted_at),
    )


def _past_lease_body(lease: PastLease) -> PastLeaseBody:
    return PastLeaseBody(
        lease_id=lease.lease_id,
        attempt=int(lease.attempt_id.rpartition(".")[2]),
        devices=[
            PortionBody(device=each.device_id, gpu_fraction=fraction_from_units(each.units), memory_gb=gigabytes(each.memory_bytes))
            for each in lease.portions
        ],
        granted_at=_optional_timestamp(lease.granted_at),
        ended_at=_optional_timestamp(lease.closed_at),
        end=EndCause(lease.cause) if lease.cause else None,
        adoptions=lease.adoptions,
    )


def _optional_timestamp(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)
