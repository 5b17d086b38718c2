"""The application: ports and settings in, ASGI out. Knows nothing of Ray, and makes nothing that outlives it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from configs.settings import Settings
from serve_app.access import security_schemes
from serve_app.context import Ports, Service
from serve_app.cpu_meter import CpuMeter
from serve_app.document import DocumentAnswer, add_model
from serve_app.examples import add_examples
from serve_app.file_work import in_file_thread
from serve_app.http_errors import install_error_handlers
from serve_app.key_gate import KeyGate, OpenPaths
from serve_app.log_feed import LogFeed
from serve_app.methods import HeadAsGet
from serve_app.multipart import PARSER
from serve_app.plain_paths import PlainPaths
from serve_app.request_meter import RequestMeter, RequestTally
from serve_app.routes import (
    access,
    data,
    documentation,
    evaluate,
    events,
    files,
    inference,
    metrics,
    models,
    open_inference,
    page,
    predict,
    preprocessing,
    resources,
    system,
    tasks,
    training,
    waiting,
)
from serve_app.schemas.events import Event
from serve_app.security import AnswerHeaders, HostGate, OriginGate

#: A request goes through them in this order: first those where a tenth of a millisecond counts.
ROUTERS = (
    predict.router,
    open_inference.router,
    system.router,
    training.router,
    inference.router,
    evaluate.router,
    preprocessing.router,
    waiting.router,
    tasks.router,
    events.router,
    files.router,
    data.router,
    data.uploads,
    resources.router,
    metrics.router,
    models.router,
    access.router,
    page.router,
    documentation.router,
)

#: How long the end of the application waits for audit entries to be sent.
LAST_ENTRIES_S = 2.0


class Application(FastAPI):
    """The application, whose OpenAPI document also tells how keys are sent, and is written once."""

    def setup(self) -> None:
        """Add the documentation; the document itself before FastAPI's own route for it, which would write it for each request."""
        self.add_route("/openapi.json", DocumentAnswer(self.openapi).answer, include_in_schema=False)
        super().setup()

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        document = super().openapi()
        add_model(document, Event)
        add_examples(document)
        document.setdefault("components", {})["securitySchemes"] = security_schemes()
        return document

    def build_middleware_stack(self) -> ASGIApp:
        """The layers, with the headers around them all: an error inside of any layer is answered outside of those that were added."""
        stack = super().build_middleware_stack()
        origins = self.state.service.settings.cors_origins
        if origins:
            stack = CORSMiddleware(
                stack,
                allow_origins=origins,
                allow_methods=["GET", "POST", "PUT", "DELETE"],
                allow_headers=["*"],
                expose_headers=["Retry-After"],
            )
        return AnswerHeaders(stack)


def create_app(ports: Ports, settings: Settings, *, feed: LogFeed | None = None) -> FastAPI:
    """Build the application.

    Args:
        ports: the rest of the system.
        settings: as loaded.
        feed: how logs are read for viewers; by default over ``ports``.
    """
    app = Application(
        title=settings.app_name,
        version=settings.version,
        description="Train and run models that recognise drones.",
        lifespan=_until_all_is_noted,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's own pages load their scripts from other hosts
        redoc_url=None,
    )
    logging.getLogger(PARSER).setLevel(logging.ERROR)  # what a client sends wrong, the client is told
    app.state.service = Service(ports, settings, feed or LogFeed(ports.logs, ports.tasks), CpuMeter(), RequestTally())
    for router in ROUTERS:
        app.include_router(router)
    install_error_handlers(app)
    _add_layers(app, settings)
    return app


def all_routes(app: FastAPI) -> list[BaseRoute]:
    """Every route of the application: those of its routers, and the pages that FastAPI adds."""
    own = [route for route in app.routes if isinstance(route, Route | Mount)]
    return [*own, *(route for router in ROUTERS for route in router.routes)]


def _add_layers(app: FastAPI, settings: Settings) -> None:
    """Put what every request goes through around the routes, the innermost first."""
    app.add_middleware(HeadAsGet)
    app.add_middleware(KeyGate, open_paths=OpenPaths(all_routes(app)))
    app.add_middleware(OriginGate, origins=settings.cors_origins)
    app.add_middleware(HostGate, names=(settings.host, *settings.host_names))
    app.add_middleware(RequestMeter, tally=app.state.service.requests)  # outside of the gates: what they refuse counts too
    app.add_middleware(PlainPaths)  # the outermost: all others see the same path


@asynccontextmanager
async def _until_all_is_noted(app: FastAPI) -> AsyncIterator[None]:
    """Clear what an earlier process left; let the application end only when its last audit entries are on their way."""
    service: Service = app.state.service
    await in_file_thread(service.spool.clear_leftovers)
    yield
    await service.door.audit.flush(LAST_ENTRIES_S)
    await in_file_thread(service.spool.close)
