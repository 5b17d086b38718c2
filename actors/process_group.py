"""The processes of one attempt on this node: finding them, waiting for their end, ending them.

An attempt leads a process group of its own, so everything that it starts (data loaders, decoders, programs) can be found after it
has died, and ended in one stroke. Only a child that leaves the group on purpose escapes, and only if its parent dies first. Owns
what the kernel says of processes; knows nothing of Ray.
"""

import asyncio
import os
import signal
from contextlib import suppress

import psutil

from actors.presence import Presence


def lead_own_group() -> None:
    """Make the calling process the leader of a group of its own; it stays in its session, by which the whole service is found."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def find_members(presence: Presence) -> list[Presence]:
    """The live processes of the group that a process leads or led, without itself; none if it led none."""
    if not presence.group or _is_number_reused(presence):
        return []
    found = (_look_at_member(pid, presence) for pid in psutil.pids() if pid != presence.pid)
    return [member for member in found if member is not None]


async def wait_until_gone(presence: Presence) -> None:
    """Return when a process of this node has ended, and all of its group."""
    await _wait_for_one(presence)
    while members := find_members(presence):
        await asyncio.gather(*(_wait_for_one(member) for member in members))


async def wait_and_sweep(presence: Presence, *, grace_s: float) -> None:
    """Return when a process has ended, and all of its group; what it leaves behind is ended after ``grace_s``."""
    await _wait_for_one(presence)
    try:
        await asyncio.wait_for(wait_until_gone(presence), grace_s)
    except TimeoutError:
        kill(presence)
        await wait_until_gone(presence)


def kill(presence: Presence) -> None:
    """End a process of this node, its children and its group at once; nothing happens if all are gone."""
    leader = presence.process()
    family = [] if leader is None else [leader, *_descendants(leader)]
    if presence.group and (leader is not None or find_members(presence)):
        # One signal for all: a child that is born meanwhile gets it too.
        with suppress(ProcessLookupError):
            os.killpg(presence.group, signal.SIGKILL)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()


def kill_members(presence: Presence) -> None:
    """End the group that a process leads, and spare itself."""
    for member in find_members(presence):
        with suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)


def _look_at_member(pid: int, leader: Presence) -> Presence | None:
    """The process with this pid, if it is alive and of the leader's group."""
    try:
        # A group lies within one session. An equal number in another session is a later group, made when the number was free again.
        if os.getpgid(pid) != leader.group or os.getsid(pid) != leader.session:
            return None
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Presence(pid, process.create_time())
    except (ProcessLookupError, PermissionError, psutil.Error):
        return None


def _is_number_reused(presence: Presence) -> bool:
    """Whether the pid, and so the group's number, belongs to a later process; it cannot while anybody is left in the group."""
    try:
        return abs(psutil.Process(presence.pid).create_time() - presence.created) >= 0.05
    except psutil.Error:
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


async def _wait_for_one(presence: Presence) -> None:
    """Return when this very process has ended. The kernel makes its pidfd readable then: no polling, no mistake about the pid."""
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


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
