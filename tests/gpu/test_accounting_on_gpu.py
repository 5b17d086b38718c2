"""One real card, shared: a training and three inference jobs under their caps, one that asks for too much, and a kill."""

import os
import signal
import time

import pytest

from actors.gpu_driver import read_gpus
from cluster.ports import find_free_port
from tests.service.driving import Service as Started
from tests.service.driving import attempt_processes, run_cli
from tests.service.http_client import Http
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.gpu

GIB = 2**30
LONG = {"num_epochs": 10_000, "keep_checkpoints": 1}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A service on the real GPUs of this machine."""
    folder = tmp_path_factory.mktemp("gpu-service")
    (folder / "data").mkdir()
    port, state = find_free_port(), folder / "state"
    begun = run_cli("up", "--detach", "--port", port, "--state-dir", state, "--data-root", folder / "data", cwd=folder)
    assert begun.returncode == 0, begun.stdout + begun.stderr
    yield Started(f"http://127.0.0.1:{port}", port, state, folder / "data", None)
    run_cli("down", "--state-dir", state, cwd=folder)


@pytest.fixture(scope="module")
def http(started):
    return Http(started.url, write_coloured(started.data_root / "coloured", train=64, valid=200, size=224))


def used_bytes():
    return read_gpus().gpus[0].used_bytes


def test_a_training_and_three_inference_jobs_share_one_card_each_under_its_cap(http, started):
    model = started.data_root / "out" / "model"
    http.wait(http.train("model", device="cuda:0")["task_id"], "completed")
    training = http.train("shares", device="cuda:0", model="resnet18", image_size=128, batch_size=16, gpu_memory_gb=8, **LONG)
    http.wait_for_epoch(training["task_id"], 1)
    jobs = [http.infer(f"job-{number}", model, device="cuda:0")["task_id"] for number in range(3)]
    assert http.count([training["task_id"], *jobs], "running") == 4
    greedy = http.train(
        "greedy", device="cuda:0", model="vit_l_16", image_size=224, batch_size=64, gpu_memory_gb=2, num_epochs=1, max_retries=0
    )
    http.limit("cuda:0", training=2)
    failed = http.wait(greedy["task_id"], "failed")
    assert failed["error"]["code"] == "gpu_out_of_memory"
    assert "batch_size" in failed["error"]["message"] + failed["error"]["hint"]
    for job in jobs:
        assert http.wait(job, "completed")
    assert http.task(training["task_id"])["status"] == "running"
    gpu = http.client.get("/api/v2/resources/gpu").json()["devices"][0]
    for process in gpu["processes"]:
        if process["task_id"] == training["task_id"]:
            assert process["memory_gb"] <= 8.1
    assert http.check() == []
    http.limit("cuda:0", training=1)


def test_after_a_kill_memory_is_back_before_the_share_is(http, started):
    for task in http.unfinished():
        http.client.post(f"/api/v2/tasks/{task}/kill")
    http.wait_until_free("cuda:0", 30)
    before = used_bytes()
    task = http.train("killed", device="cuda:0", model="resnet50", image_size=224, batch_size=32, max_retries=0, **LONG)["task_id"]
    http.wait_for_epoch(task, 1)
    assert used_bytes() > before + GIB // 2
    (process,) = attempt_processes(started)
    os.kill(process.pid, signal.SIGKILL)
    end = time.monotonic() + 30
    while http.held("cuda:0") > 0:
        assert time.monotonic() < end, "the share did not come back"
    assert used_bytes() <= before + 256 * 2**20, "the share came back before the memory"
