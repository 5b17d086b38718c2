"""Starting and ending services, as users do it and as accidents do."""

import ipaddress
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from actors import presence
from actors.names import LOG_HUB, WATCHDOG
from actors.store import Store
from cluster.demo_data import write_demo_dataset
from cluster.ports import find_free_port
from cluster.processes import find_processes, instance_mark
from tests.service.driving import COMMAND, Service, clean_environment, is_alive, run_cli, what_is_left

pytestmark = pytest.mark.service

DRIVER = "import os, ray; ray.init(address=os.environ['TARGET'], namespace='rfuav'); print(ray.get_actor('accountant'))"


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a service of the test's own; whatever is still up there at the end is ended."""
    yield tmp_path
    run_cli("down", "--state-dir", tmp_path / "state", cwd=tmp_path)


@contextmanager
def foreground(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A ``rfuav up`` that stays, ready when the block begins."""
    command = [*COMMAND, "up", "--port", str(port), "--state-dir", str(folder / "state"), "--data-root", str(folder)]
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=clean_environment(), stdout=subprocess.PIPE, stderr=log, text=True)
    with process:
        assert process.stdout is not None
        is_ready = any(line == f"READY http://127.0.0.1:{port}/\n" for line in process.stdout)
        assert is_ready, (folder / "up.log").read_text()
        yield process


def test_http_listens_on_loopback_only(service: Service):
    listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    hosts = [each.laddr.ip for each in listening if each.laddr.port == service.port]
    assert hosts
    assert all(ipaddress.ip_address(host).is_loopback for host in hosts)


def test_a_driver_without_the_token_is_refused(service: Service):
    address = json.loads(run_cli("status", "--state-dir", service.state_dir, "--json", cwd=service.data_root).stdout)["ray_address"]
    # Ray takes every failure for a head that is still starting; one attempt is enough here.
    answer = drive(clean_environment() | {"TARGET": address, "RAY_gcs_server_port_wait_time_s": "1"})
    assert answer.returncode != 0
    assert "InvalidAuthToken" in answer.stderr


def test_a_bare_shell_reaches_ray_after_env(service: Service):
    shell = f'eval "$({sys.executable} -m cluster.cli env --state-dir {service.state_dir})" && TARGET=$RAY_ADDRESS python -c "$1"'
    answer = subprocess.run(["sh", "-c", shell, "sh", DRIVER], env=clean_environment(), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "GpuAccountant" in answer.stdout


@pytest.mark.long
def test_a_ray_job_runs_with_the_services_python(service: Service):
    exports = json.loads(run_cli("env", "--state-dir", service.state_dir, "--json", cwd=service.data_root).stdout)
    job = ["ray", "job", "submit", "--", "python", "-c", "import cluster, sys; print('ran by', sys.executable)"]
    answer = subprocess.run(job, env=clean_environment() | exports, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert f"ran by {sys.executable}" in answer.stdout


def test_the_token_is_readable_by_its_owner_only(service: Service):
    assert (service.state_dir / "ray_token").stat().st_mode & 0o777 == 0o600


def test_a_second_up_on_a_live_state_folder_is_refused(service: Service):
    answer = run_cli("up", "--state-dir", service.state_dir, "--port", find_free_port(), cwd=service.data_root)
    assert answer.returncode == 2
    assert f"already up at {service.url}/" in answer.stderr
    assert httpx.get(f"{service.url}/api/v1/health", trust_env=False).json()["status"] == "healthy"


def test_a_taken_port_is_named_with_a_remedy(service: Service, tmp_path: Path):
    answer = run_cli("up", "--state-dir", tmp_path / "state", "--port", service.port, cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"rfuav: port: {service.port} on 127.0.0.1 is in use")
    assert "--port" in answer.stderr


def test_a_killed_service_is_continued_by_the_next_up_and_ctrl_c_ends_it_all(service: Service, own_folder: Path):
    port, state_dir = find_free_port(), own_folder / "state"
    with foreground(own_folder, port) as killed:
        task_id = submit_training(f"http://127.0.0.1:{port}", own_folder)
        assert status_of(service.url) == "healthy"  # two side by side
        first = find_processes(instance_mark(state_dir))
        killed.kill()
    assert any(is_alive(process) for process in first)
    with foreground(own_folder, port) as continued:
        assert [str(process) for process in first if is_alive(process)] == []
        assert httpx.get(f"http://127.0.0.1:{port}/api/v2/tasks/{task_id}", trust_env=False).status_code == 200
        second = find_processes(instance_mark(state_dir))
        continued.send_signal(signal.SIGINT)
        assert continued.wait(60) == 0
    assert what_is_left(state_dir, port, first + second) == []
    assert status_of(service.url) == "healthy"


@pytest.mark.long
def test_a_part_that_hangs_is_ended_by_the_watchdog_and_comes_back(service: Service):
    hanging = presence.find(service.state_dir, LOG_HUB)
    assert hanging is not None
    process = hanging.process()
    assert process is not None
    process.suspend()
    process.wait(60)
    wait_until(
        lambda: presence.find(service.state_dir, LOG_HUB) != hanging and part_of(service.url, "log_hub")["state"] == "healthy"
    )
    assert part_of(service.url, "log_hub")["detail"].endswith("ended by the watchdog: silent for 10 s")


def test_a_watchdog_that_dies_is_missed_and_replaced(service: Service):
    before = presence.find(service.state_dir, WATCHDOG)
    assert before is not None
    process = before.process()
    assert process is not None
    assert part_of(service.url, "watchdog")["state"] == "healthy"
    process.kill()
    wait_until(lambda: part_of(service.url, "watchdog")["state"] == "unhealthy")
    wait_until(lambda: part_of(service.url, "watchdog")["state"] == "healthy")
    found = part_of(service.url, "watchdog")
    assert presence.find(service.state_dir, WATCHDOG) != before
    assert (found["restarts"], "restarted" in found["detail"]) == (1, True)


@pytest.mark.long
def test_down_ends_a_service_that_is_in_the_foreground(own_folder: Path):
    port, state_dir = find_free_port(), own_folder / "state"
    with foreground(own_folder, port) as up:
        known = find_processes(instance_mark(state_dir))
        assert run_cli("down", "--state-dir", state_dir, cwd=own_folder).returncode == 0
        assert up.wait(10) == 0
    assert what_is_left(state_dir, port, known) == []


@pytest.mark.long
def test_a_store_of_a_newer_version_is_refused_in_plain_words(own_folder: Path):
    state_dir = own_folder / "state"
    store = Store(f"sqlite:///{state_dir}/store.sqlite")
    store.write_note("schema_version", "99")
    store.close()
    answer = run_cli("up", "--state-dir", state_dir, "--port", find_free_port(), "--detach", cwd=own_folder)
    assert answer.returncode == 1
    assert "it was written by a newer version (schema 99, this one knows" in answer.stderr
    assert "update the service" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert find_processes(instance_mark(state_dir)) == []


def test_down_says_so_when_nothing_is_up(tmp_path: Path):
    answer = run_cli("down", "--state-dir", tmp_path / "state", cwd=tmp_path)
    assert answer.returncode == 0
    assert "nothing was up" in answer.stdout
    assert not (tmp_path / "state").exists()


def drive(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", DRIVER], env=environ, capture_output=True, text=True, timeout=60, check=False)


def submit_training(url: str, folder: Path) -> str:
    """A training that is cancelled at once: only its record matters."""
    write_demo_dataset(folder / "demo", per_class_train=1, per_class_valid=1, size=32)
    body = {"model": "resnet18", "num_classes": 4, "train_path": "demo/train", "val_path": "demo/valid", "save_path": "out"}
    answer = httpx.post(f"{url}/api/v2/training/start", json=body | {"device": "cpu", "pretrained": False}, trust_env=False)
    assert answer.status_code == 200, answer.text
    task_id = answer.json()["task_id"]
    assert httpx.post(f"{url}/api/v2/tasks/{task_id}/cancel", trust_env=False).status_code == 200
    return task_id


def status_of(url: str) -> str:
    return httpx.get(f"{url}/api/v1/health", trust_env=False, timeout=30).json()["status"]


def part_of(url: str, name: str) -> dict[str, Any]:
    return httpx.get(f"{url}/api/v1/health", trust_env=False, timeout=30).json()["components"][name]


def wait_until(is_so: Callable[[], bool], deadline_s: float = 60) -> None:
    pause, deadline = threading.Event(), time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < deadline
        pause.wait(0.2)
