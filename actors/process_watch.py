"""Knowing the moment at which an attempt's processes are gone, and ending those that do not go by themselves, on any node.

On the watcher's own node ``process_group`` does it. On another node a small Ray task waits there in the same way; a lost node ends
the task, and its processes with it.
"""

import asyncio
import sys
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.presence import Presence
from actors.process_group import kill, wait_and_sweep, wait_until_gone

#: How long what an attempt left behind may take to notice that it is alone: data loaders end by themselves then.
_ORPHAN_GRACE_S = 1.0


class ProcessWatch:
    """Waits for and ends processes, with all of the groups that they lead, on any node of the cluster."""

    def __init__(self, own_node_id: str) -> None:
        self._own_node_id = own_node_id

    async def gone(self, node_id: str, presence: Presence) -> None:
        """Return when the process and all of its group have ended, or their node is lost. Ends nothing."""
        if node_id == self._own_node_id:
            await wait_until_gone(presence)
        else:
            await _on_node(_wait_there, node_id, presence)

    async def follow(self, node_id: str, presence: Presence) -> None:
        """Return when the process and all of its group have ended, or their node is lost; ends what the process leaves behind."""
        if node_id == self._own_node_id:
            await wait_and_sweep(presence, grace_s=_ORPHAN_GRACE_S)
        else:
            await _on_node(_follow_there, node_id, presence)

    async def end(self, node_id: str, presence: Presence) -> None:
        """End the process and all of its group at once, and return when they are gone."""
        if node_id == self._own_node_id:
            kill(presence)
            await wait_until_gone(presence)
        else:
            await _on_node(_kill_there, node_id, presence)


def begin_end(node_id: str, presence: Presence) -> None:
    """Ask a node to end a process and all of its group at once, and do not wait; a process that is gone stays gone."""
    strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
    ray.remote(_kill_there).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote(presence)


async def _on_node(function: Any, node_id: str, presence: Presence) -> None:
    strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
    try:
        await ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote(presence)
    except RayError as error:
        print(f"the watch on node {node_id} ended with it: {error}", file=sys.stderr)  # noqa: T201 - the actor's own log


def _wait_there(presence: Presence) -> None:
    asyncio.run(wait_until_gone(presence))


def _follow_there(presence: Presence) -> None:
    asyncio.run(wait_and_sweep(presence, grace_s=_ORPHAN_GRACE_S))


def _kill_there(presence: Presence) -> None:
    kill(presence)
    asyncio.run(wait_until_gone(presence))
