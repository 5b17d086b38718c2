"""Finding processes of this node by a variable that they were started with, and that their children inherit."""

from pathlib import Path

import psutil

from actors.presence import Presence


def has_mark(pid: int, name: str, value: str) -> bool:
    """Whether a process was started with ``name=value`` in its environment."""
    # psutil's environ() stops at the first empty entry, which a process that has set its title leaves at the beginning.
    try:
        block = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{name}={value}".encode() in block.split(b"\0")


def find_marked(name: str, value: str) -> list[psutil.Process]:
    """The live processes of this node that were started with ``name=value``."""
    return [process for process in psutil.process_iter() if has_mark(process.pid, name, value) and is_alive(process)]


def leaders(processes: list[psutil.Process]) -> list[Presence]:
    """Those of the processes that none of the others has started."""
    pids = {process.pid for process in processes}
    found = []
    for process in processes:
        try:
            if process.ppid() not in pids:
                found.append(Presence(process.pid, process.create_time()))
        except psutil.NoSuchProcess:
            continue
    return found


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits for its parent's notice does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
