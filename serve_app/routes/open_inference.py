"""The Open Inference Protocol, version 2, over REST: so that clients of Triton and KServe work without a change."""

import asyncio
import json
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from actors.access import Role
from actors.online.orders import TensorOrder
from serve_app.access import GuardedRoute, open_to_all, requires
from serve_app.bodies import JSON_TYPE, JsonAnswer, media_type_of
from serve_app.callers import Deadline, TimeoutHeader, while_connected
from serve_app.context import Service, ServiceDep
from serve_app.file_work import to_the_end
from serve_app.http_errors import PROTOCOL_ROOT, RequestRefusedError
from serve_app.model_table import ResolvedModel
from serve_app.ports import NotReadyError
from serve_app.predict_bodies import RAW_TYPE, predict_limit
from serve_app.receiving import BodyLimit, HeldRoom, body_chunks
from serve_app.schemas.open_inference import (
    IndexEntry,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ProtocolError,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from serve_app.tensors import (
    DATATYPE,
    INPUT,
    OUTPUT,
    InferTerms,
    TensorError,
    TensorRequest,
    TooLargeError,
    input_shape,
    read_infer_request,
    unpack,
    write_infer_response,
)

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
#: Read at once; what is larger goes to a thread.
_READ_HERE_BYTES: Final = 2 << 20
#: JSON takes a hundred times as long as binary data.
_READ_HERE_HEADER_BYTES: Final = 32 << 10
_PREDICTOR: Final = "predictor"
_MODEL: Final = f"{PROTOCOL_ROOT}/models/{{model}}"
_VERSION: Final = f"{_MODEL}/versions/{{version}}"
_PLATFORM: Final = "pytorch"


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of errors, in the protocol's form; every route of somebody with a key adds what keys may cause."""
    return {status: {"model": ProtocolError} for status in (400, 401, 403, *statuses)}


_OPEN_ERRORS: Final[dict[int | str, dict[str, Any]]] = {status: {"model": ProtocolError} for status in (400, 403, 503)}
_MODEL_ERRORS: Final = _errors(404, 422, 503)
_INFER_ERRORS: Final = _errors(404, 409, 413, 415, 422, 429, 503, 504)
_EXAMPLE: Final = {
    "name": INPUT,
    "datatype": DATATYPE,
    "shape": [1, 3, 224, 224],
    "parameters": {"binary_data_size": 602_112},
}


def _in_one_piece(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a body that is read by hand: FastAPI collects no parts of it, so that they stand where they are meant."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolved(parts[value["$ref"].removeprefix("#/$defs/")])
        return {name: resolved(each) for name, each in value.items()}

    inlined: dict[str, Any] = resolved(schema)
    return inlined


_BODY: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            "schema": {"type": "integer", "minimum": 0},
            "description": "bytes of the JSON where binary data follow it",
        }
    ],
    "requestBody": {
        "required": True,
        "description": "JSON, and behind it the binary data of the tensor where its parameter binary_data_size says so.",
        "content": {
            JSON_TYPE: {
                "schema": _in_one_piece(InferRequest),
                "example": {"id": "a picture in binary", "inputs": [_EXAMPLE], "parameters": {"binary_data_output": True}},
            },
            RAW_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    },
}

router = APIRouter(route_class=GuardedRoute, tags=["open inference protocol"])


@router.get(PROTOCOL_ROOT, response_model=ServerMetadata, responses=_errors(503))
@requires(Role.VIEWER)
async def get_server_metadata(service: ServiceDep) -> Response:
    """What the service is, and which extensions of the protocol it has."""
    name, version = service.settings.app_name, service.settings.version
    return JsonAnswer(ServerMetadata(name=name, version=version, extensions=["binary_tensor_data"]))


@router.get(f"{PROTOCOL_ROOT}/health/live", response_model=ServerLive, responses=_OPEN_ERRORS)
@open_to_all
async def get_server_live() -> Response:
    """Whether the service answers at all."""
    return JsonAnswer(ServerLive(live=True))


@router.get(f"{PROTOCOL_ROOT}/health/ready", response_model=ServerReady, responses=_OPEN_ERRORS)
@open_to_all
async def get_server_ready(service: ServiceDep) -> Response:
    """Whether a replica can predict; 503 where none can."""
    await _require_ready(service)
    return JsonAnswer(ServerReady(ready=True))


@router.get(_MODEL, response_model=ModelMetadata, responses=_MODEL_ERRORS)
@requires(Role.VIEWER)
async def get_model_metadata(service: ServiceDep, model: str) -> Response:
    """What a model takes and gives, in the version that its production alias means, or else in the newest."""
    return await _tell_metadata(service, model)


@router.get(_VERSION, response_model=ModelMetadata, responses=_MODEL_ERRORS)
@requires(Role.VIEWER)
async def get_version_metadata(service: ServiceDep, model: str, version: str) -> Response:
    """What a version of a model takes and gives."""
    return await _tell_metadata(service, model, version)


async def _tell_metadata(service: Service, model: str, version: str = "") -> Response:
    served = (await _resolve(service, model, version)).version.served
    table = await service.models.table()
    answer = ModelMetadata(
        name=served.name,
        versions=[str(number) for number in sorted(table.models[served.name].versions)],
        platform=_PLATFORM,
        inputs=[TensorMetadata(name=INPUT, datatype=DATATYPE, shape=input_shape(served))],
        outputs=[TensorMetadata(name=OUTPUT, datatype=DATATYPE, shape=[-1, len(served.class_names)])],
        parameters={
            "version": str(served.version),
            INPUT: "pictures in RGB, channel by channel, values from 0 to 1; the service normalises them",
            OUTPUT: "a row for each picture, in the order of the classes, from 0 to 1",
            "classes": json.dumps(served.class_names, ensure_ascii=False),
        },
    )
    return JsonAnswer(answer)


@router.get(f"{_MODEL}/ready", response_model=ModelReady, responses=_MODEL_ERRORS)
@requires(Role.VIEWER)
async def get_model_ready(service: ServiceDep, model: str) -> Response:
    """Whether a model can be asked; it is loaded by the first request for it. 503 where no replica is there."""
    return await _tell_ready(service, model)


@router.get(f"{_VERSION}/ready", response_model=ModelReady, responses=_MODEL_ERRORS)
@requires(Role.VIEWER)
async def get_version_ready(service: ServiceDep, model: str, version: str) -> Response:
    """Whether a version of a model can be asked."""
    return await _tell_ready(service, model, version)


async def _tell_ready(service: Service, model: str, version: str = "") -> Response:
    resolved = await _resolve(service, model, version)
    await _require_ready(service)
    return JsonAnswer(ModelReady(name=resolved.version.served.name, ready=True))


@router.post(f"{PROTOCOL_ROOT}/repository/index", response_model=list[IndexEntry], responses=_errors(503))
@requires(Role.VIEWER)
async def list_repository(service: ServiceDep) -> Response:
    """Every version of every model. All are ready: they are loaded by the first request for them."""
    models = (await service.models.table()).models
    entries = [
        {"name": name, "version": str(number), "state": "READY", "reason": ""}
        for name in sorted(models)
        for number in sorted(models[name].versions)
    ]
    return Response(json.dumps(entries), media_type=JSON_TYPE)


@router.post(f"{_MODEL}/infer", response_model=InferResponse, responses=_INFER_ERRORS, openapi_extra=_BODY)
@requires(Role.VIEWER)
async def infer(request: Request, service: ServiceDep, model: str, timeout_s: TimeoutHeader = None) -> Response:
    """Compute the probabilities of a batch of pictures."""
    return await _infer(request, service, model, timeout_s=timeout_s)


@router.post(f"{_VERSION}/infer", response_model=InferResponse, responses=_INFER_ERRORS, openapi_extra=_BODY)
@requires(Role.VIEWER)
async def infer_with_version(
    request: Request, service: ServiceDep, model: str, version: str, timeout_s: TimeoutHeader = None
) -> Response:
    """Compute the probabilities of a batch of pictures with one version."""
    return await _infer(request, service, model, version, timeout_s=timeout_s)


async def _infer(request: Request, service: Service, model: str, version: str = "", *, timeout_s: float | None) -> Response:
    deadline = Deadline(timeout_s)
    limit = predict_limit(service.settings)
    async with deadline.limit():
        _check_media_type(request)
        limit.check_announced(request)
        await _resolve(service, model, version)  # at once, for a body that comes in vain
        with service.body_room.take() as room:
            body = await _receive(request, limit, room)
            resolved = await _resolve(service, model, version)  # a promotion or deletion may have come meanwhile
            terms = InferTerms(resolved.version.served, limit.most_bytes, service.settings.max_predict_frames, room.grow)
            asked = await _read(request, body, terms, limit)
            order = TensorOrder(resolved.version.served, asked.inputs, deadline.left_s(), may_follow=bool(resolved.alias))
            answer = await while_connected(request, service.predictions.infer(order))
    content, header_bytes = write_infer_response(answer, asked)
    if header_bytes is None:
        return Response(content, media_type=JSON_TYPE)
    return Response(content, headers={HEADER_LENGTH: str(header_bytes)}, media_type=RAW_TYPE)


async def _resolve(service: Service, model: str, version: str) -> ResolvedModel:
    """Find the version that a path means. Raises as ``FollowedModels.resolve``."""
    if version and not (version.isascii() and version.isdigit()):
        raise RequestRefusedError(400, "invalid_version", f"version {version[:100]!r} is no number; write NAME@ALIAS as the model")
    if version and "@" in model:
        raise RequestRefusedError(
            400, "invalid_version", f"{model[:100]!r} names a version already; leave out /versions/{version[:100]}"
        )
    return await service.models.resolve(f"{model}@{version}" if version else model, loc=("path", "model"))


async def _require_ready(service: Service) -> None:
    """Raise NotReadyError where no replica answers."""
    health = (await service.brief_health.get()).get(_PREDICTOR)
    if health is None or health.state not in ("healthy", "restarting"):  # some answer, though one begins anew again and again
        raise NotReadyError(_PREDICTOR)


def _check_media_type(request: Request) -> None:
    kind = media_type_of(request)
    if kind not in ("", JSON_TYPE, RAW_TYPE):
        raise RequestRefusedError(415, "unsupported_media_type", f"the body must be {JSON_TYPE} or {RAW_TYPE}, not {kind[:100]!r}")


async def _receive(request: Request, limit: BodyLimit, room: HeldRoom) -> bytearray:
    """Receive a body. Raises RequestRefusedError; ServingFullError where there is no memory for it."""
    body = bytearray()
    async for chunk in body_chunks(request, limit, is_urgent=True):
        room.grow(len(chunk))
        body += chunk
    return body


async def _read(request: Request, body: bytearray, terms: InferTerms, limit: BodyLimit) -> TensorRequest:
    """Read a body. Raises RequestRefusedError; ServingFullError where there is no memory to unpack it."""
    header_bytes = _header_bytes(request)
    encoding = request.headers.get("content-encoding", "").strip().lower()

    def read() -> TensorRequest:
        return read_infer_request(unpack(body, encoding, terms), header_bytes, terms)

    header_size = len(body) if header_bytes is None else header_bytes
    is_small = len(body) <= _READ_HERE_BYTES and header_size <= _READ_HERE_HEADER_BYTES and not encoding
    try:
        return read() if is_small else await to_the_end(asyncio.to_thread(read))
    except TensorError as error:
        raise RequestRefusedError(400, "invalid_tensor", str(error)) from None
    except TooLargeError:
        limit.check(limit.most_bytes + 1)
        raise


def _header_bytes(request: Request) -> int | None:
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RequestRefusedError(400, "invalid_header", f"{HEADER_LENGTH} must be a number of bytes, not {text[:100]!r}")
    return int(text)
