"""What every route may use: the ports, the settings, and the little that lives in this process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, cast

from fastapi import Depends, Request

from actors.messages import ComponentHealth
from configs.settings import Settings
from serve_app.cpu_meter import CpuMeter
from serve_app.event_feed import EventFeed
from serve_app.key_gate import Door
from serve_app.log_feed import LogFeed
from serve_app.model_table import FollowedModels
from serve_app.page_files import PageFiles, open_documentation, open_page
from serve_app.ports import AccessPort, HealthPort, LogsPort, ModelsPort, PredictorPort, ResourcesPort, TasksPort
from serve_app.predictions import Predictions
from serve_app.promotion import Promoter
from serve_app.receiving import BodyRoom
from serve_app.request_meter import RequestTally
from serve_app.shared_answer import SharedAnswer
from serve_app.spool import Spool

#: How old the state of the components may be for callers without a key, who could ask as often as they like.
BRIEF_HEALTH_S: Final = 1.0
#: Of all predictions under way; more where a few of the largest bodies take more.
BODY_ROOM_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Ports:
    """The rest of the system, as the routes see it."""

    tasks: TasksPort
    logs: LogsPort
    resources: ResourcesPort
    health: HealthPort
    access: AccessPort
    models: ModelsPort
    predictor: PredictorPort


@dataclass(frozen=True, slots=True)
class Service:
    """One running application; made once by ``create_app``."""

    ports: Ports
    settings: Settings
    feed: LogFeed
    cpu: CpuMeter
    requests: RequestTally = field(default_factory=RequestTally)
    page: PageFiles = field(default_factory=open_page)
    documentation: PageFiles = field(default_factory=open_documentation)
    door: Door = field(init=False)
    models: FollowedModels = field(init=False)
    events: EventFeed = field(init=False)
    predictions: Predictions = field(init=False)
    spool: Spool = field(init=False)
    body_room: BodyRoom = field(init=False)
    promoter: Promoter = field(init=False)
    brief_health: SharedAnswer[Mapping[str, ComponentHealth]] = field(init=False)

    def __post_init__(self) -> None:
        """Make what stands on the same ports; frozen fields can only be set like this."""
        object.__setattr__(self, "door", Door(self.ports.access))
        object.__setattr__(self, "models", FollowedModels(self.ports.models))
        object.__setattr__(self, "events", EventFeed(self.ports.tasks, self.ports.resources, self.models))
        object.__setattr__(self, "predictions", Predictions(self.ports.predictor, self.settings))
        object.__setattr__(self, "spool", Spool(self.settings.state_dir))
        object.__setattr__(self, "body_room", BodyRoom(max(BODY_ROOM_BYTES, 4 * (self.settings.max_predict_mb << 20))))
        object.__setattr__(self, "promoter", Promoter(self.ports.models, self.ports.predictor, self.models))
        object.__setattr__(self, "brief_health", SharedAnswer(self.ports.health.components, BRIEF_HEALTH_S))


async def service_of(request: Request) -> Service:
    """The service that a request came to. Async, since FastAPI would send a plain function through a thread."""
    return cast("Service", request.app.state.service)


ServiceDep = Annotated[Service, Depends(service_of)]
