"""Starts a Ray head that belongs to one instance of the service, and says how to reach it.

Owns the command line and the environment of that head and of nodes that join it, its token and its temporary folder. Serve's direct
ingress is switched on here, by variables that only Ray's own processes may see: in a driver they would break calls to replicas. Knows
nothing of our actors.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from actors.presence import Presence
from cluster.haproxy import haproxy_environment, write_start
from cluster.private_files import write_private
from cluster.processes import MARK, find_processes, instance_mark, is_named, presence_of
from configs.settings import Settings

_OBJECT_STORE_BYTES: Final = 300 * 1024 * 1024
_LOG_FILE_BYTES: Final = 8 * 1024 * 1024
_START_DEADLINE_S: Final = 180.0
#: How long Ray leaves a job that it has asked to stop; three seconds, unless it is told otherwise.
JOB_STOP_S: Final = 60
#: Ray's unix sockets lie about 60 characters below its folder, and Linux allows 107 in all.
_LONGEST_TEMP_DIR: Final = 40
#: Names that would lead a new head or a driver to another Ray.
_FOREIGN_NAMES: Final = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR")


class RayStartError(Exception):
    """Ray's head did not start."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(reason, log)
        self.reason = reason
        self.log = log

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class RayHead:
    """A head that was started; ``process`` is its control store, whose end is the end of this Ray."""

    address: str
    process: Presence


class RayStart:
    """A ``ray start`` that runs, in a session of its own. The caller may do other work before it waits, or end the instance."""

    def __init__(self, state_dir: Path, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._log = state_dir / "logs" / "ray_start.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._mark = instance_mark(state_dir)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )

    def wait_for(self, name: str) -> Presence:
        """Wait until Ray's processes are up; returns the one of this name.

        Raises:
            RayStartError: the command ended with an error, took too long, or that process is not there.
        """
        try:
            code = self._process.wait(_START_DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise RayStartError(f"not up after {_START_DEADLINE_S:.0f} s", self._log) from None
        if code != 0:
            raise RayStartError(f"`ray start` ended with exit code {code}: {_last_line(self._log)}", self._log)
        for process in find_processes(self._mark):
            if is_named(process, name):
                with contextlib.suppress(psutil.Error):
                    return presence_of(process)
        raise RayStartError(f"its process {name} ended at once", self._log)


class HeadStart:
    """A head that is starting."""

    def __init__(self, settings: Settings) -> None:
        environ = head_environment(os.environ, settings)
        self._temp_dir = make_temp_dir(settings.state_dir)
        if settings.nodes == "several":
            write_start(settings.state_dir, self._temp_dir)
        self._start = RayStart(settings.state_dir, head_command(settings, self._temp_dir), environ)

    def wait(self) -> RayHead:
        """Wait until the head is up. Raises RayStartError."""
        control_store = self._start.wait_for("gcs_server")
        address = (self._temp_dir / "ray_current_cluster").read_text(encoding="utf-8").strip()
        return RayHead(address, control_store)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def head_command(settings: Settings, temp_dir: Path) -> list[str]:
    """The command that starts the head. Ports are chosen by the kernel where Ray lets it."""
    command = [*start_command(temp_dir), "--head", "--port=0", "--disable-usage-stats"]
    command += ["--include-dashboard=true", "--dashboard-host=127.0.0.1", "--dashboard-port=0"]
    if settings.simulate_gpus:
        command.append(f"--num-gpus={settings.simulate_gpus}")
    return command


def start_command(temp_dir: Path) -> list[str]:
    """What the commands that start a head and a further node have in common."""
    # -P: the working folder is often a data root, and what was uploaded there must not be imported.
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--dashboard-agent-listen-port=0"]
    command += ["--min-worker-port=0", "--max-worker-port=0"]
    return [*command, f"--object-store-memory={_OBJECT_STORE_BYTES}", f"--temp-dir={temp_dir}"]


def head_environment(base: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment of the head, and so of every process that Ray starts.

    Args:
        base: the environment of the calling process.
        settings: the service's settings.

    Raises:
        SettingsError: HTTP is to come through HAProxy, and that cannot be.
    """
    environ = node_environment(base, settings.state_dir)
    if settings.nodes == "several":
        return environ | haproxy_environment(settings, temp_dir_of(settings.state_dir))
    return environ | {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(settings.port),
        # Ray refuses an empty range, so the neighbour is in it too.
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(settings.port + 1),
    }


def node_environment(base: Mapping[str, str], state_dir: Path) -> dict[str, str]:
    """What the environments of all nodes have in common."""
    return driver_environment(base, token_path(state_dir)) | {
        MARK: instance_mark(state_dir),
        "RAY_START_HOOK": f"{__name__}.leave_out_client_server",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Beside a busy trainer, workers at Ray's usual niceness of 15 answer late.
        "RAY_worker_niceness": "0",
        # Ray's usual numbers are fixed, so a second instance would not get them.
        "AUTOSCALER_METRIC_PORT": "0",
        "DASHBOARD_METRIC_PORT": "0",
        "RAY_ROTATION_MAX_BYTES": str(_LOG_FILE_BYTES),
        "RAY_ROTATION_BACKUP_COUNT": "1",
        # A job that is asked to stop cancels its task first, and a supervisor that is busy accepting it answers late.
        "RAY_JOB_STOP_WAIT_TIME_S": str(JOB_STOP_S),
        "RAY_SERVE_PORT_QUARANTINE_S": "0",
        # A proxy that does not begin within 5 s is ended, and with it the bring-up; on a busy machine it may take longer.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # Nobody may say in a header where a request comes from: without keys, it decides who is let in.
        "FORWARDED_ALLOW_IPS": "",
    }


def driver_environment(base: Mapping[str, str], token: Path) -> dict[str, str]:
    """The environment of a process that talks to the head: the token, the venv's programs first, nothing of another Ray's."""
    environ = {name: value for name, value in base.items() if name not in _FOREIGN_NAMES}
    own_bin = str(Path(sys.executable).parent)
    environ["PATH"] = os.pathsep.join([own_bin, *(each for each in base.get("PATH", "").split(os.pathsep) if each != own_bin)])
    environ["RAY_AUTH_MODE"] = "token"
    environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    return environ


def use_token(state_dir: Path) -> None:
    """Make this process one that talks to the Ray whose token the state folder has."""
    environ = driver_environment(os.environ, token_path(state_dir))
    os.environ.clear()
    os.environ.update(environ)


def leave_out_client_server(params: Any, _is_head: bool) -> None:  # noqa: FBT001 (Ray calls it so)
    """Keep ``ray start`` from starting the Ray client server: one more process and port that nobody here uses."""
    params.ray_client_server_port = None


def token_path(state_dir: Path) -> Path:
    """The file of the instance's token."""
    return state_dir / "ray_token"


def ensure_token(state_dir: Path) -> Path:
    """Make the token that guards Ray's ports unless there is one; only the owner can read it."""
    path = token_path(state_dir)
    if not path.is_file() or not path.read_text(encoding="ascii").strip():
        write_private(path, secrets.token_hex(32))
    path.chmod(0o600)
    return path


def temp_dir_of(state_dir: Path) -> Path:
    """Ray's temporary folder of the instance: named by the mark, and short."""
    base = tempfile.gettempdir()
    return Path(base if len(base) <= _LONGEST_TEMP_DIR else "/tmp") / f"rfuav-{instance_mark(state_dir)}"  # noqa: S108


def make_temp_dir(state_dir: Path) -> Path:
    """Make the temporary folder anew, for this user alone.

    Raises:
        OSError: somebody else owns a folder of that name.
    """
    path = temp_dir_of(state_dir)
    remove_temp_dir(state_dir)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise PermissionError(f"{path} belongs to somebody else; remove it, or set TMPDIR to another folder") from None
    return path


def remove_temp_dir(state_dir: Path) -> None:
    """Remove the temporary folder and all of Ray's logs in it."""
    shutil.rmtree(temp_dir_of(state_dir), ignore_errors=True)


def keep_logs(state_dir: Path) -> Path | None:
    """Copy Ray's logs into the state folder, so that they outlive the temporary folder; None where there are none."""
    source = temp_dir_of(state_dir) / "session_latest" / "logs"
    target = state_dir / "logs" / "ray"
    if not source.is_dir():
        return None
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore_dangling_symlinks=True)
    return target
