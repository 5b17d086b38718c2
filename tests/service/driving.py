"""Driving real services by the command line that users have, and looking at what they leave."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from actors.process_mark import is_alive
from cluster.ports import can_listen
from cluster.processes import find_processes, instance_mark
from cluster.ray_head import temp_dir_of
from configs.settings import ENVIRONMENT_NAMES

COMMAND = (sys.executable, "-m", "cluster.cli")
UP_DEADLINE_S = 280


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        url: where HTTP answers, without a slash at the end.
        port: the same port as in ``url``.
        state_dir: its state folder.
        data_root: an empty folder of its own, its first data root.
        test_data: the folder of real test data, its second data root; None where there is none.
        other_site: the origin of the only other site whose pages may use it.
    """

    url: str
    port: int
    state_dir: Path
    data_root: Path
    test_data: Path | None
    other_site: str = ""


def clean_environment() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    foreign = {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN"}
    return {name: value for name, value in os.environ.items() if name not in foreign | set(ENVIRONMENT_NAMES)}


def run_cli(*args: object, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``rfuav`` to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environ or clean_environment(),
        capture_output=True,
        text=True,
        timeout=UP_DEADLINE_S,
        check=False,
    )


def what_is_left(state_dir: Path, port: int, known: list[psutil.Process]) -> list[str]:
    """Everything of a service that has ended and is still there: processes, its port, Ray's folder."""
    left = [str(process) for process in {*find_processes(instance_mark(state_dir)), *known} if is_alive(process)]
    if not can_listen("127.0.0.1", port):
        left.append(f"port {port}")
    if temp_dir_of(state_dir).exists():
        left.append(str(temp_dir_of(state_dir)))
    return left


def attempt_processes(service: Service) -> list[psutil.Process]:
    """The processes of attempts that run now."""
    return [process for process in find_processes(instance_mark(service.state_dir)) if is_attempt(process)]


def is_attempt(process: psutil.Process) -> bool:
    """Whether a process runs an attempt."""
    try:
        return any("AttemptActor" in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False
