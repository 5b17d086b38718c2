"""Knowing the moment at which a process of an attempt is gone, and ending one that does not go by itself.

On the watcher's own node a process is watched by its pidfd, which the kernel makes readable when the process ends: no polling, no
mistake about a pid that was given to another. On another node a small Ray task waits there in the same way; a lost node ends the
task, and its processes with it.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import psutil
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.presence import Presence


async def wait_until_gone(presence: Presence) -> None:
    """Return when a process of this node has ended."""
    if presence.process() is None:
        return
    try:
        descriptor = os.pidfd_open(presence.pid)
    except ProcessLookupError:
        return
    try:
        if presence.process() is None:  # it ended, and another took its pid, before the descriptor was open
            return
        await _readable(descriptor)
    finally:
        os.close(descriptor)


def kill(presence: Presence) -> None:
    """End a process of this node and its children at once; nothing happens if it is gone."""
    process = presence.process()
    if process is None:
        return
    family = [process]
    try:
        family += process.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


class ProcessWatch:
    """Waits for and ends processes on any node of the cluster."""

    def __init__(self, own_node_id: str) -> None:
        self._own_node_id = own_node_id

    async def gone(self, node_id: str, presence: Presence) -> None:
        """Return when the process has ended, or its node is lost."""
        if node_id == self._own_node_id:
            await wait_until_gone(presence)
        else:
            await _on_node(_wait_there, node_id, presence)

    async def end(self, node_id: str, presence: Presence) -> None:
        """End the process at once and return when it is gone."""
        if node_id == self._own_node_id:
            kill(presence)
            await wait_until_gone(presence)
        else:
            await _on_node(_kill_there, node_id, presence)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)


async def _on_node(function: Any, node_id: str, presence: Presence) -> None:
    strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
    try:
        await ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote(presence)
    except RayError as error:
        print(f"the watch on node {node_id} ended with it: {error}", file=sys.stderr)  # noqa: T201 - the actor's own log


def _wait_there(presence: Presence) -> None:
    asyncio.run(wait_until_gone(presence))


def _kill_there(presence: Presence) -> None:
    kill(presence)
    asyncio.run(wait_until_gone(presence))
