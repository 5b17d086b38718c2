"""The two Serve applications: HTTP, and online prediction. The only file with Serve's decorators and ``.bind()``."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve._private import replica
from starlette.types import ASGIApp

from actors.names import INGRESS, PREDICTOR
from actors.presence import announce
from configs.settings import Settings
from serve_app.predictor import Predictor
from serve_app.predictor_plan import PredictorPlan, choose_scale
from serve_app.predictor_port import PREDICT_S
from serve_app.serve_headers import WithoutOrders

#: Open log streams count as requests; hundreds of viewers must not keep others out.
MOST_ONGOING_REQUESTS = 5_000
#: How soon Serve sees that the replica's process is gone, and starts another.
LOOK_EVERY_S = 1.0
#: How long the end of the service waits for open streams, which would never end by themselves.
SHUTDOWN_WAIT_S = 1.0
#: A replica that is asked for its health and says nothing for so long is unwell; its process is ended earlier (see ``cluster.watchdog``).
HEALTH_ANSWER_S = 10.0
#: Serve writes a line for every request otherwise, and does so before it looks whether anybody wants it.
QUIET: Final = {"enable_access_log": False, "log_level": "WARNING"}
#: Serve lets every application's first deployment listen on a port of its own, of which there are only as many as the ingress needs.
NO_PORT: Final = {"env_vars": {"RAY_SERVE_ENABLE_DIRECT_INGRESS": "0", "RAY_SERVE_ENABLE_HA_PROXY": "0"}}


@serve.ingress()
class Ingress:
    """The replica's process: announces itself, then builds the application with its ports."""

    def __init__(self, settings: Settings) -> None:
        announce(settings.state_dir, INGRESS)
        _guard_the_port()
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the application in the replica, so that nothing of it is ever pickled."""
        from serve_app.app import create_app  # noqa: PLC0415 (takes a second, which nobody else should spend)
        from serve_app.ray_ports import build_ray_ports  # noqa: PLC0415

        app = create_app(build_ray_ports(self._settings.state_dir), self._settings)
        app.openapi()  # kept by the application; made here, it delays no request
        return app


def _guard_the_port() -> None:
    """Let this replica listen on its port although connections of a predecessor linger there, and obey no request's headers.

    Serve opens the direct-ingress socket without SO_REUSEADDR. After the end of an ingress that had clients, the kernel then keeps
    the port for a minute (measured: 62 s until the next one answered; 4 s with the option). Serve offers no setting
    for either.
    """
    from serve_app.security import AnswerHeaders  # noqa: PLC0415 (see above)

    start = replica.start_asgi_http_server

    async def start_with_reuse(app: ASGIApp, *args: Any, **options: Any) -> Any:
        # The headers here are for what Serve answers by itself.
        return await start(AnswerHeaders(WithoutOrders(app)), *args, **(options | {"enable_so_reuseport": True}))

    replica.start_asgi_http_server = start_with_reuse


def build_ingress(settings: Settings, node_id: str) -> Application:
    """The HTTP application: one replica, which needs no CPU of its own in Ray's books.

    Args:
        settings: of the service.
        node_id: the node that its state folder is on, and its port.
    """
    deployment = serve.deployment(
        Ingress,
        name=INGRESS,
        num_replicas=1,
        max_ongoing_requests=MOST_ONGOING_REQUESTS,
        ray_actor_options={"num_cpus": 0, "label_selector": {"ray.io/node-id": node_id}},
        health_check_period_s=LOOK_EVERY_S,
        graceful_shutdown_wait_loop_s=SHUTDOWN_WAIT_S,
        graceful_shutdown_timeout_s=2 * SHUTDOWN_WAIT_S,
        logging_config=QUIET,
    )
    return deployment.bind(settings)


def build_predictor(args: PredictorPlan) -> Application:
    """Online prediction, for Serve's declarative configuration, which gives it its scale."""
    return bind_predictor(args, choose_scale(args.settings, 1))


def bind_predictor(plan: PredictorPlan, scale: Mapping[str, Any]) -> Application:
    """Online prediction with its scale: replicas that take their fixed part of a device and no port."""
    settings = plan.settings
    deployment = serve.deployment(
        Predictor,
        name=PREDICTOR,
        ray_actor_options={**plan.resources(), "runtime_env": NO_PORT},
        autoscaling_config=dict(scale),
        max_ongoing_requests=settings.serving_max_ongoing,
        max_queued_requests=settings.serving_max_queued,
        health_check_period_s=LOOK_EVERY_S,
        health_check_timeout_s=HEALTH_ANSWER_S,
        # A replica that has to go finishes what it has begun, as long as a caller without a deadline waits. What a caller with a later
        # deadline (X-Request-Timeout) has begun there is cut off then, and answered with 503: it may be sent again.
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=PREDICT_S,
        logging_config=QUIET,
    )
    return deployment.bind(settings, plan.replica_units)
