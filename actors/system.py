"""Bringing up and ending the three actors that own the service's state.

Each is named, detached, restarted by Ray without limit and pinned to the head node, where the store and the logs are.
"""

from contextlib import suppress
from typing import Any, Final

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.accountant import GpuAccountant
from actors.devices import remove_groups
from actors.log_hub import LogHub
from actors.names import ACCOUNTANT, LOG_HUB, NAMESPACE, SUPERVISOR
from actors.rebirth import tried_again
from actors.supervisor import TaskSupervisor
from configs.settings import Settings

_START_S = 90.0
#: Long polls of hundreds of viewers and the supervisor stay open at the same time.
_CONCURRENCY = 10_000


#: Where our own errors are from; their texts are for people.
_OWN_ERRORS: Final = "actors.core.errors."


class ActorStartError(RuntimeError):
    """A part of the service that did not come up; names it and the reason."""


def build_accountant(settings: Settings) -> ActorHandle:
    """Find or create the accountant."""
    return _build(ACCOUNTANT, GpuAccountant, settings)


def build_supervisor(settings: Settings) -> ActorHandle:
    """Find or create the supervisor."""
    return _build(SUPERVISOR, TaskSupervisor, settings)


def build_log_hub(settings: Settings) -> ActorHandle:
    """Find or create the log hub."""
    return _build(LOG_HUB, LogHub, settings.state_dir, settings.max_log_mb << 20)


class StartingActors:
    """The three actors on their way up, all at the same time. The caller may do other work before it waits."""

    def __init__(self, settings: Settings) -> None:
        parts = {ACCOUNTANT: build_accountant, LOG_HUB: build_log_hub, SUPERVISOR: build_supervisor}
        self._pings = {name: build(settings).ping.remote() for name, build in parts.items()}

    def wait(self, *names: str) -> None:
        """Wait until these answer; all of them where none is named.

        Raises:
            ActorStartError: names the one that did not, and why.
        """
        for name in names or tuple(self._pings):
            try:
                ray.get(self._pings[name], timeout=_START_S)
            except (RayError, TimeoutError) as error:
                raise ActorStartError(f"the {name} did not start: {explain_death(error)}") from error


def start_actors(settings: Settings) -> None:
    """Bring up the three actors and wait until each answers. Raises ActorStartError."""
    StartingActors(settings).wait()


def stop_actors() -> None:
    """End every actor of the service and remove its placement groups; what is on disk stays."""
    named = ray.util.list_named_actors(all_namespaces=True)
    names = [actor["name"] for actor in named if actor["namespace"] == NAMESPACE]
    # The owners of state go first, so that none of them takes the end of the others for a failure.
    for name in sorted(names, key=lambda name: name not in (SUPERVISOR, ACCOUNTANT, LOG_HUB)):
        with suppress(ValueError):
            ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
    remove_groups()


def explain_death(error: BaseException) -> str:
    """The reason at the end of a traceback of Ray's, where an actor's constructor raised one of our own errors; else all that Ray says."""
    last = str(error).strip().rpartition("\n")[2].strip()
    kind, separator, reason = last.partition(": ")
    return reason if separator and kind.startswith(_OWN_ERRORS) else str(error)


def _build(name: str, part: type, *args: Any) -> ActorHandle:
    head = ray.get_runtime_context().get_node_id()
    options: dict[str, Any] = {
        "name": name,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": _CONCURRENCY,
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(head, soft=False),
    }
    return ray.remote(tried_again(part)).options(**options).remote(*args)
