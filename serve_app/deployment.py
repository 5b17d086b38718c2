"""The Serve application that answers HTTP. The only file with Serve's decorators and ``.bind()``."""

from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve._private import replica
from starlette.types import ASGIApp

from actors.names import INGRESS
from actors.presence import announce
from configs.settings import Settings
from serve_app.app import create_app
from serve_app.ray_ports import build_ray_ports
from serve_app.security import AnswerHeaders
from serve_app.serve_headers import WithoutOrders

#: Open log streams count as requests; hundreds of viewers must not keep others out.
MOST_ONGOING_REQUESTS = 5_000
#: How soon Serve sees that the replica's process is gone, and starts another.
LOOK_EVERY_S = 1.0
#: How long the end of the service waits for open streams, which would never end by themselves.
SHUTDOWN_WAIT_S = 1.0


@serve.ingress()
class Ingress:
    """The replica's process: announces itself, then builds the application with its ports."""

    def __init__(self, settings: Settings) -> None:
        announce(settings.state_dir, INGRESS)
        _guard_the_port()
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the application in the replica, so that nothing of it is ever pickled."""
        app = create_app(build_ray_ports(), self._settings)
        app.openapi()  # kept by the application; made here, it delays no request
        return app


def _guard_the_port() -> None:
    """Let this replica listen on its port although connections of a predecessor linger there, and obey no request's headers.

    Serve opens the direct-ingress socket without SO_REUSEADDR. After the end of an ingress that had clients, the kernel then keeps
    the port for a minute (measured: 62 s until the next one answered; 4 s with the option). Serve offers no setting
    for either.
    """
    start = replica.start_asgi_http_server

    async def start_with_reuse(app: ASGIApp, *args: Any, **options: Any) -> Any:
        # The headers here are for what Serve answers by itself.
        return await start(AnswerHeaders(WithoutOrders(app)), *args, **(options | {"enable_so_reuseport": True}))

    replica.start_asgi_http_server = start_with_reuse


def build_ingress(settings: Settings) -> Application:
    """The HTTP application: one replica, which needs no CPU of its own in Ray's books."""
    deployment = serve.deployment(
        Ingress,
        name=INGRESS,
        num_replicas=1,
        max_ongoing_requests=MOST_ONGOING_REQUESTS,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=LOOK_EVERY_S,
        graceful_shutdown_wait_loop_s=SHUTDOWN_WAIT_S,
        graceful_shutdown_timeout_s=2 * SHUTDOWN_WAIT_S,
        logging_config={"enable_access_log": False},
    )
    return deployment.bind(settings)
