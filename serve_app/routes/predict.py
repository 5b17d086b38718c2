"""Online predictions: a picture, a recording or several files in, classes out."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from actors.access import Role
from actors.core.errors import PredictionInputError
from actors.online.orders import ALL_CLASSES, Content, PredictAnswer, PredictOrder
from actors.registry.records import ServedVersion
from serve_app.access import GuardedRoute, requires
from serve_app.bodies import JsonAnswer
from serve_app.callers import Deadline, TimeoutHeader, while_connected
from serve_app.context import Service, ServiceDep
from serve_app.file_work import in_file_thread, to_the_end
from serve_app.http_errors import error_responses
from serve_app.model_table import ResolvedModel
from serve_app.multipart import MULTIPART_TYPE
from serve_app.predict_bodies import (
    PREDICT_TYPES,
    RAW_TYPE,
    WAV_TYPES,
    PredictBody,
    Reading,
    check_predict_headers,
    predict_limit,
)
from serve_app.schemas.predict import PredictQuery, PredictResponse
from serve_app.shape_predict import as_sent, predict_response
from serve_app.spool import SpoolFolder

_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_FILES: Final = {
    "schema": {
        "type": "object",
        "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        "description": "Every part is a file, whatever its field is called; the ending of its filename tells what it is.",
    }
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A picture, a recording, or several files of both; a SigMF pair sent together is one recording.",
        "content": {kind: _FILES if kind == MULTIPART_TYPE else _BINARY for kind in PREDICT_TYPES},
    }
}
_MOST_NAMED: Final = 10

router = APIRouter(route_class=GuardedRoute, tags=["prediction"])


@router.post(
    "/api/v2/predict",
    response_model=PredictResponse,
    responses=error_responses(400, 404, 409, 413, 415, 422, 429, 503, 504),
    openapi_extra=_BODY,
)
@requires(Role.VIEWER)
async def predict(
    request: Request,
    service: ServiceDep,
    query: Annotated[PredictQuery, Query()],
    timeout_s: TimeoutHeader = None,
) -> Response:
    """Predict what pictures or recordings show."""
    deadline = Deadline(timeout_s)
    limit = predict_limit(service.settings)
    async with deadline.limit():
        kind = check_predict_headers(request, limit)
        resolved = await _resolve(service, query.model)
        _check_recipe(kind, resolved.version.served)  # at once, for a body that comes in vain
        folder = SpoolFolder(service.spool)
        try:
            with service.body_room.take() as room:
                reading = Reading(query.datatype, query.sample_rate, query.center_frequency)
                body = PredictBody(folder, reading, room, most_files=service.settings.max_predict_frames)
                contents = await body.receive(request, limit)
                resolved = await _resolve(service, query.model)  # a promotion or deletion may have come meanwhile
                order = _build_order(resolved, contents, query, timeout_s=deadline.left_s())
                answer, is_cached = await _ask(request, service, order)
        finally:
            if folder.is_made:
                await to_the_end(in_file_thread(folder.remove))
    return JsonAnswer(predict_response(order, answer, top_k=query.top_k, is_cached=is_cached, total_s=deadline.elapsed_s()))


async def _resolve(service: Service, text: str) -> ResolvedModel:
    """Find the version that a request means. Raises as ``FollowedModels.resolve``."""
    if text:
        return await service.models.resolve(text)
    names = list((await service.models.table()).models)
    if len(names) != 1:
        message = "name a model: " + (f"there are {', '.join(sorted(names)[:_MOST_NAMED])}" if names else "none is registered yet")
        raise RequestValidationError([{"type": "missing", "loc": ("query", "model"), "msg": message}])
    return await service.models.resolve(names[0])


def _check_recipe(kind: str, served: ServedVersion) -> None:
    """Refuse a recording that the version cannot take, before it is sent. Raises PredictionInputError."""
    if served.recipe is None and kind in (RAW_TYPE, *WAV_TYPES):
        remedy = "register it with a configuration that has one, or send pictures (image/png, image/jpeg)"
        raise PredictionInputError(f"{served.name}@{served.version} has no recipe for recordings: {remedy}")


def _build_order(
    resolved: ResolvedModel, contents: tuple[Content, ...], query: PredictQuery, *, timeout_s: float | None
) -> PredictOrder:
    served = resolved.version.served
    # A recording's summary is made of the frames' probabilities of all classes.
    has_recording = any(content.kind == "recording" for content in contents)
    wanted = ALL_CLASSES if has_recording else query.top_k
    is_drawn = query.spectrogram and has_recording
    return PredictOrder(served, contents, wanted, timeout_s, may_follow=bool(resolved.alias), spectrogram=is_drawn)


async def _ask(request: Request, service: Service, order: PredictOrder) -> tuple[PredictAnswer, bool]:
    """Let the predictor answer, as long as the caller is there. Raises as ``PredictorPort.predict``."""
    try:
        return await while_connected(request, service.predictions.predict(order))
    except PredictionInputError as error:
        raise PredictionInputError(as_sent(error.reason, order.contents)) from None
