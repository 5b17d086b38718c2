"""Tasks and their logs as answers, and the error body.

Tasks are typed dictionaries: a page of a hundred is made on every look at a list, and an instance of a model for each costs as much
again as writing the page.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from actors.core.events import EndCause
from actors.core.tasks import TaskState
from serve_app.schemas.fields import ResponseModel, Timestamp

EXACT = ConfigDict(extra="forbid")


@with_config(EXACT)
class FaultBody(TypedDict):
    """Why a task failed, and what to do about it."""

    code: str
    message: str
    hint: str


@with_config(EXACT)
class LeaseBody(TypedDict):
    """What a running task holds."""

    device: str
    gpu_fraction: Annotated[float, Field(description="the fraction of the device, a CPU's too")]
    memory_gb: float
    granted_at: Timestamp


@with_config(EXACT)
class TaskResponse(TypedDict):
    """One task."""

    task_id: str
    task_type: str
    status: TaskState
    message: str
    progress: Annotated[int, Field(ge=0, le=100)]
    device: Annotated[str, Field(description="the real one once leased, the requested one before")]
    priority: int
    created_at: Timestamp
    updated_at: Timestamp
    current_epoch: int | None
    total_epochs: int | None
    latest_metrics: Annotated[Mapping[str, int | float | None] | None, Field(description="null for a figure that is not finite")]
    name: str | None
    model: str | None
    batch_size: Annotated[int | None, Field(description="in use: smaller than asked for where on_oom reduced it")]
    description: str
    batch_id: Annotated[str | None, Field(description="the batch that it was submitted with")]
    queue_position: Annotated[int | None, Field(description="1 for the next in line")]
    attempts: int
    error: FaultBody | None
    lease: LeaseBody | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    output_path: str


@with_config(EXACT)
class TaskListResponse(TypedDict):
    """One page of tasks, newest first; the totals count this page."""

    training_tasks: list[TaskResponse]
    inference_tasks: list[TaskResponse]
    preprocessing_tasks: list[TaskResponse]
    total_training: int
    total_inference: int
    total_preprocessing: int
    next_cursor: str | None


class StateChangeBody(ResponseModel):
    """One step of a task's history."""

    at: Timestamp
    before: TaskState | None = Field(description="null for the submission")
    after: TaskState
    cause: str


class TaskHistoryResponse(ResponseModel):
    """Every state change of a task, oldest first."""

    task_id: str
    history: list[StateChangeBody]


class PortionBody(ResponseModel):
    """What a lease holds, or held, of one device."""

    device: str
    gpu_fraction: float = Field(description="the fraction of the device, a CPU's too")
    memory_gb: float


class PastLeaseBody(ResponseModel):
    """One lease of a task, from its grant to the return of what it held."""

    lease_id: str
    attempt: int = Field(description="which attempt of the task held it, from 1")
    devices: list[PortionBody] = Field(description="more than one for a training on several GPUs")
    granted_at: Timestamp | None = Field(description="null where that is longer ago than leases are remembered")
    ended_at: Timestamp | None = Field(description="when everything was free again; null while it is held")
    end: EndCause | None = Field(description="released, revoked, expired, holder_died or device_lost; null while it is good")
    adoptions: int = Field(description="how often the accountant began anew meanwhile and took it over")


class TaskLeasesResponse(ResponseModel):
    """Every lease of a task, oldest first."""

    task_id: str
    leases: list[PastLeaseBody]


class TaskActionResponse(ResponseModel):
    """What became of a wish."""

    status: str
    message: str
    task_id: str


class LogRecord(ResponseModel):
    """One line of a task's log; what has no value is left out."""

    timestamp: Timestamp
    level: str
    message: str
    stage: Literal["epoch_start", "training", "validation", "epoch_end", "completed"] | None = None
    step: int | None = None
    metrics: Mapping[str, int | float | None] | None = None
    status: TaskState | None = None
    progress: int | None = None


class FieldError(ResponseModel):
    """One wrong field of a request."""

    loc: list[str | int]
    msg: str
    type: str
    input: Any = Field(None, description="what was sent, where it is a plain value")


class ErrorResponse(ResponseModel):
    """The body of every error."""

    status: Literal["error"]
    code: str
    message: str
    detail: str | list[FieldError]
    timestamp: Timestamp
