"""Tasks of every kind: list, look, follow, cancel, kill, forget."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import StringConstraints
from starlette.responses import Response

from actors.access import Role
from actors.core.tasks import EndMode, PreprocessingType, TaskState
from actors.messages import TaskQuery
from serve_app.access import requires
from serve_app.bodies import JSON_TYPE, JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.routes.logs import LOG_RESPONSES, LogWishDep, answer_log
from serve_app.routes.lookup import find_task, require_task_id
from serve_app.schemas.fields import EmptyMeansNone
from serve_app.schemas.tasks import TaskActionResponse, TaskHistoryResponse, TaskLeasesResponse, TaskListResponse, TaskResponse
from serve_app.shape import action_response, task_history_response, task_leases_response, task_response
from serve_app.task_list import task_list_json

router = APIRouter(route_class=JsonRoute, tags=["tasks"])
TASK_ERRORS = error_responses(400, 404, 415, 422, 503)

#: As pages give them; anything else is no position.
Cursor = Annotated[str, StringConstraints(pattern=r"^\d{1,11}(\.\d{1,9})?~[A-Za-z0-9._-]{1,128}$")]


class TaskType(StrEnum):
    """What a list of tasks can be narrowed to."""

    TRAINING = "training"
    INFERENCE = "inference"
    EVALUATE = "evaluate"
    DATASET_SPLIT = PreprocessingType.SPLIT
    DATA_AUGMENTATION = PreprocessingType.AUGMENT
    IMAGE_CROP = PreprocessingType.CROP
    SPECTROGRAM = PreprocessingType.SPECTROGRAM


@router.get("/api/v2/tasks", response_model=TaskListResponse, responses=error_responses(400, 422, 503))
@requires(Role.VIEWER)
async def list_tasks(
    service: ServiceDep,
    status: Annotated[TaskState | None, EmptyMeansNone, Query()] = None,
    task_type: Annotated[TaskType | None, EmptyMeansNone, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[Cursor | None, EmptyMeansNone, Query(description="next_cursor of the page before")] = None,
) -> Response:
    """Tasks, newest first."""
    page = await service.ports.tasks.list_page(TaskQuery(status, task_type and task_type.value, limit, cursor))
    return Response(await task_list_json(page), media_type=JSON_TYPE)


@router.get("/api/v2/tasks/{task_id}", response_model=TaskResponse, responses=TASK_ERRORS)
@router.get("/api/v1/tasks/{task_id}", response_model=TaskResponse, responses=TASK_ERRORS, deprecated=True)
@requires(Role.VIEWER)
async def get_task(task_id: str, service: ServiceDep) -> Response:
    """One task."""
    return JsonAnswer(task_response(await find_task(service, task_id)))


@router.get("/api/v2/tasks/{task_id}/logs", response_class=Response, responses=LOG_RESPONSES)
@requires(Role.VIEWER, takes_ticket=True)
async def follow_task(task_id: str, wish: LogWishDep, service: ServiceDep) -> Response:
    """The log of a task, as it comes."""
    await find_task(service, task_id)
    return await answer_log(service, task_id, wish)


@router.get("/api/v2/tasks/{task_id}/history", response_model=TaskHistoryResponse, responses=TASK_ERRORS)
@requires(Role.VIEWER)
async def get_history(task_id: str, service: ServiceDep) -> Response:
    """Every state that a task has been in, with what brought it there."""
    return JsonAnswer(task_history_response(await find_task(service, task_id)))


@router.get("/api/v2/tasks/{task_id}/leases", response_model=TaskLeasesResponse, responses=TASK_ERRORS)
@requires(Role.VIEWER)
async def get_leases(task_id: str, service: ServiceDep) -> Response:
    """Every lease that a task has had: of which devices, how much, from when to when, and how it ended."""
    task = await find_task(service, task_id)
    return JsonAnswer(task_leases_response(task, await service.ports.resources.past_leases(task_id)))


@router.post("/api/v2/tasks/{task_id}/cancel", response_model=TaskActionResponse, responses=TASK_ERRORS)
@requires(Role.OPERATOR, action="cancel")
async def cancel_task(task_id: str, service: ServiceDep) -> Response:
    """Take a waiting task out of the line, or stop a running one."""
    require_task_id(task_id)
    task = await service.ports.tasks.end(task_id, EndMode.CANCEL)
    return JsonAnswer(action_response(task_id, "task cancelled" if task.state.is_final else "task is being stopped"))


@router.post("/api/v2/tasks/{task_id}/kill", response_model=TaskActionResponse, responses=TASK_ERRORS)
@requires(Role.OPERATOR, action="kill")
async def kill_task(task_id: str, service: ServiceDep) -> Response:
    """End a task at once, without a checkpoint; one that waits leaves the line."""
    require_task_id(task_id)
    task = await service.ports.tasks.end(task_id, EndMode.KILL)
    return JsonAnswer(action_response(task_id, "task cancelled" if task.state.is_final else "task is being killed"))


@router.delete("/api/v2/tasks/{task_id}", response_model=TaskActionResponse, responses=TASK_ERRORS)
@requires(Role.OPERATOR, action="delete")
async def delete_task(task_id: str, service: ServiceDep) -> Response:
    """Forget an ended task and its log; the files it wrote stay."""
    require_task_id(task_id)
    await service.ports.tasks.delete(task_id)
    return JsonAnswer(action_response(task_id, "task and log deleted"))
