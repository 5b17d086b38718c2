"""What a driver does inside Ray to put the service together and to take it apart: connect, actors, Serve.

Importing this module imports Ray and takes seconds, so callers do it as late as they can. Knows nothing of processes and signals.
"""

import contextlib
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Final

import ray
from ray import serve
from ray.serve.schema import ApplicationStatus, LoggingConfig

from actors.home import Home
from actors.names import ACCOUNTANT, INGRESS, NAME_LABEL, NAMESPACE, PREDICTOR
from actors.system import StartingActors, stop_actors
from cluster.ports import find_free_port
from cluster.serving import deploy_predictor
from configs.settings import Settings
from serve_app.deployment import build_ingress

#: Ray's namespace and name of Serve's controller.
_SERVE_CONTROLLER: Final = ("SERVE_CONTROLLER_ACTOR", "serve")
_ANSWER_S: Final = 30.0


class DeployFailedError(Exception):
    """Serve gave the ingress or the predictor up. The text is Serve's reason."""


def connect(address: str) -> str:
    """Connect this process to Ray and return the dashboard's URL, "" without one.

    Raises:
        ConnectionError: nobody answers there, or the token is wrong.
    """
    # Ray's state API finds its way by this name, and loses it where several Rays run on one machine.
    os.environ["RAY_ADDRESS"] = address
    # Ray puts the working folder of whoever connects at the head of every worker's module path. It is often a data root, and what was
    # uploaded there must not be imported; the folder of the interpreter is on that path already.
    with warnings.catch_warnings(), contextlib.chdir(Path(sys.executable).parent):
        warnings.simplefilter("ignore", FutureWarning)
        context = ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    return f"http://{context.dashboard_url}" if context.dashboard_url else ""


def disconnect() -> None:
    """Leave Ray; detached actors and Serve stay."""
    ray.shutdown()


def ask_home() -> Home:
    """Ask the accountant what the service was started with, and where.

    Raises:
        ValueError: there is no accountant: this is no Ray of a service, or it has just begun.
    """
    home: Home = ray.get(ray.get_actor(ACCOUNTANT, namespace=NAMESPACE).home.remote(), timeout=_ANSWER_S)
    return home


def devices_of(node_name: str) -> list[str]:
    """The devices that the accountant knows of a node that has joined under this name."""
    node_ids = {node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Labels"].get(NAME_LABEL) == node_name}
    view = ray.get(ray.get_actor(ACCOUNTANT, namespace=NAMESPACE).view.remote(), timeout=_ANSWER_S)
    return [each.device.device_id for each in view.devices if each.is_present and each.device.node_id in node_ids]


def is_serve_running() -> bool:
    """Whether this Ray has a Serve already."""
    name, namespace = _SERVE_CONTROLLER
    try:
        ray.get_actor(name, namespace=namespace)
    except ValueError:
        return False
    return True


def start_serve(settings: Settings, *, is_direct: bool) -> None:
    """Start Serve's controller unless it runs.

    Args:
        settings: where HTTP listens.
        is_direct: the ingress listens itself. Serve's own proxy starts all the same and gets a port where it is in nobody's way;
            otherwise that proxy listens, or HAProxy in its place.
    """
    port = find_free_port(settings.host) if is_direct else settings.port
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": settings.host, "port": port},
        logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
    )


def deploy(settings: Settings) -> None:
    """Ask Serve for the ingress; ``raise_if_failed`` and HTTP tell what became of it, and of the predictor."""
    here = ray.get_runtime_context().get_node_id()
    target = serve.RunTarget(target=build_ingress(settings, here), name=INGRESS, route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)


def raise_if_failed() -> None:
    """Look whether Serve has given the ingress or the predictor up.

    Raises:
        DeployFailedError: it has.
    """
    applications = serve.status().applications
    for name in (INGRESS, PREDICTOR):
        if name in applications and applications[name].status == ApplicationStatus.DEPLOY_FAILED:
            raise DeployFailedError(f"{name}: {applications[name].message.strip()}")


def take_apart(*, started_serve: bool) -> None:
    """Remove everything of ours from a Ray that belongs to somebody else.

    Args:
        started_serve: Serve was ours too; otherwise only our two applications are removed from it.
    """
    if started_serve:
        serve.shutdown()
    elif is_serve_running():
        for name in (INGRESS, PREDICTOR):
            serve.delete(name)
    stop_actors()


__all__ = [
    "DeployFailedError",
    "StartingActors",
    "ask_home",
    "connect",
    "deploy",
    "deploy_predictor",
    "devices_of",
    "disconnect",
    "is_serve_running",
    "raise_if_failed",
    "start_serve",
    "take_apart",
]
