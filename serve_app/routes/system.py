"""The service about itself: what it is, how it feels, what it offers."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from actors.access import Role
from actors.core.model import WorkKind
from actors.learning.catalog import SUPPORTED_MODELS
from actors.messages import ComponentHealth, ResourceView
from serve_app.access import caller_of, open_to_all, requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import Service, ServiceDep
from serve_app.http_errors import error_responses
from serve_app.ports import NotReadyError
from serve_app.schemas.system import (
    BriefHealthResponse,
    ComponentBody,
    ComponentState,
    HealthResponse,
    InfoResponse,
    ResourceStatus,
    RootResponse,
    RouteBody,
)
from serve_app.shape import timestamp
from serve_app.shape_resources import device_limits, device_usage, gpus, package_version, running_count

router = APIRouter(route_class=JsonRoute, tags=["system"])
FEATURES = ("training", "inference", "batch inference", "preprocessing", "live logs", "device leases", "limits at run time")
#: Without these no task can be taken or kept.
VITAL_COMPONENTS = frozenset({"accountant", "supervisor", "store"})
ROOT_RESPONSES = {303: {"description": "to /ui, where text/html is accepted"}, **error_responses(400)}
_NOTHING_KNOWN = ResourceView(at=0.0, devices=(), waiting=0, oldest_wait_s=0.0)


@router.get("/", response_model=RootResponse, responses=ROOT_RESPONSES)
@open_to_all
async def get_root(request: Request, service: ServiceDep) -> Response:
    """Name, version, features and the route table; a browser is sent to the web page."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/ui", HTTPStatus.SEE_OTHER, {"Vary": "Accept"})
    answer = RootResponse(
        name=service.settings.app_name,
        version=service.settings.version,
        features=list(FEATURES),
        routes=_route_table(request.app.openapi()["paths"]),
        ui="/ui",
        docs="/docs",
        openapi="/openapi.json",
    )
    return JsonAnswer(answer)


@router.get("/api/v1/health", response_model=HealthResponse | BriefHealthResponse, responses=error_responses(400))
@open_to_all
async def get_health(request: Request, service: ServiceDep) -> Response:
    """Whether every part answers. Always 200: the body tells. Without a key, where one is needed, it tells no more than that."""
    if caller_of(request).role is None:
        return JsonAnswer(_brief_health(await service.brief_health.get()))
    components, view = await asyncio.gather(service.ports.health.components(), _view_if_ready(service))
    answer = HealthResponse(
        status=overall_status(components),
        timestamp=datetime.now(UTC).isoformat(),
        version=service.settings.version,
        training_tasks=running_count(view, WorkKind.TRAINING),
        inference_tasks=running_count(view, WorkKind.INFERENCE),
        active_log_streams=service.feed.viewers,
        resource_status=_resource_status(view),
        components={name: _component_body(health) for name, health in components.items()},
    )
    return JsonAnswer(answer)


@router.get("/api/v1/info", response_model=InfoResponse, responses=error_responses(400, 503))
@requires(Role.VIEWER)
async def get_info(service: ServiceDep) -> Response:
    """What the service is, which models it knows, what it runs on."""
    view = await service.ports.resources.view()
    answer = InfoResponse(
        app_name=service.settings.app_name,
        version=service.settings.version,
        environment=service.settings.environment,
        supported_models=list(SUPPORTED_MODELS),
        resource_limits=device_limits(view),
        gpu_available=bool(gpus(view)),
        torch=package_version("torch"),
        cuda=view.cuda_version or None,
        ray=package_version("ray"),
        simulated=any(each.device.simulated for each in gpus(view)),
    )
    return JsonAnswer(answer)


def overall_status(components: Mapping[str, ComponentHealth]) -> Literal["healthy", "degraded", "unhealthy"]:
    """One word for all components; what was never deployed is not missing, and what restarts again and again still answers."""
    ailing = {name for name, health in components.items() if health.state not in ("healthy", "not_deployed")}
    silent = {name for name in ailing if components[name].state != "restarting"}
    if silent & VITAL_COMPONENTS:
        return "unhealthy"
    return "degraded" if ailing else "healthy"


def _brief_health(components: Mapping[str, ComponentHealth]) -> BriefHealthResponse:
    return BriefHealthResponse(
        status=overall_status(components),
        timestamp=datetime.now(UTC).isoformat(),
        components={name: ComponentState(state=health.state) for name, health in components.items()},
    )


async def _view_if_ready(service: Service) -> ResourceView:
    """The devices, or none while the accountant does not answer: its state tells the rest."""
    try:
        return await service.ports.resources.view()
    except NotReadyError:
        return _NOTHING_KNOWN


def _resource_status(view: ResourceView) -> ResourceStatus:
    count = len(gpus(view))
    return ResourceStatus(gpu_available=count > 0, gpu_count=count, device_usage=device_usage(view), limits=device_limits(view))


def _component_body(health: ComponentHealth) -> ComponentBody:
    return ComponentBody(
        state=health.state,
        latency_ms=round(health.latency_ms, 3),
        since=timestamp(health.since),
        detail=health.detail,
        restarts=health.restarts,
        last_started_at=None if health.last_started_at is None else timestamp(health.last_started_at),
    )


def _route_table(paths: Mapping[str, Mapping[str, Mapping[str, object]]]) -> list[RouteBody]:
    """Every route of the OpenAPI document."""
    return [
        RouteBody(
            method=method.upper(),
            path=path,
            summary=str(operation.get("summary", "")),
            deprecated=bool(operation.get("deprecated", False)),
        )
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
