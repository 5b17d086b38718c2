"""Trainings: start, look, follow, stop."""

from fastapi import APIRouter
from starlette.responses import Response

from actors.access import Role
from actors.core.model import WorkKind
from actors.core.tasks import EndMode
from serve_app.access import requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.results import confusion_matrix, metrics_history
from serve_app.routes.logs import LOG_RESPONSES, LogWishDep, answer_log
from serve_app.routes.lookup import find_task
from serve_app.schemas.results import ConfusionMatrixResponse, MetricsHistoryResponse
from serve_app.schemas.tasks import TaskActionResponse, TaskResponse
from serve_app.schemas.training import LegacyTrainingRequest, TrainingRequest
from serve_app.shape import action_response, task_response
from serve_app.submissions import training_submission

router = APIRouter(route_class=JsonRoute, tags=["training"])
START_ERRORS = error_responses(400, 403, 404, 409, 413, 415, 422, 429, 503)
TASK_ERRORS = error_responses(400, 404, 415, 422, 503)
RESULT_ERRORS = error_responses(400, 403, 404, 409, 422, 503)


@router.post("/api/v2/training/start", response_model=TaskResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit")
async def start_training(request: TrainingRequest, service: ServiceDep) -> Response:
    """Submit a training."""
    task = await service.ports.tasks.submit(training_submission(request, service.settings))
    return JsonAnswer(task_response(task))


@router.post("/api/v2/train", response_model=TaskResponse, responses=START_ERRORS, deprecated=True)
@router.post("/api/v1/train", response_model=TaskResponse, responses=START_ERRORS, deprecated=True)
@requires(Role.OPERATOR, action="submit")
async def start_training_as_before(request: LegacyTrainingRequest, service: ServiceDep) -> Response:
    """Submit a training; fields that are not known are ignored, and named in the task's log."""
    return await start_training(request, service)


@router.get("/api/v2/training/{task_id}", response_model=TaskResponse, responses=TASK_ERRORS)
@requires(Role.VIEWER)
async def get_training(task_id: str, service: ServiceDep) -> Response:
    """One training with its latest metrics."""
    return JsonAnswer(task_response(await find_task(service, task_id, WorkKind.TRAINING)))


@router.get("/api/v2/training/{task_id}/metrics", response_model=MetricsHistoryResponse, responses=RESULT_ERRORS)
@requires(Role.VIEWER)
async def get_metrics_history(task_id: str, service: ServiceDep) -> Response:
    """The metrics of every epoch so far, as columns."""
    task = await find_task(service, task_id, WorkKind.TRAINING)
    return JsonAnswer(await metrics_history(task, service.settings))


@router.get("/api/v2/training/{task_id}/confusion_matrix", response_model=ConfusionMatrixResponse, responses=RESULT_ERRORS)
@requires(Role.VIEWER)
async def get_confusion_matrix(task_id: str, service: ServiceDep) -> Response:
    """Which classes were taken for which, in the last validation."""
    task = await find_task(service, task_id, WorkKind.TRAINING)
    return JsonAnswer(await confusion_matrix(task, service.settings))


@router.get("/api/v2/training/{task_id}/logs", response_class=Response, responses=LOG_RESPONSES)
@router.get("/api/v2/train/{task_id}/logs", response_class=Response, responses=LOG_RESPONSES, deprecated=True)
@router.get("/api/v1/train/{task_id}/logs", response_class=Response, responses=LOG_RESPONSES, deprecated=True)
@requires(Role.VIEWER, takes_ticket=True)
async def follow_training(task_id: str, wish: LogWishDep, service: ServiceDep) -> Response:
    """The log of a training, as it comes."""
    await find_task(service, task_id, WorkKind.TRAINING)
    return await answer_log(service, task_id, wish)


@router.post("/api/v2/training/{task_id}/stop", response_model=TaskActionResponse, responses=TASK_ERRORS)
@requires(Role.OPERATOR, action="stop")
async def stop_training(task_id: str, service: ServiceDep) -> Response:
    """End a training; a running one writes a checkpoint first."""
    await find_task(service, task_id, WorkKind.TRAINING)
    task = await service.ports.tasks.end(task_id, EndMode.STOP)
    said = "stopped" if task.state.is_final else "stopping: it writes a checkpoint and ends"
    return JsonAnswer(action_response(task_id, f"training {said}"))
