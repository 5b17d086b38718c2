"""What every route may use: the ports, the settings, and the little that lives in this process."""

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from configs.settings import Settings
from serve_app.cpu_meter import CpuMeter
from serve_app.key_gate import Door
from serve_app.log_feed import LogFeed
from serve_app.ports import AccessPort, HealthPort, LogsPort, ResourcesPort, TasksPort
from serve_app.request_meter import RequestTally


@dataclass(frozen=True, slots=True)
class Ports:
    """The rest of the system, as the routes see it."""

    tasks: TasksPort
    logs: LogsPort
    resources: ResourcesPort
    health: HealthPort
    access: AccessPort


@dataclass(frozen=True, slots=True)
class Service:
    """One running application; made once by ``create_app``."""

    ports: Ports
    settings: Settings
    feed: LogFeed
    cpu: CpuMeter
    requests: RequestTally = field(default_factory=RequestTally)
    door: Door = field(init=False)

    def __post_init__(self) -> None:
        """Make the door over the same ports; frozen fields can only be set like this."""
        object.__setattr__(self, "door", Door(self.ports.access))


async def service_of(request: Request) -> Service:
    """The service that a request came to. Async, since FastAPI would send a plain function through a thread."""
    return cast("Service", request.app.state.service)


ServiceDep = Annotated[Service, Depends(service_of)]
