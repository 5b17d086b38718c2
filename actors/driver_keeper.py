"""Keeps a lease for the actors of a user's own driver.

The keeper is an actor that the driver owns: it ends with the driver, however that ends, and the lease with it. It takes nothing of the
device itself. The driver's actors bear the lease's mark in their environment. Each of their processes names itself to the accountant
before it does anything else (``enter_lease``), and ends where the lease is over, so none works in units that are in other hands. By
the mark the keeper finds what else was started in the lease, names it, too, and ends everything before the units return.
"""

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import psutil
import ray
from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR
from ray.exceptions import RayError

from actors.core.errors import LeaseError
from actors.core.model import DeviceKind
from actors.lease_client import LeaseKeeper, ask_accountant, bind_process
from actors.messages import GrantedLease
from actors.presence import Presence
from actors.process_mark import find_marked, leaders

#: Environment names of what a driver's actors are told: whose they are, and what they may take.
LEASE_MARK: Final = "RFUAV_LEASE"
FENCE_NAME: Final = "RFUAV_LEASE_TOKEN"
MEMORY_NAME: Final = "RFUAV_LEASE_MEMORY_BYTES"
INDEX_NAME: Final = "RFUAV_LEASE_GPU_INDEX"
#: The exit status of a process that ended because its lease was lost, or over before it began.
LEASE_LOST_STATUS: Final = 70
#: What Ray asks in a worker for the code of an actor, and of a task.
_LOADERS: Final = ("load_actor_class", "get_execution_info")
#: How often the keeper looks for processes that it does not know.
_LOOK_S: Final = 0.5
#: How long the driver's actors may take to end when they are asked to.
_GRACE_S: Final = 3.0
#: How long a process may wait for the accountant before it begins.
_PATIENCE_S: Final = 30.0


def environment(granted: GrantedLease) -> Mapping[str, str]:
    """The variables that a driver's actors must be started with."""
    marks = {
        LEASE_MARK: granted.lease.lease_id,
        FENCE_NAME: str(granted.lease.token),
        MEMORY_NAME: str(granted.portion.memory_bytes),
        # Ray has this for the whole of a driver's job only, and there sets the same variable.
        WORKER_PROCESS_SETUP_HOOK_ENV_VAR: f"{__name__}.{enter_lease.__name__}",
    }
    if granted.device.kind is DeviceKind.GPU:
        return {**marks, INDEX_NAME: str(granted.device.index)}
    # Ray leaves the node's GPUs visible to processes that ask for none.
    return {**marks, "CUDA_VISIBLE_DEVICES": ""}


def enter_lease() -> None:
    """Make sure that this process is known to the accountant before it runs anything. Ray calls it in a worker that has just begun.

    A worker can call no actor before Ray gives it its first task, so the process binds itself right before that task's code is loaded.
    """
    manager = ray._private.worker.global_worker.function_actor_manager  # noqa: SLF001 - Ray has no public place between the two
    for name in _LOADERS:
        setattr(manager, name, partial(_enter_and_load, manager, name))


def _enter_and_load(manager: Any, name: str, *args: Any) -> Any:
    """Bind this process, and load the code of its first task as Ray does; from then on Ray is left alone."""
    for each in _LOADERS:
        delattr(manager, each)
    _bind_or_end()
    return getattr(manager, name)(*args)


def _bind_or_end() -> None:
    """Name this process to the accountant as one of its lease; where that is over, end it at once."""
    try:
        bind_process(os.environ[LEASE_MARK], int(os.environ[FENCE_NAME]), patience_s=_PATIENCE_S)
    except LeaseError as error:
        print(f"the lease is over, ending: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the worker's own log
        os._exit(LEASE_LOST_STATUS)


class DriverKeeper:
    """Holds one lease of a driver.

    Invariant: every process with the lease's mark is bound soon after it starts; those that are there when the lease is given back or
    lost are ended, and those that come later end themselves.
    """

    def __init__(self, granted: GrantedLease, *, every_s: float, ttl_s: float) -> None:
        self._granted = granted
        self._lease = granted.lease
        self._keeper = LeaseKeeper(granted.lease, every_s=every_s, ttl_s=ttl_s, on_lost=self._end_at_once)
        self._known: set[Presence] = set()
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._run, name="holder-watch", daemon=True)

    def __repr__(self) -> str:
        """What Ray's dashboard shows."""
        return f"lease of {self._lease.request.task_id} ({self._lease.request.work.value} on {self._lease.device_id})"

    def begin(self) -> int:
        """Bind the lease and start to keep it; returns this process's pid. Raises LeaseError where it is lost already."""
        self._keeper.begin()
        self._watch.start()
        return os.getpid()

    def finish(self) -> None:
        """End what the driver left running in the lease, and give it back; its units return when this process is gone, too."""
        self._ended.set()
        self._watch.join()
        self._end_workers(_GRACE_S)
        self._keeper.end()
        with suppress(LeaseError):
            ask_accountant("release", self._lease.lease_id, self._lease.token)

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            for presence in leaders(self._find_workers()):
                if presence not in self._known:
                    self._bind(presence)

    def _bind(self, presence: Presence) -> None:
        """Name a process to the accountant; where that fails, the next look tries again."""
        with suppress(LeaseError, RayError, ValueError):
            ask_accountant("bind", self._lease.lease_id, self._lease.token, self._granted.device.node_id, presence)
            self._known.add(presence)

    def _find_workers(self) -> list[psutil.Process]:
        return find_marked(LEASE_MARK, self._lease.lease_id)

    def _end_workers(self, grace_s: float) -> None:
        """Ask the processes to end, and end those that do not; Ray does not start them again."""
        workers = self._find_workers()
        for worker in workers:
            with suppress(psutil.Error):
                worker.terminate()
        psutil.wait_procs(workers, timeout=grace_s)
        for worker in self._find_workers():
            with suppress(psutil.Error):
                worker.kill()

    def _end_at_once(self, reason: str) -> None:
        print(f"lease lost, ending: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - the keeper's own log
        self._end_workers(0.0)
        os._exit(LEASE_LOST_STATUS)
