"""Checks of ``rfuav doctor`` about the machine and the service on it: ports, room, limits, folders, leftovers. Probes are arguments."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cluster.commands.findings import Finding, fail, ok, warn
from configs.settings import SettingsError

_GB: Final = 1 << 30
#: A training's checkpoints and a day of logs.
_COMFORTABLE_DISK: Final = 10 * _GB
_SHARED: Final = "/dev/shm"  # noqa: S108 (it is what is checked)
#: What Ray's object store takes, and DataLoader-like sharing beside it.
_LEAST_SHARED: Final = 300 << 20
_COMFORTABLE_SHARED: Final = 1 * _GB
#: Ray asks for so many; a service with 2,000 log streams needs a few thousand itself.
_LEAST_FILES: Final = 1_024
_COMFORTABLE_FILES: Final = 8_192
#: Ports of a usual Ray head that the service leaves alone but an adopted Ray uses.
_RAY_PORT: Final = 6_379


def check_http_port(host: str, port: int, *, is_ours: bool, can_listen: Callable[[str, int], bool]) -> Finding:
    """Whether HTTP can listen; its own running service may of course."""
    if is_ours:
        return ok("http port", f"the service listens on {host}:{port}")
    if can_listen(host, port):
        return ok("http port", f"{host}:{port} is free")
    return fail("http port", f"{host}:{port} is in use by another program", "end that one, or give another with --port or PORT=")


def check_haproxy(find: Callable[[], Path]) -> Finding:
    """Whether there is the HAProxy that a service of several nodes needs. Asked only where that is wanted."""
    try:
        return ok("haproxy", f"{find()} runs")
    except SettingsError as error:
        return fail("haproxy", str(error), "or let the service have one node: leave `--nodes several` and RFUAV_NODES out")


def check_ray_ports(first: int, *, is_ours: bool, can_listen: Callable[[str, int], bool]) -> Iterator[Finding]:
    """Whether Ray finds ports: the neighbour of the HTTP port, which direct ingress keeps; all others the kernel chooses."""
    if not is_ours and not can_listen("127.0.0.1", first + 1):
        yield warn(
            "ray ports", f"{first + 1}, the neighbour of the HTTP port, is in use", "give a --port whose next one is free as well"
        )
    elif not can_listen("127.0.0.1", 0):
        yield fail("ray ports", "the kernel gives out no port", "end what holds tens of thousands of connections")
    else:
        yield ok("ray ports", "free ports are there; the kernel chooses Ray's")
    if not is_ours and not can_listen("127.0.0.1", _RAY_PORT):
        remedy = (
            f"nothing has to be done: the service starts its own; to use that one give `rfuav up --address 127.0.0.1:{_RAY_PORT}`"
        )
        yield ok("other ray", f"something listens on {_RAY_PORT}, Ray's usual port; {remedy}")


def check_disk(check: str, folder: Path, free_bytes: Callable[[Path], int] | None = None) -> Finding:
    """Whether a folder's disk has room."""
    place = nearest_existing(folder)
    try:
        free = (free_bytes or _free_bytes)(place)
    except OSError as error:
        return fail(check, f"{place}: {error.strerror}", "choose another folder")
    message = f"{free / _GB:.1f} GB free for {folder}"
    from actors.files.disk_room import RESERVE_BYTES  # noqa: PLC0415 (keeps `rfuav --help` quick)

    if free < RESERVE_BYTES:
        return fail(check, message, f"make room: at least {RESERVE_BYTES / _GB:g} GB is kept free, so nothing could be written")
    if free < _COMFORTABLE_DISK:
        return warn(check, message, "make room: a training writes its weights after every epoch")
    return ok(check, message)


def check_shared_memory(sizes: Callable[[], tuple[int, int]] | None = None) -> Finding:
    """Whether /dev/shm is as large as Ray's object store. ``sizes`` gives (total, free) in bytes."""
    try:
        total, free = (sizes or _shared_memory)()
    except OSError as error:
        return fail("shared memory", f"{_SHARED}: {error.strerror}", "mount a tmpfs there, in a container with --shm-size=2g")
    message = f"{_SHARED} has {total / _GB:.1f} GB, {free / _GB:.1f} GB free"
    if free < _LEAST_SHARED:
        return fail(
            "shared memory", message, "make it larger: in a container --shm-size=2g, else mount -o remount,size=2G /dev/shm"
        )
    if total < _COMFORTABLE_SHARED:
        return warn(
            "shared memory", message, "in a container start it with --shm-size=2g; Ray writes to the disk where this is full"
        )
    return ok("shared memory", message)


def check_open_files(limits: Callable[[], tuple[int, int]] | None = None) -> Finding:
    """Whether a process may open enough files. ``limits`` gives (soft, hard)."""
    soft, hard = (limits or _file_limits)()
    message = f"a process may open {soft} files ({hard} at most)"
    remedy = f"run `ulimit -n {_COMFORTABLE_FILES}` in this shell, or raise nofile in /etc/security/limits.conf"
    if soft < _LEAST_FILES:
        return fail("open files", message, remedy)
    if soft < _COMFORTABLE_FILES and hard < _COMFORTABLE_FILES:
        return warn("open files", message, remedy)
    return ok("open files", message)


def check_state_dir(folder: Path) -> Finding:
    """Whether the state folder can be written, and is not open to everybody."""
    if folder.exists() and not folder.is_dir():
        return fail("state folder", f"{folder} is no folder", "give another with --state-dir")
    place = nearest_existing(folder)
    if not os.access(place, os.W_OK | os.X_OK):
        return fail("state folder", f"{place} cannot be written", "give a folder of your own with --state-dir, or change its owner")
    if folder.exists() and folder.stat().st_mode & 0o002:
        return warn(
            "state folder", f"{folder} can be written by everybody", f"run `chmod o-w {folder}`: it holds keys and the store"
        )
    return ok("state folder", f"{folder} can be written" if folder.exists() else f"{folder} will be made in {place}")


def check_data_roots(roots: Sequence[Path]) -> Iterator[Finding]:
    """Whether each data root is a folder that can be read, and can be written."""
    for root in roots:
        if not root.is_dir():
            yield fail("data root", f"{root} is no folder", "make it, or name others with --data-root or RFUAV_DATA_ROOTS")
        elif not os.access(root, os.R_OK | os.X_OK):
            yield fail("data root", f"{root} cannot be read", "change its permissions, or name others with --data-root")
        elif not os.access(root, os.W_OK):
            yield warn("data root", f"{root} cannot be written", "results must go to another data root; name one with --data-root")
        else:
            yield ok("data root", f"{root} can be read and written")


def check_leftovers(state_dir: Path, *, has_record: bool, processes: int, temp_dir: Path) -> Finding:
    """Whether an earlier run left something behind. Asked only where the service is not up."""
    left = [f"{processes} processes"] if processes else []
    left += ["its record"] if has_record else []
    left += [str(temp_dir)] if temp_dir.exists() else []
    if left:
        return warn("leftovers", f"an earlier run left {', '.join(left)}", f"run `rfuav down --state-dir {state_dir}`")
    return ok("leftovers", "nothing is left of an earlier run")


def check_service(state: str, url: str, reason: str) -> Finding:
    """Whether the service answers, where it is up."""
    if state == "down":
        return ok("service", "it is not up; `rfuav up` starts it")
    if state == "healthy":
        return ok("service", f"{url} answers, healthy")
    if state == "joined":
        return ok("service", f"this machine is a node of another one's service, {reason}")
    if state in ("starting", "degraded"):
        return warn("service", f"{url or 'it'} is {state}: {reason}", "wait a few seconds; `rfuav status` tells more")
    return fail("service", f"{url} is {state}: {reason}", "read STATE/logs; `rfuav down` and `rfuav up` start it anew")


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _free_bytes(place: Path) -> int:
    return shutil.disk_usage(place).free


def _shared_memory() -> tuple[int, int]:
    usage = shutil.disk_usage(_SHARED)
    return usage.total, usage.free


def _file_limits() -> tuple[int, int]:
    import resource  # noqa: PLC0415

    return resource.getrlimit(resource.RLIMIT_NOFILE)
