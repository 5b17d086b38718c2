"""Ray's own users: jobs from a bare shell, and drivers with a lease of their own, on a service that was really started."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from cluster.run_record import read_record
from tests.service.driving import clean_environment, is_alive
from tests.service.http_client import Http
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.service

#: Nothing but what the service itself says, as the README has it.
SHELL = 'eval "$("$0" -m cluster.cli env --state-dir "$1")" && shift && exec "$@"'
GONE_S = 30


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "drivers" / "coloured"))


@pytest.fixture
def folder(tmp_path):
    """The working folder of a job, with something that must not be uploaded."""
    (tmp_path / ".gitignore").write_text(".venv/\n", encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    with (tmp_path / ".venv" / "library").open("wb") as file:
        file.truncate(700 << 20)
    return tmp_path


def start(service, folder, *command):
    """A program in a shell that knows only what ``rfuav env`` prints."""
    environ = {name: value for name, value in clean_environment().items() if name in ("PATH", "HOME", "PYTHONPATH", "LANG")}
    return subprocess.Popen(
        ["sh", "-c", SHELL, sys.executable, str(service.state_dir), *map(str, command)],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(service, folder, *command):
    process = start(service, folder, *command)
    said, _ = process.communicate(timeout=150)
    return process.returncode, said


def job(name, **changes):
    """The file of a small training, its paths as over HTTP: from the first data root."""
    body = {
        "model": "mobilenet_v3_small",
        "num_classes": 2,
        "train_path": "drivers/coloured/train",
        "val_path": "drivers/coloured/valid",
        "save_path": "drivers/out",
        "name": name,
        "batch_size": 8,
        "num_epochs": 1,
        "image_size": 32,
        "pretrained": False,
        "device": "cpu",
    }
    return yaml.safe_dump(body | changes)


class TestJobs:
    def test_a_training_is_the_jobs_log_and_its_end_the_exit_code_and_a_repeat_trains_nothing(self, http, service, folder):
        (folder / "job.yaml").write_text(job("by-job"), encoding="utf-8")
        options = ("ray", "job", "submit", "--submission-id", "small-job", "--working-dir", ".", "--")
        code, said = run(service, folder, *options, "python", "-m", "cluster.jobs", "train", "job.yaml")
        assert code == 0, said
        assert "Epoch 1/1 ended: train_loss" in said
        assert "task small-job completed" in said
        assert http.task("small-job")["status"] == "completed"
        assert (service.data_root / "drivers" / "out" / "by-job" / "best_model.pth").is_file()
        again = {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"metadata": {"job_submission_id": "small-job"}})}
        program = ("env", *(f"{name}={value}" for name, value in again.items()), sys.executable, "-m", "cluster.jobs")
        code, said = run(service, folder, *program, "train", "job.yaml")
        assert code == 0, said
        assert "task small-job completed" in said
        assert http.task("small-job")["attempts"] == 1

    @pytest.mark.usefixtures("http")
    def test_what_fails_and_what_cannot_be_used_have_codes_of_their_own(self, service, folder):
        (service.data_root / "drivers" / "junk.pth").write_bytes(b"no weights")
        (folder / "failing.yaml").write_text(job("failing", weight_path="drivers/junk.pth", max_retries=0), encoding="utf-8")
        (folder / "wrong.yaml").write_text(job("wrong", bach_size=8), encoding="utf-8")
        program = (sys.executable, "-m", "cluster.jobs", "train")
        failing = start(service, folder, *program, "failing.yaml")
        code, said = run(service, folder, *program, "wrong.yaml")
        assert code == 2, said
        assert "wrong.yaml: bach_size: there is no such key; did you mean batch_size?" in said
        said, _ = failing.communicate(timeout=150)
        assert failing.returncode == 1, said
        assert "junk.pth" in said

    def test_stopping_the_job_cancels_its_task_whose_process_is_named_in_the_dashboard(self, http, service, folder):
        (folder / "long.yaml").write_text(job("long-run", num_epochs=10_000, keep_checkpoints=1, device="cuda"), encoding="utf-8")
        command = ("ray", "job", "submit", "--no-wait", "--submission-id", "long-job", "--working-dir", ".", "--")
        code, said = run(service, folder, *command, "python", "-m", "cluster.jobs", "train", "long.yaml")
        assert code == 0, said
        wait_until_known(http, "long-job")
        http.wait_for_epoch("long-job", 2)
        (actor,) = [each for each in actors(service) if each["name"] == "long-job.1"]
        assert actor["repr_name"] == "training mobilenet_v3_small long-run (task long-job)"
        title = psutil.Process(actor["pid"]).cmdline()[0]
        assert title.startswith("ray::AttemptActor epoch ")
        assert title.endswith(" % training mobilenet_v3_small long-run (task long-job)")
        code, said = run(service, folder, "ray", "job", "stop", "long-job")
        assert code == 0, said
        assert http.wait("long-job")["status"] == "cancelled"
        assert http.check() == []

    @pytest.mark.usefixtures("http")
    def test_a_sweep_runs_every_combination_and_leaves_a_table(self, service, folder):
        base = yaml.safe_load(job("lr")) | {"save_path": "drivers/sweep"}
        (folder / "sweep.yaml").write_text(
            yaml.safe_dump({"base": base, "grid": {"learning_rate": [0.01, 0.0001]}}), encoding="utf-8"
        )
        code, said = run(service, folder, sys.executable, "-m", "cluster.jobs", "sweep", "sweep.yaml")
        assert code == 0, said
        table = json.loads((service.data_root / "drivers" / "sweep" / "sweep.json").read_text(encoding="utf-8"))
        assert [each["status"] for each in table["runs"]] == ["completed", "completed"]
        assert table["best"] in ("lr-1", "lr-2")
        assert f"best by val_acc: {table['best']}" in said
        assert (service.data_root / "drivers" / "sweep" / table["best"] / "best_model.pth").is_file()


class TestLeases:
    def test_a_driver_holds_a_lease_like_everybody_and_gives_it_back_even_when_it_is_killed(self, http, service, folder):
        driver = start(service, folder, sys.executable, Path(__file__).with_name("own_driver.py"))
        try:
            first = next_record(driver)
            assert_held(http, service, first)
            driver.stdin.write("\n")
            driver.stdin.flush()
            second = next_record(driver)
            while "holder" not in second:
                second = next_record(driver)
            assert not is_running(first["pid"])
            assert_held(http, service, second)
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
        http.wait_until_free(second["device"], GONE_S)
        assert not is_running(second["pid"])
        assert http.check() == []

    def test_what_no_device_could_carry_is_said_in_the_services_own_words(self, service, folder):
        program = "from cluster.lease import lease\nwith lease('cuda', memory_gb=400): pass"
        code, said = run(service, folder, sys.executable, "-c", program)
        assert code == 1
        assert "UnsatisfiableRequestError" in said
        assert "the most is" in said


def assert_held(http, service, said):
    """The views show the holder by its name, the books agree, and the dashboard names the keeper."""
    devices = http.client.get("/api/v2/resources").json()["devices"]
    (device,) = [each for each in devices if each["device"] == said["device"]]
    (lease,) = [each for each in device["leases"] if each["task_id"] == said["holder"]]
    assert lease["gpu_fraction"] == said["fraction"]
    assert lease["memory_gb"] == 2.0
    assert said["environment"]["RFUAV_LEASE"] == lease["lease_id"]
    assert http.check() == []
    (keeper,) = [each for each in actors(service) if each["name"] == f"lease.{said['holder']}"]
    assert keeper["repr_name"] == f"lease of {said['holder']} (inference on {said['device']})"


def is_running(pid):
    """Whether a process works still; Ray may take a moment to notice the end of one."""
    return psutil.pid_exists(pid) and is_alive(psutil.Process(pid))


def next_record(driver):
    """What the driver says next, Ray's own lines left out."""
    for line in driver.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise AssertionError("the driver has ended")


def actors(service):
    """The live actors, as Ray's dashboard and ``ray list actors`` show them."""
    record = read_record(service.state_dir)
    token = Path(record.token_path).read_text(encoding="ascii").strip()
    address = f"{record.dashboard_url}/api/v0/actors?detail=true&limit=1000"
    answer = httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return [each for each in answer.json()["data"]["result"]["result"] if each["state"] == "ALIVE"]


def wait_until_known(http, task_id):
    """Wait for the job's program to submit its task."""
    deadline = time.monotonic() + 60
    while http.client.get(f"/api/v2/tasks/{task_id}").status_code != httpx.codes.OK:
        assert time.monotonic() < deadline, f"{task_id} was never submitted"
        time.sleep(0.1)
