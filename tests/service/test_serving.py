"""The predictor's replicas in a whole service: how many there are, where they are, and what becomes of requests meanwhile."""

import io
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from cluster.ports import can_listen
from cluster.status import shell_exports
from tests.actors.waiting import wait_for
from tests.service.driving import clean_environment
from tests.service.http_client import Http
from tests.service.pictures import write_coloured
from tests.service.prediction_load import Load

MODEL = "colours"
#: The serving shares of two GPUs carry two replicas each.
CEILING = 4
#: Gives Serve another ceiling, as the watchdog does when devices come and go.
SET_CEILING = """
import sys
from pathlib import Path
from cluster import compose
from cluster.ceiling import read_deployed
from cluster.run_record import read_record
from cluster.serving import apply_plan

state_dir, most = Path(sys.argv[1]), int(sys.argv[2])
compose.connect(read_record(state_dir).ray_address)
apply_plan(read_deployed(state_dir).plan, most)
"""


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "serving"))


@pytest.fixture(scope="module")
def model(service, http):
    """A registered model with weights made by chance."""
    import torch

    from actors.learning.zoo import build_model

    folder = service.data_root / "chance"
    folder.mkdir()
    torch.save(build_model("mobilenet_v3_small", 2).state_dict(), folder / "best_model.pth")
    keys = {"model": "mobilenet_v3_small", "num_classes": 2, "class_names": {"blue": 0, "red": 1}, "image_size": 32}
    (folder / "config.yaml").write_text(yaml.safe_dump(keys))
    body = {"name": MODEL, "cfg_path": "chance/config.yaml", "weight_path": "chance/best_model.pth", "alias": "production"}
    http.post("/api/v2/models", body)
    return MODEL


@pytest.fixture(scope="module")
def picture():
    file = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 120, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def load(service, model, picture):
    return Load(service.url, model, picture)


def replicas(service):
    """The replicas in the view, by device; never more than it says that there may be."""
    devices = httpx.get(f"{service.url}/api/v2/resources", timeout=30).json()["devices"]
    for device in devices:
        assert len(device["serving"]["replicas"]) <= device["serving"]["max_replicas"], device
    return [replica for device in devices for replica in device["serving"]["replicas"]]


def ready_pids(service):
    return {replica["pid"] for replica in replicas(service) if replica["ready"]}


def has(service, count):
    return lambda: len(found := replicas(service)) == count and all(replica["ready"] for replica in found) and found


def settled(service, load, count):
    """The processes of so many replicas, once none came or went while every caller was answered several times."""
    before = None
    while before != (now := {replica["pid"] for replica in wait_for(has(service, count), what=f"{count} replicas")}):
        before, answered = now, len(load.outcomes)
        wait_for(lambda answered=answered: len(load.outcomes) > answered + 8 * load.callers, what="load")
    return now


def set_ceiling(service, most):
    environ = clean_environment() | dict(shell_exports(service.state_dir, path=os.environ["PATH"]))
    command = [sys.executable, "-c", SET_CEILING, str(service.state_dir), str(most)]
    subprocess.run(command, check=True, env=environ, timeout=60, capture_output=True)


def ingress_pid(service):
    return json.loads((service.state_dir / "run/ingress.json").read_text())["pid"]


def books(service):
    return httpx.get(f"{service.url}/api/v2/resources/check", timeout=60).json()


def test_a_replica_is_up_before_there_is_a_model_and_says_where_it_is(service):
    (replica,) = wait_for(has(service, 1), what="one replica that is ready")
    assert replica["device"] in ("cuda:0", "cuda:1")
    assert replica["simulated"]
    assert replica["memory_budget_gb"] == 3.0
    predictor = httpx.get(f"{service.url}/api/v1/health", timeout=30).json()["components"]["predictor"]
    assert (predictor["state"], predictor["detail"]) == ("healthy", "1 replica")
    assert can_listen("127.0.0.1", service.port + 1), "only the ingress may listen"


def test_replicas_follow_the_load_up_to_a_moving_ceiling_and_back_and_no_request_no_viewer_and_no_task_suffers(
    service, http, load, pool
):
    wait_for(has(service, 1), what="one replica, the load of other tests being over")
    set_ceiling(service, 2)
    with load:
        first = settled(service, load, 2)
        ingress = ingress_pid(service)
        assert books(service)["agrees"]
        set_ceiling(service, CEILING)
        most = wait_for(has(service, CEILING), what="as many as the devices carry")
        assert sorted(replica["device"] for replica in most) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
        assert first < {replica["pid"] for replica in most}
        assert ingress_pid(service) == ingress
        wait_for(lambda: all(MODEL in {each["model"] for each in r["models"]} for r in replicas(service)), what="the model")
        # The task share is not serving's: a task begins at once, and its limits can be changed.
        task = http.train("beside-serving", device="cuda:0", num_epochs=5)
        http.wait(task["task_id"], "running")
        viewer = pool.submit(http.log, task["task_id"])
        http.post("/api/v2/resources/config", {"max_concurrent": {"cuda:1": {"training": 2, "inference": 5}}})
        assert books(service)["agrees"]
    assert http.wait(task["task_id"])["status"] == "completed"
    assert [record["status"] for record in viewer.result(60) if record.get("status")][-1] == "completed"
    wait_for(has(service, 1), what="one replica when nobody asks any more")
    assert books(service)["agrees"]
    assert load.statuses().keys() == {200}, [outcome for outcome in load.outcomes if outcome.status != 200][:5]


def test_a_killed_replica_takes_only_its_own_requests_along_and_is_replaced(service, load):
    set_ceiling(service, 1)
    (killed,) = wait_for(has(service, 1), what="one replica")
    with load:
        wait_for(lambda: len(load.outcomes) > 5 * load.callers, what="load")
        os.kill(killed["pid"], signal.SIGKILL)
        wait_for(lambda: ready_pids(service) - {killed["pid"]}, what="another replica")
        before = len(load.outcomes)
        wait_for(lambda: len(load.outcomes) > before + 5 * load.callers, what="load on the new replica")
    set_ceiling(service, CEILING)
    assert load.statuses().keys() <= {200, 503}, "a request that hangs gets no status"
    # Each caller had one request in it; those that came later waited for the new one.
    assert load.statuses()[503] <= load.callers


@pytest.mark.long
def test_a_replica_that_lives_and_does_not_answer_is_ended_and_replaced(service):
    (stopped,) = wait_for(has(service, 1), what="one replica")
    os.kill(stopped["pid"], signal.SIGSTOP)
    wait_for(lambda: ready_pids(service) - {stopped["pid"]}, what="another replica")
