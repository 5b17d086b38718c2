"""Devices, the processor and the limits."""

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from actors.access import Role
from actors.core.model import WorkKind
from serve_app.access import requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.schemas.resources import (
    CheckResponse,
    CpuResponse,
    GpuResponse,
    LimitPatch,
    ResourceConfigRequest,
    ResourceConfigResponse,
    ResourceResponse,
)
from serve_app.shape_resources import check_response, configured_limits, cpu_response, gpu_response, resource_response

router = APIRouter(route_class=JsonRoute, tags=["resources"])
VIEW_ERRORS = error_responses(400, 503)


@router.get("/api/v2/resources", response_model=ResourceResponse, responses=VIEW_ERRORS)
@requires(Role.VIEWER)
async def get_resources(service: ServiceDep) -> Response:
    """Who holds what of which device, who may, and how long the line is."""
    return JsonAnswer(resource_response(await service.ports.resources.view()))


@router.get("/api/v2/resources/gpu", response_model=GpuResponse, responses=VIEW_ERRORS)
@requires(Role.VIEWER)
async def get_gpus(service: ServiceDep) -> Response:
    """Every GPU as its driver sees it."""
    return JsonAnswer(gpu_response(await service.ports.resources.view()))


@router.get("/api/v2/resources/cpu", response_model=CpuResponse, responses=VIEW_ERRORS)
@requires(Role.VIEWER)
async def get_cpu(service: ServiceDep) -> Response:
    """How busy the processor of this node is."""
    return JsonAnswer(cpu_response(await asyncio.to_thread(service.cpu.read)))


@router.get("/api/v2/resources/check", response_model=CheckResponse, responses=VIEW_ERRORS)
@requires(Role.VIEWER)
async def check_books(service: ServiceDep) -> Response:
    """Compare the ledger with Ray's books and the live processes."""
    return JsonAnswer(check_response(await service.ports.resources.check_books()))


@router.post(
    "/api/v2/resources/config",
    response_model=ResourceConfigResponse,
    responses=error_responses(400, 413, 415, 422, 503),
)
@requires(Role.ADMIN, action="set_limits")
async def set_limits(request: ResourceConfigRequest, service: ServiceDep) -> Response:
    """Change limits; waiting tasks that fit now start at once."""
    # Kinds first, so that a device's own number wins in the same request.
    names = sorted(request.max_concurrent, key=lambda name: ":" in name)
    limits = {name: _numbers(request.max_concurrent[name]) for name in names}
    view = await service.ports.resources.set_limits(limits)
    answer = ResourceConfigResponse(
        status="success", message=f"limits of {', '.join(names)} changed", current_config=configured_limits(view)
    )
    changed = [f"{name}: {work.value} {number}" for name, numbers in limits.items() for work, number in numbers.items()]
    return JsonAnswer(answer, subject=", ".join(changed))


def _numbers(patch: LimitPatch) -> dict[WorkKind, int]:
    given = {
        WorkKind.TRAINING: patch.training,
        WorkKind.INFERENCE: patch.inference,
        WorkKind.PREPROCESSING: patch.preprocessing,
    }
    return {work: number for work, number in given.items() if number is not None}
