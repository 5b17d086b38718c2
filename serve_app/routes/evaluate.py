"""Evaluations: measure a model with files of known classes, look."""

from fastapi import APIRouter
from starlette.responses import Response

from actors.access import Role
from actors.core.model import WorkKind
from actors.core.tasks import EVALUATE
from serve_app.access import requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.job_models import with_model_files
from serve_app.results import evaluation_result
from serve_app.routes.lookup import find_task
from serve_app.schemas.evaluate import EvaluationRequest, EvaluationResponse
from serve_app.schemas.tasks import TaskResponse
from serve_app.shape import task_response
from serve_app.submissions import evaluation_submission

router = APIRouter(route_class=JsonRoute, tags=["inference"])


@router.post(
    "/api/v2/evaluate", response_model=TaskResponse, responses=error_responses(400, 403, 404, 409, 413, 415, 422, 429, 503)
)
@requires(Role.OPERATOR, action="submit")
async def start_evaluation(request: EvaluationRequest, service: ServiceDep) -> Response:
    """Measure a model with class folders of recordings, as they are and with noise, or of pictures."""
    submission = await with_model_files(service.models, evaluation_submission(request, service.settings))
    task = await service.ports.tasks.submit(submission)
    return JsonAnswer(task_response(task))


@router.get(
    "/api/v2/evaluate/{task_id}",
    response_model=EvaluationResponse,
    responses=error_responses(400, 403, 404, 409, 422, 503),
)
@requires(Role.VIEWER)
async def get_evaluation(task_id: str, service: ServiceDep) -> Response:
    """One evaluation with accuracy, macro F1 and confusion matrix at each ratio."""
    task = await find_task(service, task_id, WorkKind.INFERENCE, task_type=EVALUATE)
    result = await evaluation_result(task, service.settings)
    return JsonAnswer(EvaluationResponse(**task_response(task), result=result))
