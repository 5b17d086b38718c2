"""Ends a service, whole or half started or left behind by a killed command, and leaves nothing of it on the machine.

Owns the order: first what would repair or misread the rest's end, then everything. Knows nothing of how a service is brought up.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from actors import presence
from actors.names import SUPERVISOR, WATCHDOG
from cluster.processes import end_instance, end_processes, instance_mark
from cluster.ray_head import remove_temp_dir
from cluster.run_record import ServiceRecord, read_record, remove_record

#: The parts that announce themselves beside the actors.
UP: Final = "up"
WATCHDOG_KEEPER: Final = "watchdog_keeper"

#: How long the processes may take to end by themselves. Nothing of theirs is lost when they are killed: the store, the logs and the
#: checkpoints are whole at every moment. Serve's processes never end when asked.
_GRACE_S: Final = 1.5


class BringDownError(Exception):
    """Processes of the service could not be ended."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = tuple(pids)
        super().__init__(self.pids)

    def __str__(self) -> str:
        return f"these processes of the service could not be ended: {', '.join(map(str, self.pids))}; end them as their owner"


def bring_down(state_dir: Path, *, take_apart: bool = True) -> None:
    """End everything of the instance and remove its temporary folder and its record.

    Args:
        state_dir: the instance's state folder.
        take_apart: on an adopted Ray, also remove our actors and Serve application from it.

    Raises:
        BringDownError: something could not be ended.
    """
    record = read_record(state_dir)
    _end_part(state_dir, WATCHDOG_KEEPER, grace_s=2.0)  # It would start the other anew.
    _end_part(state_dir, WATCHDOG, grace_s=2.0)  # It would end and so revive parts that are merely on their way down.
    if record is not None and record.is_adopted:
        if take_apart:
            _leave_adopted_ray(record)
    else:
        # Attempts that die before their supervisor would go into the store as crashed; they are to be continued by the next `up`.
        _end_part(state_dir, SUPERVISOR, grace_s=0.0)
    survivors = end_instance(instance_mark(state_dir), record.processes if record else (), grace_s=_GRACE_S)
    if survivors:
        raise BringDownError(process.pid for process in survivors)
    remove_temp_dir(state_dir)
    remove_record(state_dir)


def _end_part(state_dir: Path, name: str, *, grace_s: float) -> None:
    found = presence.find(state_dir, name)
    process = found.process() if found else None
    if process is None:
        return
    if grace_s == 0:
        with contextlib.suppress(psutil.Error):
            process.kill()
    else:
        end_processes([process], grace_s=grace_s)


def _leave_adopted_ray(record: ServiceRecord) -> None:
    from cluster import compose  # noqa: PLC0415 (imports Ray, which the usual way down does not need)

    try:
        compose.connect(record.ray_address)
    except (ConnectionError, RuntimeError):
        return  # That Ray is gone, and with it everything of ours in it.
    try:
        compose.take_apart(started_serve=record.started_serve)
    finally:
        compose.disconnect()
