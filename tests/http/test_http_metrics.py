"""What a collector of metrics reads."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.core.errors import ServingFullError
from actors.core.model import GIB, DeviceKind, LeaseRequest, WorkKind
from actors.core.tasks import EndMode
from actors.messages import LoadedModel, ReplicaReport, ResourceView
from actors.presence import Presence
from serve_app.request_meter import NO_ROUTE
from serve_app.routes import metrics
from tests.fake_serving import make_version
from tests.fakes import START, make_device_view, make_lease
from tests.http import bodies

pytestmark = pytest.mark.anyio

CUDA = {"device": "cuda:0", "kind": "cuda", "simulated": "false"}


@pytest.fixture
def read(client):
    """Ask for the figures; answers a function from a sample's name and labels to its value, None where there is none."""

    async def ask():
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.text)
        samples = {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}
        return lambda name, **labels: samples.get((name, frozenset(labels.items())))

    return ask


@pytest.fixture
def busy(resources):
    """A training of 8 GiB beside a foreign process on cuda:0, a simulated cuda:1 and a node that is gone."""
    request = LeaseRequest("t1.1", "t1", WorkKind.TRAINING, "cuda", 5, START)
    lease = make_lease(request, "cuda:0", memory_bytes=8 * GIB)
    processes = ((11, "t1", 6 * GIB), (12, "foreign", 3 * GIB), (13, "foreign", GIB))
    devices = (
        make_device_view("cuda:0", leases=(lease,), allocated_bytes=10 * GIB, processes=processes),
        make_device_view("cuda:1", simulated=True),
        make_device_view("cpu:0", is_present=False),
    )
    resources.current = ResourceView(START, devices, waiting=4, oldest_wait_s=12.5)


async def test_the_type_is_that_of_the_text_format(client):
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "since the supervisor's process began" in answer.text


@pytest.mark.usefixtures("busy")
async def test_devices_tell_shares_limits_leases_and_whether_they_are_real(read):
    value = await read()
    assert value("rfuav_device_share_units", **CUDA) == 7_500
    assert value("rfuav_device_held_units", **CUDA) == 1_500
    assert value("rfuav_device_limit", **CUDA, work="inference") == 3
    assert (value("rfuav_device_leases", **CUDA, work="training"), value("rfuav_device_leases", **CUDA, work="inference")) == (1, 0)
    assert value("rfuav_device_present", **CUDA) == 1
    assert value("rfuav_device_present", device="cpu:0", kind="cpu", simulated="false") == 0
    assert value("rfuav_device_present", device="cuda:1", kind="cuda", simulated="true") == 1


@pytest.mark.usefixtures("busy")
async def test_memory_is_told_by_device_task_and_for_all_others(read):
    value = await read()
    assert value("rfuav_device_memory_total_bytes", **CUDA) == 24 * GIB
    assert value("rfuav_device_memory_used_bytes", **CUDA) == 10 * GIB
    assert value("rfuav_device_memory_foreign_bytes", **CUDA) == 4 * GIB
    assert value("rfuav_task_memory_budget_bytes", **CUDA, task_id="t1") == 8 * GIB


@pytest.mark.usefixtures("busy")
async def test_the_line_tells_its_length_and_its_oldest_wait(read):
    value = await read()
    assert (value("rfuav_line_length"), value("rfuav_line_oldest_wait_seconds")) == (4, 12.5)


async def test_attempts_tasks_and_waits_are_counted(client, read, tasks):
    for task_id in ("t1", "t2", "t3"):
        await client.post("/api/v2/training/start", json=bodies.training(task_id=task_id))
    tasks.grant("t1", "cuda:0")
    tasks.finish("t1")
    tasks.grant("t2", "cuda:0")
    await tasks.end("t2", EndMode.KILL)
    tasks.finish("t2", "stopped")
    value = await read()
    assert [value("rfuav_attempts_total", outcome=word) for word in ("completed", "cancelled", "died", "preempted")] == [1, 1, 0, 0]
    assert [value("rfuav_tasks", state=word) for word in ("completed", "cancelled", "pending", "running")] == [1, 1, 1, 0]
    # The fake's clock makes one step a second: the first waited 3 s, the second 4 s.
    assert value("rfuav_task_wait_seconds_count", work="training") == 2
    assert value("rfuav_task_wait_seconds_sum", work="training") == 7
    assert value("rfuav_task_wait_seconds_bucket", work="training", le="1.0") == 0
    assert value("rfuav_task_wait_seconds_bucket", work="training", le="+Inf") == 2


async def test_requests_are_counted_by_template_method_and_status(client, read):
    ok = {"route": "/api/v2/tasks/{task_id}", "method": "GET", "status": "404"}
    lost = {"route": NO_ROUTE, "method": "GET", "status": "404"}
    gate = {"route": NO_ROUTE, "method": "GET", "status": "400"}
    before = await read()
    await client.get("/api/v2/tasks/one")
    await client.get("/api/v2/tasks/two")
    await client.get("/nowhere/at/all")
    await client.get("/api/v2/tasks", headers={"Host": "evil.example"})
    await client.request("BREW", "/metrics")
    after = await read()

    def growth(name, **labels):
        return after(name, **labels) - (before(name, **labels) or 0)

    assert [growth("rfuav_requests_total", **labels) for labels in (ok, lost, gate)] == [2, 1, 1]
    assert growth("rfuav_request_seconds_count", route=ok["route"], method="GET") == 2
    assert after("rfuav_requests_total", route="/metrics", method="other", status="405") >= 1


async def test_an_error_of_ours_counts_as_a_500(client, read, tasks):
    tasks.refusals.append(RuntimeError("broken"))
    before = await read()
    labels = {"route": "/api/v2/training/start", "method": "POST", "status": "500"}
    assert (await client.post("/api/v2/training/start", json=bodies.training())).status_code == 500
    after = await read()
    assert after("rfuav_requests_total", **labels) == (before("rfuav_requests_total", **labels) or 0) + 1


@pytest.mark.parametrize("away", ["accountant", "supervisor"])
async def test_what_is_away_is_told_and_the_rest_is_given(read, tasks, resources, away):
    (resources if away == "accountant" else tasks).is_ready = False
    value = await read()
    is_there = {
        "accountant": value("rfuav_line_length") is not None,
        "supervisor": value("rfuav_tasks", state="running") is not None,
    }
    assert is_there == {component: component != away for component in is_there}
    assert {component: value("rfuav_up", component=component) for component in is_there} == is_there


async def test_a_component_that_hangs_is_away_before_the_collector_gives_up(read, resources, monkeypatch):
    async def hang():
        await asyncio.Event().wait()

    monkeypatch.setattr(metrics, "MOST_WAIT_S", 0.05)
    monkeypatch.setattr(resources, "view", hang)
    value = await read()
    assert (value("rfuav_up", component="accountant"), value("rfuav_up", component="supervisor")) == (0, 1)
    assert metrics.MOST_WAIT_S < 2


async def test_label_values_are_escaped(read, tasks, resources):
    request = LeaseRequest("r", 'a"b\\c\n', WorkKind.TRAINING, "cuda", 5, START)
    devices = (make_device_view("cuda:0", leases=(make_lease(request, "cuda:0", memory_bytes=1),)),)
    resources.current = ResourceView(START, devices, waiting=0, oldest_wait_s=0.0)
    value = await read()
    assert value("rfuav_task_memory_budget_bytes", **CUDA, task_id='a"b\\c\n') == 1


FIRST = {"model": "drones", "version": "1"}


class TestPredictions:
    @pytest.fixture(autouse=True)
    async def registered(self, models):
        await models.put(make_version())

    async def predict(self, client, **params):
        return await client.post("/api/v2/predict", params=params, content=b"picture", headers={"content-type": "image/png"})

    async def test_answers_errors_and_where_their_time_went_are_counted_by_version(self, client, read, predictor):
        await self.predict(client)
        await self.predict(client)
        predictor.error = ServingFullError("full")
        await self.predict(client)
        value = await read()
        assert value("rfuav_predictions_total", **FIRST, outcome="ok") == 2
        assert value("rfuav_predictions_total", **FIRST, outcome="serving_full") == 1
        assert value("rfuav_prediction_cache_hits_total", **FIRST) == 0
        for stage, total in (("queue", 0.002), ("preprocess", 0.004), ("forward", 0.006)):
            assert value(f"rfuav_prediction_{stage}_seconds_count", **FIRST) == 2
            assert value(f"rfuav_prediction_{stage}_seconds_sum", **FIRST) == pytest.approx(total)
        assert value("rfuav_prediction_forward_seconds_bucket", **FIRST, le="0.0025") == 0
        assert value("rfuav_prediction_forward_seconds_bucket", **FIRST, le="0.005") == 2
        assert value("rfuav_prediction_batch_size_bucket", **FIRST, le="1") == 2

    async def test_tensors_and_those_whose_caller_gave_up_count_too(self, client, read, predictor):
        tensor = {"name": "input", "datatype": "FP32", "shape": [1, 3, 32, 32], "data": [0] * 3072}
        assert (await client.post("/v2/models/drones/infer", json={"inputs": [tensor]})).status_code == 200
        predictor.gate.clear()
        await client.post("/v2/models/drones/infer", json={"inputs": [tensor]}, headers={"x-request-timeout": "0.5"})
        value = await read()
        assert value("rfuav_predictions_total", **FIRST, outcome="ok") == 1
        assert value("rfuav_predictions_total", **FIRST, outcome="cancelled") == 1

    async def test_nobody_can_make_up_a_line_and_versions_that_are_gone_have_none(self, client, read, models, app):
        await models.put(make_version(version=2))
        await self.predict(client, model="drones@2")
        for name in ("birds", "drones@7", "drones@nothing"):
            await self.predict(client, model=name)
        value = await read()
        assert value("rfuav_predictions_total", model="drones", version="2", outcome="ok") == 1
        assert set(app.state.service.predictions.tally.versions) == {("drones", 2)}
        await models.delete("drones", 2)
        await app.state.service.models.refresh()
        value = await read()
        assert value("rfuav_predictions_total", model="drones", version="2", outcome="ok") is None


async def test_replicas_and_loaded_versions_are_told_by_device(read, resources):
    models = (LoadedModel("drones", 2, "bfloat16", GIB), LoadedModel("birds", 1, "float32", GIB))
    reports = tuple(
        ReplicaReport(f"r{number}", "node-1", DeviceKind.GPU, 0, Presence(number, 1.0), 0, 0, models[:number], ongoing=2)
        for number in (1, 2)
    )
    resources.current = ResourceView(START, (make_device_view("cuda:0", replicas=reports),), waiting=0, oldest_wait_s=0.0)
    value = await read()
    assert (value("rfuav_serving_replicas", **CUDA), value("rfuav_serving_replicas_most", **CUDA)) == (2, 2)
    assert value("rfuav_serving_ongoing", **CUDA) == 4
    drones = {"model": "drones", "version": "2", "precision": "bfloat16"}
    assert value("rfuav_model_replicas", **CUDA, **drones) == 2
    assert value("rfuav_model_memory_bytes", **CUDA, **drones) == 2 * GIB


async def test_what_went_by_the_limits_of_retention_is_counted(read, tasks, monkeypatch):
    counted = await tasks.counters()
    monkeypatch.setattr(tasks, "counters", lambda: asyncio.sleep(0, replace(counted, removed={"tasks": 3, "logs": 0})))
    value = await read()
    assert [value("rfuav_removed_total", what=what) for what in ("tasks", "logs", "checkpoints")] == [3, 0, None]
