"""The head of a service is killed while tasks wait and run, and the service is brought up again a second later."""

import time
from pathlib import Path

import psutil
import pytest

from cluster.ports import find_free_port
from cluster.processes import find_processes, instance_mark, is_named
from tests.service.driving import Service, attempt_processes, clean_environment, is_alive, run_cli, what_is_left
from tests.service.http_client import Http
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.service

WAITING = 10
RUNNING = 2
#: What Ray's head consists of. Its workers are left to themselves: they are what may still write.
HEAD = ("gcs_server", "raylet")
SETTINGS = {"RFUAV_TORCH_THREADS": "1", "RFUAV_CHECKPOINT_EVERY_S": "1", "RFUAV_SERVING_MIN_REPLICAS": "1"}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    (tmp_path / "data").mkdir()
    port = find_free_port()
    return Service(f"http://127.0.0.1:{port}", port, tmp_path / "state", tmp_path / "data", None)


@pytest.mark.timeout(600)
def test_twelve_tasks_complete_in_their_order_and_no_leftover_writes(service: Service):
    http = Http(service.url, write_coloured(service.data_root / "pictures", train=40))
    try:
        bring_up(service)
        names = [f"task-{number:02d}" for number in range(RUNNING + WAITING)]
        for number, name in enumerate(names):
            # Nothing counts as failed where the whole service ended.
            http.train(name, task_id=name, num_epochs=8 if number < RUNNING else 1, max_retries=0, seed=number)
        for name in names[:RUNNING]:
            http.wait_for_epoch(name, 2)
        tokens = [int((service.data_root / "out" / name / ".fence").read_text()) for name in names[:RUNNING]]
        leftovers = attempt_processes(service)
        assert len(leftovers) == RUNNING
        written = kill_head(service)
        time.sleep(1)
        bring_up(service)
        assert [process for process in leftovers if is_alive(process)] == []
        ended = [http.wait(name, deadline_s=300) for name in names]
        assert [task["status"] for task in ended] == ["completed"] * len(names), [task["error"] for task in ended]
        assert [task["attempts"] for task in ended[:RUNNING]] == [2] * RUNNING
        # What is left of the service without its head may still begin the next ones, before the second `up` ends it.
        assert max(task["attempts"] for task in ended[RUNNING:]) <= 2
        waited = ended[RUNNING:]
        assert [task["task_id"] for task in sorted(waited, key=lambda task: task["started_at"])] == names[RUNNING:]
        for task in ended[:RUNNING]:
            assert_one_writer(service.data_root / "out" / task["task_id"], written, max(tokens))
            assert "the service ended while it ran" in " ".join(record["message"] for record in http.log(task["task_id"]))
        assert http.check() == []
        known = find_processes(instance_mark(service.state_dir))
    finally:
        ended_by = run_cli("down", "--state-dir", service.state_dir, cwd=service.data_root)
    assert ended_by.returncode == 0, ended_by.stdout + ended_by.stderr
    assert what_is_left(service.state_dir, service.port, known) == []


def bring_up(service: Service) -> None:
    options = ["--port", service.port, "--state-dir", service.state_dir, "--data-root", service.data_root]
    begun = run_cli("up", "--detach", *options, cwd=service.data_root, environ=clean_environment() | SETTINGS)
    assert begun.returncode == 0, begun.stdout + begun.stderr


def kill_head(service: Service) -> float:
    """Kill Ray's head; returns when, by the clock of files."""
    heads = [
        process for process in find_processes(instance_mark(service.state_dir)) if any(is_named(process, each) for each in HEAD)
    ]
    assert len(heads) == len(HEAD)
    for process in heads:
        process.kill()
    psutil.wait_procs(heads, timeout=5)
    return time.time()


def assert_one_writer(output: Path, killed_at: float, first_token: int) -> None:
    """Every epoch is there once, what the first attempt had not put in place is gone, and it could put nothing in place any more."""
    names = {path.name for path in output.glob("*_epoch_*.pth")}
    assert names == {f"MobileNetV3_epoch_{epoch}.pth" for epoch in range(1, 9)}
    assert list(output.glob(".attempt-*")) == []
    rows = (output / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 8, rows
    assert int((output / ".fence").read_text()) > first_token
    assert (output / "last.ckpt").stat().st_mtime > killed_at
