"""The application: ports and settings in, ASGI out. Knows nothing of Ray, and makes nothing that outlives it."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from configs.settings import Settings
from serve_app.context import Ports, Service
from serve_app.cpu_meter import CpuMeter
from serve_app.http_errors import install_error_handlers
from serve_app.log_feed import LogFeed
from serve_app.request_meter import RequestMeter, RequestTally
from serve_app.routes import inference, metrics, resources, system, tasks, training, waiting
from serve_app.security import HostGate

ROUTERS = (system.router, training.router, inference.router, waiting.router, tasks.router, resources.router, metrics.router)


def create_app(ports: Ports, settings: Settings, *, feed: LogFeed | None = None) -> FastAPI:
    """Build the application.

    Args:
        ports: the rest of the system.
        settings: as loaded.
        feed: how logs are read for viewers; by default over ``ports.logs``.
    """
    app = FastAPI(title=settings.app_name, version=settings.version, description="Train and run models that recognise drones.")
    app.state.service = Service(ports, settings, feed or LogFeed(ports.logs), CpuMeter(), RequestTally())
    for router in ROUTERS:
        app.include_router(router)
    install_error_handlers(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(HostGate, names=(settings.host,))
    app.add_middleware(RequestMeter, tally=app.state.service.requests)  # the outermost: what the gate refuses counts too
    return app
