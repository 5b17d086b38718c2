"""Inference jobs: start one, start many, look."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from actors.access import Role
from actors.core.model import WorkKind
from serve_app.access import requires
from serve_app.batches import cancel_batch, find_batch, submit_all
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.job_models import with_model_files
from serve_app.results import file_summary_page, prediction_page
from serve_app.routes.lookup import find_task
from serve_app.schemas.fields import EmptyMeansNone
from serve_app.schemas.inference import (
    BatchActionResponse,
    BatchInferenceRequest,
    BatchResponse,
    BatchStatusResponse,
    InferenceRequest,
    LegacyInferenceRequest,
)
from serve_app.schemas.results import FileSummaryPage, PredictionPage
from serve_app.schemas.tasks import TaskResponse
from serve_app.shape import batch_response, task_response
from serve_app.submissions import INFERENCE_TYPE, batch_submissions, inference_submission

router = APIRouter(route_class=JsonRoute, tags=["inference"])
START_ERRORS = error_responses(400, 403, 404, 409, 413, 415, 422, 429, 503)

Level = Literal["segment", "file"]
RowNumber = Annotated[int, Field(ge=0, lt=2**63)]


@router.post("/api/v2/inference/start", response_model=TaskResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit")
async def start_inference(request: InferenceRequest, service: ServiceDep) -> Response:
    """Submit an inference over a file or a folder."""
    submission = await with_model_files(service.models, inference_submission(request, service.settings))
    task = await service.ports.tasks.submit(submission)
    return JsonAnswer(task_response(task))


@router.post("/api/v2/inference", response_model=TaskResponse, responses=START_ERRORS, deprecated=True)
@router.post("/api/v1/inference", response_model=TaskResponse, responses=START_ERRORS, deprecated=True)
@requires(Role.OPERATOR, action="submit")
async def start_inference_as_before(request: LegacyInferenceRequest, service: ServiceDep) -> Response:
    """Submit an inference; fields that are not known are ignored, and named in the task's log."""
    return await start_inference(request, service)


@router.post("/api/v2/inference/batch", response_model=BatchResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit_batch")
async def start_batch(request: BatchInferenceRequest, service: ServiceDep) -> Response:
    """Submit one inference for each source: all of them, or none."""
    batch_id, drafts = batch_submissions(request, service.settings)
    submissions = [await with_model_files(service.models, draft) for draft in drafts]
    tasks = await submit_all(service.ports.tasks, submissions)
    answer = BatchResponse(
        status="success",
        message=f"{len(tasks)} inference tasks submitted",
        task_ids=[task.task_id for task in tasks],
        total=len(tasks),
        batch_id=batch_id,
    )
    return JsonAnswer(answer)


@router.get("/api/v2/batches/{batch_id}", response_model=BatchStatusResponse, responses=error_responses(400, 404, 422, 503))
@requires(Role.VIEWER)
async def get_batch(batch_id: str, service: ServiceDep) -> Response:
    """A batch as a whole."""
    return JsonAnswer(batch_response(batch_id, await find_batch(service.ports.tasks, batch_id)))


@router.post(
    "/api/v2/batches/{batch_id}/cancel",
    response_model=BatchActionResponse,
    responses=error_responses(400, 404, 415, 422, 503),
)
@requires(Role.OPERATOR, action="cancel")
async def cancel_all(batch_id: str, service: ServiceDep) -> Response:
    """Cancel every task of a batch that has not ended."""
    reached = await cancel_batch(service.ports.tasks, batch_id)
    message = f"{len(reached)} tasks are cancelled or being stopped"
    return JsonAnswer(BatchActionResponse(status="success", message=message, batch_id=batch_id, task_ids=reached))


@router.get("/api/v2/inference/{task_id}", response_model=TaskResponse, responses=error_responses(400, 404, 422, 503))
@requires(Role.VIEWER)
async def get_inference(task_id: str, service: ServiceDep) -> Response:
    """One inference job."""
    return JsonAnswer(task_response(await find_task(service, task_id, WorkKind.INFERENCE)))


@router.get(
    "/api/v2/inference/{task_id}/results",
    response_model=PredictionPage | FileSummaryPage,
    responses=error_responses(400, 403, 404, 409, 422, 503),
)
@requires(Role.VIEWER)
async def get_results(
    task_id: str,
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[RowNumber | None, EmptyMeansNone, Query(description="next_cursor of the page before")] = None,
    level: Annotated[Level, Query(description="segment: a row for each picture and frame; file: a row for each file")] = "segment",
) -> Response:
    """What an inference job found: by picture and frame, or file by file."""
    task = await find_task(service, task_id, WorkKind.INFERENCE, task_type=INFERENCE_TYPE)
    read = file_summary_page if level == "file" else prediction_page
    return JsonAnswer(await read(task, service.settings, first=cursor or 0, count=limit))
