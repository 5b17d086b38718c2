"""The model registry: register, look, promote, roll back, delete, compare."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from actors.access import Role
from actors.core.errors import ModelNotFoundError, StoreUnavailableError
from actors.core.model import WorkKind
from actors.registry.records import ModelEntry, ModelReference, ModelTable, RegisterModel, ServingWish, is_alias_name, is_model_name
from serve_app.access import requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import Service, ServiceDep
from serve_app.http_errors import RequestRefusedError, error_responses
from serve_app.model_table import find_entry, find_version
from serve_app.ports import NotReadyError
from serve_app.results import metrics_history
from serve_app.routes.lookup import find_task
from serve_app.schemas.fields import ModelReferenceText, TaskId
from serve_app.schemas.models import (
    AliasRequest,
    ComparisonResponse,
    DeletedModelResponse,
    ModelListResponse,
    ModelResponse,
    ModelVersionResponse,
    RegisterRequest,
)
from serve_app.shape_models import (
    Columns,
    Compared,
    compared_training,
    compared_version,
    comparison_response,
    model_response,
    version_response,
)

router = APIRouter(route_class=JsonRoute, tags=["models"])
LOOK_ERRORS = error_responses(400, 404, 422, 503)
CHANGE_ERRORS = error_responses(400, 404, 409, 413, 415, 422, 503)
#: Of one comparison; more fit no table that people read.
MOST_COMPARED = 32


@router.get("/api/v2/models", response_model=ModelListResponse, responses=error_responses(400, 503))
@requires(Role.VIEWER)
async def list_models(service: ServiceDep) -> Response:
    """All models with their versions and aliases."""
    table = await _newest_table(service)
    return JsonAnswer(ModelListResponse(models=[model_response(table.models[name]) for name in sorted(table.models)]))


@router.post(
    "/api/v2/models",
    response_model=ModelVersionResponse,
    responses=error_responses(400, 403, 404, 409, 413, 415, 422, 503),
)
@requires(Role.OPERATOR, action="register_model")
async def register_model(request: RegisterRequest, service: ServiceDep) -> Response:
    """Keep a new version of a model, checked by the replicas; with an alias, promote it."""
    version, still_open = await service.promoter.register(_wish(request), request.alias or "")
    number = version.served.version
    known = (await service.models.table()).models.get(request.name)
    # Should this process not have learnt of it yet, or somebody have deleted it by now, it was registered all the same.
    entry = known if known and number in known.versions else ModelEntry(request.name, {number: version}, {})
    return JsonAnswer(version_response(entry, number, still_open), subject=f"{request.name}@{number}")


@router.get("/api/v2/models/{name}", response_model=ModelResponse, responses=LOOK_ERRORS)
@requires(Role.VIEWER)
async def get_model(name: str, service: ServiceDep) -> Response:
    """One model with its versions and aliases."""
    return JsonAnswer(model_response(find_entry(await _newest_table(service), name)))


@router.delete("/api/v2/models/{name}", response_model=DeletedModelResponse, responses=CHANGE_ERRORS)
@requires(Role.OPERATOR, action="delete_model")
async def delete_model(name: str, service: ServiceDep) -> Response:
    """Forget a model with all its versions; refused while it has aliases."""
    numbers = sorted(find_entry(await _newest_table(service), name).versions)
    await service.promoter.delete(name, None)
    return JsonAnswer(_deleted(name, numbers), subject=name)


@router.get("/api/v2/models/{name}/{version}", response_model=ModelVersionResponse, responses=LOOK_ERRORS)
@requires(Role.VIEWER)
async def get_model_version(name: str, version: str, service: ServiceDep) -> Response:
    """One version, by its number or an alias."""
    table = await _newest_table(service)
    number = find_version(table, ModelReference(name, version)).version.served.version
    return JsonAnswer(version_response(find_entry(table, name), number))


@router.delete("/api/v2/models/{name}/{version}", response_model=DeletedModelResponse, responses=CHANGE_ERRORS)
@requires(Role.OPERATOR, action="delete_model")
async def delete_model_version(name: str, version: str, service: ServiceDep) -> Response:
    """Forget a version; refused while an alias means it."""
    number = find_version(await _newest_table(service), ModelReference(name, version)).version.served.version
    await service.promoter.delete(name, number)
    return JsonAnswer(_deleted(name, [number]), subject=f"{name}@{number}")


@router.put("/api/v2/models/{name}/aliases/{alias}", response_model=ModelResponse, responses=CHANGE_ERRORS)
@requires(Role.OPERATOR, action="promote_model")
async def promote_model(name: str, alias: str, request: AliasRequest, service: ServiceDep) -> Response:
    """Let an alias mean a version, once all replicas are ready for it; no request fails meanwhile. An earlier version rolls back."""
    if not is_alias_name(alias):
        message = "an alias has at most 64 letters, digits, dots, hyphens or underscores, and is no number"
        raise RequestValidationError([{"type": "invalid_alias", "loc": ("path", "alias"), "msg": message, "input": alias}])
    entry = await service.promoter.promote(_known_name(name), alias, request.version)
    return JsonAnswer(model_response(entry), subject=f"{name}: {alias} means version {request.version}")


@router.delete("/api/v2/models/{name}/aliases/{alias}", response_model=ModelResponse, responses=CHANGE_ERRORS)
@requires(Role.OPERATOR, action="remove_alias")
async def remove_alias(name: str, alias: str, service: ServiceDep) -> Response:
    """Let an alias mean nothing; its version stays."""
    entry = await service.promoter.remove_alias(_known_name(name), alias[:64])
    return JsonAnswer(model_response(entry), subject=f"{name}: {alias[:64]} means nothing")


@router.get("/api/v2/comparison", response_model=ComparisonResponse, responses=LOOK_ERRORS)
@requires(Role.VIEWER)
async def compare(
    service: ServiceDep,
    model: Annotated[
        list[ModelReferenceText],
        Query(default_factory=list, max_length=MOST_COMPARED, description="NAME, NAME@VERSION or NAME@ALIAS; may be repeated"),
    ],
    task: Annotated[
        list[TaskId],
        Query(default_factory=list, max_length=MOST_COMPARED, description="the task of a training; may be repeated"),
    ],
) -> Response:
    """Versions and trainings side by side: parameters, metrics and curves."""
    if not model and not task:
        message = "name at least one model or task"
        raise RequestValidationError([{"type": "missing", "loc": ("query", "model"), "msg": message, "input": None}])
    versions = [compared_version((await service.models.resolve(each)).version) for each in model]
    trainings = await asyncio.gather(*(_compared_task(service, each) for each in task))
    return JsonAnswer(comparison_response([*versions, *trainings]))


async def _compared_task(service: Service, task_id: str) -> Compared:
    """A training; without curves where its files are gone."""
    training = await find_task(service, task_id, WorkKind.TRAINING)
    curves: Columns
    try:
        curves = (await metrics_history(training, service.settings)).columns
    except RequestRefusedError:
        curves = {}
    return compared_training(training, curves)


async def _newest_table(service: Service) -> ModelTable:
    """The models as the registry has them now; while it is away, as they were last known."""
    try:
        return await service.models.refresh()
    except (NotReadyError, StoreUnavailableError):
        return await service.models.table()


def _wish(request: RegisterRequest) -> RegisterModel:
    return RegisterModel(
        name=request.name,
        task_id=request.task_id or "",
        cfg_path=request.cfg_path,
        weight_path=request.weight_path,
        description=request.description,
        unknown_below=request.unknown_below,
        wish=ServingWish(request.precision, request.optimise),
    )


def _known_name(name: str) -> str:
    """A name that a model may have. Raises ModelNotFoundError."""
    if not is_model_name(name):
        raise ModelNotFoundError(name[:64], "there is no such model; no model can be called so")
    return name


def _deleted(name: str, versions: list[int]) -> DeletedModelResponse:
    which = ", ".join(map(str, versions))
    return DeletedModelResponse(status="success", message=f"deleted version {which} of {name}", name=name, versions=versions)
