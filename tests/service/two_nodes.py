"""A service on two nodes of one machine: bringing it up, losing the second node, and taking it back."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from actors.learning.zoo import build_model
from cluster.ports import find_free_port
from cluster.processes import find_processes, instance_mark, is_named
from tests.service.driving import clean_environment, run_cli
from tests.service.http_client import Http

CONFIG = "model: mobilenet_v3_small\nnum_classes: 2\nimage_size: 32\nclass_names: {blue: 0, red: 1}\n"


@dataclass(frozen=True)
class TwoNodes:
    """A running service: the head's state folder, the other node's, the service's port and an admin's key."""

    folder: Path
    port: int
    key: str

    @property
    def head(self) -> Path:
        return self.folder / "head"

    @property
    def other(self) -> Path:
        return self.folder / "other"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def prepare(folder: Path, settings: Mapping[str, str]) -> TwoNodes:
    """The folders and the key of a service that is not up yet."""
    (folder / "data").mkdir()
    made = run_cli(
        "keys", "add", "--role", "admin", "--name", "test", "--state-dir", folder / "head",
        cwd=folder, environ=clean_environment() | settings,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    return TwoNodes(folder, find_free_port(), made.stdout.strip())


def bring_up(two: TwoNodes, settings: Mapping[str, str]) -> None:
    """Start the head, with a simulated GPU, and let the other node join with another one."""
    up = ["up", "--detach", "--nodes", "several", "--port", two.port, "--simulate-gpus", 1, "--data-root", two.folder / "data"]
    begun = run_cli(*up, "--state-dir", two.head, cwd=two.folder, environ=clean_environment() | settings)
    assert begun.returncode == 0, begun.stdout + begun.stderr
    joined = join(two)
    assert "with cuda:1, cpu:1" in joined.stdout, joined.stdout + joined.stderr


def bring_down(two: TwoNodes) -> list[subprocess.CompletedProcess[str]]:
    """End both nodes, the joined one first."""
    return [run_cli("down", "--state-dir", each, cwd=two.folder) for each in (two.other, two.head)]


def join(two: TwoNodes) -> subprocess.CompletedProcess[str]:
    address = json.loads(run_cli("status", "--state-dir", two.head, "--json", cwd=two.folder).stdout)["ray_address"]
    options = ["--token-file", two.head / "ray_token", "--state-dir", two.other, "--simulate-gpus", 1]
    return run_cli("join", address, "--detach", *options, cwd=two.folder)


def kill_node(state_dir: Path) -> float:
    """Kill what makes a node a part of its Ray; returns when."""
    (raylet,) = raylets(state_dir)
    raylet.kill()
    return time.monotonic()


def raylets(state_dir: Path) -> list[psutil.Process]:
    return [process for process in find_processes(instance_mark(state_dir)) if is_named(process, "raylet")]


def register_model(two: TwoNodes, http: Http) -> None:
    data = two.folder / "data"
    (data / "known.yaml").write_text(CONFIG)
    torch.save(build_model("mobilenet_v3_small", 2).state_dict(), data / "known.pth")
    http.post("/api/v2/models", {"name": "known", "cfg_path": "known.yaml", "weight_path": "known.pth", "alias": "production"})


def wait_until(is_so: Callable[[], bool], deadline_s: float = 90) -> None:
    pause, deadline = threading.Event(), time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < deadline
        pause.wait(0.2)
