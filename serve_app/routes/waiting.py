"""The line, as users ask about it: why a task waits, where it would stand, and how urgent it is."""

import time

from fastapi import APIRouter
from starlette.responses import Response

from actors.access import Role
from actors.core.tasks import Submission
from configs.settings import Settings
from serve_app.access import requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.job_models import with_model_files
from serve_app.routes.lookup import find_task, require_task_id
from serve_app.schemas.tasks import TaskActionResponse
from serve_app.schemas.waiting import (
    ExplainEvaluation,
    ExplainInference,
    ExplainRequest,
    ExplainResponse,
    ExplainTraining,
    PriorityRequest,
    WhyResponse,
)
from serve_app.shape import action_response
from serve_app.shape_waiting import explain_response, why_response
from serve_app.submissions import evaluation_submission, inference_submission, preprocessing_submission, training_submission

router = APIRouter(route_class=JsonRoute, tags=["tasks"])


@router.post(
    "/api/v2/tasks/explain", response_model=ExplainResponse, responses=error_responses(400, 403, 404, 409, 413, 415, 422, 503)
)
@requires(Role.VIEWER)
async def explain_request(request: ExplainRequest, service: ServiceDep) -> Response:
    """Say what would happen to a request; nothing is submitted."""
    submission = await with_model_files(service.models, _draft(request, service.settings))
    return JsonAnswer(explain_response(await service.ports.tasks.explain(submission), now=time.time()))


@router.get("/api/v2/tasks/{task_id}/why", response_model=WhyResponse, responses=error_responses(400, 404, 422, 503))
@requires(Role.VIEWER)
async def why_task_waits(task_id: str, service: ServiceDep) -> Response:
    """Say what a waiting task misses, who holds it, what would free it, and when it may start."""
    task = await find_task(service, task_id)
    explanation = None if task.state.is_final or task.lease else await service.ports.resources.explain(task.attempt_id)
    return JsonAnswer(why_response(task, explanation, now=time.time()))


@router.post(
    "/api/v2/tasks/{task_id}/priority",
    response_model=TaskActionResponse,
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
)
@requires(Role.OPERATOR, action="set_priority")
async def set_priority(task_id: str, request: PriorityRequest, service: ServiceDep) -> Response:
    """Give a waiting task another place in the line."""
    require_task_id(task_id)
    await service.ports.tasks.set_priority(task_id, request.priority)
    answer = action_response(task_id, f"priority is {request.priority} now")
    return JsonAnswer(answer, subject=f"{task_id}: priority {request.priority}")


def _draft(request: ExplainRequest, settings: Settings) -> Submission:
    """The submission that a request would become."""
    if isinstance(request, ExplainTraining):
        return training_submission(request.request, settings)
    if isinstance(request, ExplainInference):
        return inference_submission(request.request, settings)
    if isinstance(request, ExplainEvaluation):
        return evaluation_submission(request.request, settings)
    return preprocessing_submission(request.request)
