"""The service about itself."""

from typing import Literal

from serve_app.schemas.fields import ResponseModel, Timestamp
from serve_app.schemas.resources import WorkCounts

#: Restarting: it answers, but had to begin anew three times or more within ten minutes.
ComponentWord = Literal["healthy", "restarting", "unhealthy", "starting", "not_deployed"]


class ComponentBody(ResponseModel):
    """Whether one part of the service answers; ``restarts`` counts those of the last ten minutes."""

    state: ComponentWord
    latency_ms: float
    since: Timestamp
    detail: str
    restarts: int
    last_started_at: Timestamp | None


class ComponentState(ResponseModel):
    """Whether one part of the service answers, without more."""

    state: ComponentWord


class ResourceStatus(ResponseModel):
    """Devices in brief."""

    gpu_available: bool
    gpu_count: int
    device_usage: dict[str, WorkCounts]
    limits: dict[str, WorkCounts]


class HealthResponse(ResponseModel):
    """Unhealthy: tasks cannot be taken or kept. Degraded: they can, something else is missing."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: Timestamp
    version: str
    training_tasks: int
    inference_tasks: int
    active_log_streams: int
    resource_status: ResourceStatus
    components: dict[str, ComponentBody]


class BriefHealthResponse(ResponseModel):
    """What those are told who sent no key where one is needed."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: Timestamp
    components: dict[str, ComponentState]


class InfoResponse(ResponseModel):
    """What the service is and can do."""

    app_name: str
    version: str
    environment: str
    supported_models: list[str]
    resource_limits: dict[str, WorkCounts]
    gpu_available: bool
    torch: str
    cuda: str | None
    ray: str
    simulated: bool


class RouteBody(ResponseModel):
    """One line of the route table."""

    method: str
    path: str
    summary: str
    deprecated: bool


class RootResponse(ResponseModel):
    """What answers at ``/``."""

    name: str
    version: str
    features: list[str]
    routes: list[RouteBody]
    ui: str
    docs: str
    openapi: str
