"""Finding and ending every process of one instance of the service, and of no other.

An instance is one state folder. Whatever it starts inherits a mark in its environment; Ray hands it on to every process that it
starts itself. Some of Ray's processes overwrite their environment with a title, so a process also belongs to the instance when it
shares a session with a marked one (marked processes are only ever started in sessions of their own), descends from one, or was
noted down (pid and start time) while the instance was whole. Linux only. Knows nothing of what the processes do.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from actors.presence import Presence

#: Environment name of the mark.
MARK: Final = "RFUAV_INSTANCE"
#: How long a killed process may take to disappear.
_KILL_DEADLINE_S: Final = 5.0
#: How often the waiting looks for zombies.
_LOOK_S: Final = 0.1
#: Processes can start others while they are being ended; so often do we look again.
_SWEEPS: Final = 5


def instance_mark(state_dir: Path) -> str:
    """The mark of the instance that keeps its state in ``state_dir``."""
    return hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]


def presence_of(process: psutil.Process) -> Presence:
    """Pid and start time of a process. Raises psutil.NoSuchProcess."""
    return Presence(process.pid, process.create_time())


def find_processes(mark: str, noted: Iterable[Presence] = ()) -> list[psutil.Process]:
    """Find the live processes of an instance.

    Args:
        mark: the instance's mark.
        noted: processes known from before; counted where pid and start time still agree.

    Returns:
        The processes without the calling one and its ancestors.
    """
    everyone = [process for process in psutil.process_iter() if _is_alive(process)]
    marked = [process for process in everyone if has_mark(process.pid, mark)]
    sessions = {_session_of(process.pid) for process in marked} - {None}
    found = set(marked)
    found.update(process for process in everyone if _session_of(process.pid) in sessions)
    found.update(process for each in noted if (process := each.process()) is not None)
    own = psutil.Process()
    kin = {own, *own.parents()}
    for process in found - kin:
        found.update(_descendants(process))
    return sorted(found - kin, key=lambda process: process.pid)


def is_named(process: psutil.Process, name: str) -> bool:
    """Whether a process lives and has this name."""
    try:
        return process.name() == name
    except psutil.Error:
        return False


def find_presences(mark: str) -> tuple[Presence, ...]:
    """Pid and start time of every live process of an instance."""
    found = []
    for process in find_processes(mark):
        with contextlib.suppress(psutil.Error):
            found.append(presence_of(process))
    return tuple(found)


def end_processes(processes: Iterable[psutil.Process], *, grace_s: float) -> list[psutil.Process]:
    """End processes: ask, wait, kill, and look whether they are gone.

    psutil checks the start time before each signal, so a reused pid is never hit.

    Returns:
        Those that still live (none, unless the kernel or missing rights keep them).
    """
    listed = list(processes)
    for process in listed:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in _wait_until_gone(listed, grace_s):
        with contextlib.suppress(psutil.Error):
            process.kill()
    return _wait_until_gone(listed, _KILL_DEADLINE_S)


def end_instance(mark: str, noted: Iterable[Presence] = (), *, grace_s: float) -> list[psutil.Process]:
    """End every process of an instance, also those that appear meanwhile.

    Returns:
        Those that still live.
    """
    noted = tuple(noted)
    remaining: list[psutil.Process] = []
    for _ in range(_SWEEPS):
        remaining = find_processes(mark, noted)
        if not remaining:
            break
        end_processes(remaining, grace_s=grace_s)
    return remaining


def _wait_until_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    # psutil waits for a zombie until its parent takes notice, which some parents never do; to us it has ended.
    deadline = time.monotonic() + timeout_s
    alive = [process for process in processes if _is_alive(process)]
    while alive and time.monotonic() < deadline:
        psutil.wait_procs(alive, timeout=_LOOK_S)
        alive = [process for process in alive if _is_alive(process)]
    return alive


def has_mark(pid: int, mark: str) -> bool:
    """Whether a process carries the mark of an instance in its environment."""
    # psutil's environ() stops at the first empty entry, which a process that has set its title leaves at the beginning.
    try:
        block = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in block.split(b"\0")


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in process.children(recursive=True) if _is_alive(child)]
    except psutil.Error:
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
