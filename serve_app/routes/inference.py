"""Inference jobs: start one, start many, look."""

from fastapi import APIRouter
from starlette.responses import Response

from actors.access import Role
from actors.core.model import WorkKind
from serve_app.access import requires
from serve_app.batches import submit_all
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.routes.lookup import find_task
from serve_app.schemas.inference import BatchInferenceRequest, BatchResponse, InferenceRequest, LegacyInferenceRequest
from serve_app.schemas.tasks import TaskResponse
from serve_app.shape import task_response
from serve_app.submissions import batch_submissions, inference_submission

router = APIRouter(route_class=JsonRoute, tags=["inference"])
START_ERRORS = error_responses(400, 403, 404, 409, 413, 415, 422, 429, 503)


@router.post("/api/v2/inference/start", response_model=TaskResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit")
async def start_inference(request: InferenceRequest, service: ServiceDep) -> Response:
    """Submit an inference over a file or a folder."""
    task = await service.ports.tasks.submit(inference_submission(request, service.settings))
    return JsonAnswer(task_response(task))


@router.post("/api/v2/inference", response_model=TaskResponse, responses=START_ERRORS, deprecated=True)
@router.post("/api/v1/inference", response_model=TaskResponse, responses=START_ERRORS, deprecated=True)
@requires(Role.OPERATOR, action="submit")
async def start_inference_as_before(request: LegacyInferenceRequest, service: ServiceDep) -> Response:
    """Submit an inference; fields that are not known are ignored."""
    return await start_inference(request, service)


@router.post("/api/v2/inference/batch", response_model=BatchResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit_batch")
async def start_batch(request: BatchInferenceRequest, service: ServiceDep) -> Response:
    """Submit one inference for each source: all of them, or none."""
    batch_id, submissions = batch_submissions(request, service.settings)
    tasks = await submit_all(service.ports.tasks, submissions)
    answer = BatchResponse(
        status="success",
        message=f"{len(tasks)} inference tasks submitted",
        task_ids=[task.task_id for task in tasks],
        total=len(tasks),
        batch_id=batch_id,
    )
    return JsonAnswer(answer)


@router.get("/api/v2/inference/{task_id}", response_model=TaskResponse, responses=error_responses(400, 404, 422, 503))
@requires(Role.VIEWER)
async def get_inference(task_id: str, service: ServiceDep) -> Response:
    """One inference job."""
    return JsonAnswer(task_response(await find_task(service, task_id, WorkKind.INFERENCE)))
