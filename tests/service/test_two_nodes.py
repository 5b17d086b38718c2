"""A service on two nodes, behind HAProxy and with keys: work on both, and one of them lost."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.haproxy import HaproxyMissingError, require_haproxy
from cluster.processes import find_processes, instance_mark, is_named
from tests.service.driving import clean_environment, is_alive, run_cli, what_is_left
from tests.service.http_client import Http
from tests.service.pictures import write_coloured
from tests.service.prediction_load import Load
from tests.service.two_nodes import TwoNodes, bring_down, bring_up, join, kill_node, prepare, register_model, wait_until

pytestmark = pytest.mark.service

SERVE_FILE = Path(__file__).parents[2] / "configs" / "serve.yaml"
#: How long predictions may be refused after a node was lost.
MOST_TROUBLE_S = 10.0
#: Three replicas do not fit on one GPU, so that one is on the node that is lost.
SETTINGS = {"RFUAV_SERVING_MIN_REPLICAS": "3", "RFUAV_TORCH_THREADS": "1", "RFUAV_SERVING_DOWN_DELAY_S": "600"}


@pytest.fixture(scope="module", autouse=True)
def _haproxy():
    try:
        require_haproxy()
    except HaproxyMissingError as error:
        if os.environ.get("REQUIRE_HAPROXY") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    """Both nodes, each with a simulated GPU. At the end all but HAProxy is killed, and `down` must still leave nothing."""
    two = prepare(tmp_path_factory.mktemp("nodes"), SETTINGS)
    known: list[psutil.Process] = []
    try:
        bring_up(two, SETTINGS)
        yield two
        known = find_processes(instance_mark(two.head)) + find_processes(instance_mark(two.other))
        orphans = leave_orphans(known)
    finally:
        ended = bring_down(two)
    assert [each.returncode for each in ended] == [0, 0], ended
    assert orphans, "HAProxy did not outlive its Ray, so nothing was tried"
    assert what_is_left(two.head, two.port, known) + what_is_left(two.other, two.port, known) == []


@pytest.fixture(scope="module")
def http(nodes: TwoNodes) -> Http:
    return Http(nodes.url, write_coloured(nodes.folder / "data" / "pictures"), nodes.key)


def test_a_request_without_a_key_is_refused(nodes: TwoNodes):
    assert httpx.get(f"{nodes.url}/api/v2/resources", trust_env=False).status_code == 401


def test_serve_deploy_yields_the_same_service(nodes: TwoNodes, http: Http):
    exports = json.loads(run_cli("env", "--state-dir", nodes.head, "--json", cwd=nodes.folder).stdout)
    ingress = (nodes.head / "run" / "ingress.json").read_text()
    before = http.client.get("/openapi.json").json()
    deploy = ["serve", "deploy", str(SERVE_FILE), "--address", exports["RAY_API_SERVER_ADDRESS"]]
    answer = subprocess.run(deploy, env=clean_environment() | exports, capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    wait_until(lambda: (nodes.head / "run" / "ingress.json").read_text() != ingress)
    wait_until(lambda: status_of(http) == "healthy")
    assert http.client.get("/openapi.json").json() == before
    assert http.check() == []


def test_a_lost_node_costs_nothing_that_was_accepted(nodes: TwoNodes, http: Http):
    register_model(nodes, http)
    tasks = [http.train(f"long-{number}", num_epochs=25)["task_id"] for number in range(2)]
    placed = {http.wait_for_epoch(task_id, 1)["lease"]["device"]: task_id for task_id in tasks}
    assert set(placed) == {"cpu:0", "cpu:1"}
    tasks += [http.train("gpu", device="cuda:1", num_epochs=1)["task_id"]]
    assert http.wait(tasks[-1])["status"] == "completed"
    wait_until(lambda: replicas_on(http, "cuda:1") > 0)
    picture = (http.data / "valid" / "red" / "0.png").read_bytes()
    with Load(nodes.url, "known", picture, callers=2, key=nodes.key) as load:
        wait_until(lambda: load.statuses()[200] > 5)
        lost_at = kill_node(nodes.other)
        wait_until(lambda: not is_present(http, "cpu:1") and not is_present(http, "cuda:1"))
        wait_until(lambda: any(each.status == 200 and each.sent_at > lost_at + MOST_TROUBLE_S for each in load.outcomes))
        ended = [http.wait(task_id) for task_id in tasks]
    assert [task["status"] for task in ended] == ["completed"] * 3, ended
    assert {task["task_id"] for task in ended if task["attempts"] > 1} == {placed["cpu:1"]}
    trouble = [each for each in load.outcomes if each.status != 200]
    assert {each.status for each in trouble} <= {0, 503}, load.statuses()
    assert all(each.sent_at - lost_at <= MOST_TROUBLE_S for each in trouble), trouble
    assert http.check() == []


def test_the_same_node_comes_back_with_the_same_devices(nodes: TwoNodes, http: Http):
    assert "with cuda:1, cpu:1" in join(nodes).stdout
    task = http.wait(http.train("again", device="cpu:1")["task_id"])
    assert (task["status"], task["device"]) == ("completed", "cpu:1"), task
    assert http.check() == []


def leave_orphans(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Kill all but HAProxy, as an accident would; returns what outlives that."""
    haproxies = [process for process in processes if is_named(process, "haproxy")]
    for process in processes:
        if process not in haproxies:
            with suppress(psutil.Error):
                process.kill()
    return [process for process in haproxies if is_alive(process)]


def device_of(http: Http, name: str) -> dict:
    return next(each for each in http.client.get("/api/v2/resources").json()["devices"] if each["device"] == name)


def is_present(http: Http, name: str) -> bool:
    return device_of(http, name)["present"]


def replicas_on(http: Http, name: str) -> int:
    return len(device_of(http, name)["serving"]["replicas"])


def status_of(http: Http) -> str:
    return http.client.get("/api/v1/health").json()["status"]
