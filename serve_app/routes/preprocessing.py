"""Preprocessing: split, augment, crop, spectrogram; look, follow, cancel."""

from fastapi import APIRouter
from starlette.responses import Response

from actors.access import Role
from actors.core.model import WorkKind
from serve_app.access import requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import Service, ServiceDep
from serve_app.http_errors import error_responses
from serve_app.routes.logs import LOG_RESPONSES, LogWishDep, answer_log
from serve_app.routes.lookup import find_task
from serve_app.routes.tasks import cancel_task
from serve_app.schemas.preprocessing import (
    AugmentRequest,
    CropRequest,
    PreprocessingRequest,
    PreprocessingResponse,
    SpectrogramRequest,
    SplitRequest,
)
from serve_app.schemas.tasks import TaskActionResponse
from serve_app.shape import preprocessing_response
from serve_app.submissions import preprocessing_submission

router = APIRouter(route_class=JsonRoute, tags=["preprocessing"])
START_ERRORS = error_responses(400, 403, 404, 409, 413, 415, 422, 429, 503)
TASK_ERRORS = error_responses(400, 404, 415, 422, 503)


@router.post("/api/v2/preprocessing/split", response_model=PreprocessingResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit")
async def start_split(request: SplitRequest, service: ServiceDep) -> Response:
    """Divide class folders into train and valid, or train, valid and test; files of one recording stay together."""
    return await _submit(request, service)


@router.post("/api/v2/preprocessing/augment", response_model=PreprocessingResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit")
async def start_augmentation(request: AugmentRequest, service: ServiceDep) -> Response:
    """Write each picture of a data set again, and once more for each method."""
    return await _submit(request, service)


@router.post("/api/v2/preprocessing/crop", response_model=PreprocessingResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit")
async def start_crop(request: CropRequest, service: ServiceDep) -> Response:
    """Cut the same box out of every picture."""
    return await _submit(request, service)


@router.post("/api/v2/preprocessing/spectrogram", response_model=PreprocessingResponse, responses=START_ERRORS)
@requires(Role.OPERATOR, action="submit")
async def start_spectrogram(request: SpectrogramRequest, service: ServiceDep) -> Response:
    """Make a picture of every frame of recordings; class folders of them become a data set, divided by recording."""
    return await _submit(request, service)


@router.get("/api/v2/preprocessing/{task_id}", response_model=PreprocessingResponse, responses=error_responses(400, 404, 422, 503))
@requires(Role.VIEWER)
async def get_preprocessing(task_id: str, service: ServiceDep) -> Response:
    """One preprocessing task with what it counted."""
    return JsonAnswer(preprocessing_response(await find_task(service, task_id, WorkKind.PREPROCESSING)))


@router.get("/api/v2/preprocessing/{task_id}/logs", response_class=Response, responses=LOG_RESPONSES)
@requires(Role.VIEWER, takes_ticket=True)
async def follow_preprocessing(task_id: str, wish: LogWishDep, service: ServiceDep) -> Response:
    """The log of a preprocessing task, as it comes."""
    await find_task(service, task_id, WorkKind.PREPROCESSING)
    return await answer_log(service, task_id, wish)


@router.post("/api/v2/preprocessing/{task_id}/cancel", response_model=TaskActionResponse, responses=TASK_ERRORS)
@requires(Role.OPERATOR, action="cancel")
async def cancel_preprocessing(task_id: str, service: ServiceDep) -> Response:
    """Take a waiting task out of the line, or stop a running one; the files it has finished stay."""
    await find_task(service, task_id, WorkKind.PREPROCESSING)
    return await cancel_task(task_id, service)


async def _submit(request: PreprocessingRequest, service: Service) -> Response:
    task = await service.ports.tasks.submit(preprocessing_submission(request))
    return JsonAnswer(preprocessing_response(task))
