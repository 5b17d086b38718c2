"""Health, info, devices, the processor, limits, and the OpenAPI document."""

import pytest
from pydantic import TypeAdapter

from actors.core.model import GIB, DeviceKind, LeaseRequest, WorkKind
from actors.messages import Difference, LoadedModel, ReplicaReport, ResourceView
from actors.presence import Presence
from serve_app.cpu_meter import SHORTEST_INTERVAL_S, CpuMeter
from serve_app.schemas.resources import CheckResponse, CpuResponse, GpuResponse, ResourceConfigResponse, ResourceResponse
from serve_app.schemas.system import HealthResponse, InfoResponse, RootResponse
from tests.fakes import START, make_device_view, make_lease
from tests.http import bodies

pytestmark = pytest.mark.anyio

TRAINING, INFERENCE = WorkKind.TRAINING, WorkKind.INFERENCE
NONE = {"training": 0, "inference": 0}


def make_request(task_id, work):
    return LeaseRequest(f"{task_id}.1", task_id, work, "cuda", 5, START)


@pytest.fixture
def busy(resources):
    """One training and two inferences on cuda:0, one training on the CPU; cuda:1 is simulated and idle."""
    gpu_leases = (
        make_lease(make_request("t1", TRAINING), "cuda:0", memory_bytes=8 * GIB),
        make_lease(make_request("i1", INFERENCE), "cuda:0", units=300, memory_bytes=GIB),
        make_lease(make_request("i2", INFERENCE), "cuda:0", units=300, memory_bytes=GIB),
    )
    cpu_leases = (make_lease(make_request("t2", TRAINING), "cpu:0", units=1_200, memory_bytes=0),)
    processes = ((11, "t1", 6 * GIB), (12, "foreign", 3 * GIB))
    devices = (
        make_device_view("cuda:0", leases=gpu_leases, allocated_bytes=9 * GIB, utilization=70, processes=processes, power_w=120.5),
        make_device_view("cuda:1", simulated=True),
        make_device_view("cpu:0", leases=cpu_leases),
    )
    resources.current = ResourceView(START, devices, waiting=4, oldest_wait_s=12.5, cuda_version="13.0")
    return resources


class TestResources:
    @pytest.mark.usefixtures("busy")
    async def test_usage_is_told_for_each_gpu_and_for_all(self, client):
        body = ResourceResponse(**(await client.get("/api/v2/resources")).json())
        usage = {name: counts.model_dump() for name, counts in body.device_usage.items()}
        assert usage == {
            "cuda": {"training": 1, "inference": 2},
            "cuda:0": {"training": 1, "inference": 2},
            "cuda:1": NONE,
            "cpu": {"training": 1, "inference": 0},
        }
        assert (body.queue.length, body.queue.oldest_wait_s) == (4, 12.5)

    @pytest.mark.usefixtures("busy")
    async def test_limits_and_holders_are_told_by_the_same_names(self, client):
        body = (await client.get("/api/v2/resources")).json()
        gpu, cpu = {"training": 1, "inference": 3}, {"training": 2, "inference": 4}
        assert body["limits"] == {"cuda": gpu, "cuda:0": gpu, "cuda:1": gpu, "cpu": cpu}
        assert body["active_tasks"] == {
            "cuda:0": [{"id": "t1", "type": "training"}, {"id": "i1", "type": "inference"}, {"id": "i2", "type": "inference"}],
            "cuda:1": [],
            "cpu": [{"id": "t2", "type": "training"}],
        }

    @pytest.mark.usefixtures("busy")
    async def test_devices_tell_shares_leases_serving_and_foreign_processes(self, client):
        body = ResourceResponse(**(await client.get("/api/v2/resources")).json())
        first, second, cpu = body.devices
        assert (first.share, first.held, first.free) == (0.75, 0.21, 0.54)
        assert (first.serving.gpu_fraction, first.serving.max_replicas) == (0.25, 2)
        lease = first.leases[0]
        assert (len(first.leases), lease.task_id, lease.gpu_fraction, lease.memory_gb) == (3, "t1", 0.15, 8.0)
        assert [process.pid for process in first.foreign_processes] == [12]
        assert (second.simulated, second.leases, cpu.cores, cpu.kind) == (True, [], 4, "cpu")

    @pytest.mark.usefixtures("busy")
    async def test_memory_of_each_gpu_is_told(self, client):
        body = (await client.get("/api/v2/resources")).json()
        assert body["gpu_memory_info"] == {
            "GPU_0": {"total_gb": 24.0, "allocated_gb": 9.0, "free_gb": 15.0},
            "GPU_1": {"total_gb": 24.0, "allocated_gb": 0.0, "free_gb": 24.0},
        }

    async def test_replicas_are_told_with_what_they_hold_and_whether_their_device_is_simulated(self, client, resources):
        models = (LoadedModel("drones", 2, "bfloat16", GIB, requests=7),)
        report = ReplicaReport("r1", "node-1", DeviceKind.GPU, 1, Presence(13, 1.0), 2 * GIB, 3 * GIB, models, ongoing=4)
        processes = ((13, "r1", 2 * GIB), (14, "foreign", GIB))
        devices = (make_device_view("cuda:1", simulated=True, replicas=(report,), processes=processes),)
        resources.current = ResourceView(START, devices, waiting=0, oldest_wait_s=0.0)
        body = ResourceResponse(**(await client.get("/api/v2/resources")).json())
        (replica,) = body.devices[0].serving.replicas
        assert (replica.id, replica.pid, replica.device, replica.simulated, replica.ready) == ("r1", 13, "cuda:1", True, True)
        assert (replica.memory_gb, replica.memory_budget_gb, replica.ongoing) == (2.0, 3.0, 4)
        (model,) = replica.models
        assert (model.model, model.version, model.precision, model.memory_gb, model.requests) == ("drones", 2, "bfloat16", 1.0, 7)
        told = [(each.pid, each.task_id, each.replica, each.foreign) for each in body.gpu_info.devices[0].processes]
        assert told == [(13, None, "r1", False), (14, None, None, True)]

    async def test_several_cpus_are_told_one_by_one_too(self, client, resources):
        lease = make_lease(make_request("t1", TRAINING), "cpu:1")
        devices = (make_device_view("cpu:0"), make_device_view("cpu:1", leases=(lease,)))
        resources.current = ResourceView(START, devices, waiting=0, oldest_wait_s=0.0)
        body = (await client.get("/api/v2/resources")).json()
        one = {"training": 1, "inference": 0}
        assert body["device_usage"] == {"cuda": NONE, "cpu": one, "cpu:0": NONE, "cpu:1": one}
        assert (body["limits"]["cuda"], body["gpu_info"]["available"], body["gpu_info"]["count"]) == (NONE, False, 0)

    async def test_devices_of_a_lost_node_are_marked_and_not_counted(self, client, resources):
        devices = (make_device_view("cuda:0", is_present=False), make_device_view("cpu:0"))
        resources.current = ResourceView(START, devices, waiting=0, oldest_wait_s=0.0)
        body = (await client.get("/api/v2/resources")).json()
        assert [device["present"] for device in body["devices"]] == [False, True]
        assert (body["gpu_info"]["count"], "cuda:0" in body["device_usage"]) == (0, False)

    @pytest.mark.usefixtures("busy")
    async def test_a_card_is_told_as_its_driver_sees_it(self, client):
        body = GpuResponse(**(await client.get("/api/v2/resources/gpu")).json())
        assert (body.available, body.count, body.cuda_version) == (True, 2, "13.0")
        assert body.pytorch_version[0].isdigit()
        first, second = body.devices
        assert (first.id, first.device_name, first.name, first.utilization, first.power_w) == (0, "cuda:0", "Some GPU", 70, 120.5)
        assert (first.total_memory_gb, first.allocated_memory_gb, first.free_memory_gb) == (24.0, 9.0, 15.0)
        assert [(each.pid, each.task_id, each.foreign) for each in first.processes] == [(11, "t1", False), (12, None, True)]
        assert (second.simulated, second.current_tasks.model_dump()) == (True, NONE)

    async def test_while_the_accountant_is_away_views_are_not_ready(self, client, resources):
        resources.is_ready = False
        for path in ("/api/v2/resources", "/api/v2/resources/gpu", "/api/v2/resources/check", "/api/v1/info"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


class TestBooks:
    async def test_books_that_agree_say_so(self, client):
        body = CheckResponse(**(await client.get("/api/v2/resources/check")).json())
        assert (body.agrees, body.differences) == (True, [])

    async def test_each_difference_is_told_with_both_sides(self, client, resources):
        resources.differences = (Difference("lease-1", "held by process 12", "no such process"),)
        body = CheckResponse(**(await client.get("/api/v2/resources/check")).json())
        assert [each.model_dump() for each in body.differences] == [
            {"subject": "lease-1", "ledger": "held by process 12", "found": "no such process"}
        ]
        assert not body.agrees


class TestLimits:
    async def test_limits_are_merged_and_told(self, client):
        answer = await client.post(
            "/api/v2/resources/config", json={"max_concurrent": {"cuda": {"training": 2}, "cpu": {"inference": 0}}}
        )
        config = ResourceConfigResponse(**answer.json()).current_config
        assert config["cuda"].model_dump() == config["cuda:1"].model_dump() == {"training": 2, "inference": 3}
        assert config["cpu"].model_dump() == {"training": 2, "inference": 0, "preprocessing": 2}

    async def test_the_limit_of_preprocessing_is_a_cpus(self, client):
        answer = await client.post("/api/v2/resources/config", json={"max_concurrent": {"cpu": {"preprocessing": 5}}})
        assert answer.json()["current_config"]["cpu"] == {"training": 2, "inference": 4, "preprocessing": 5}
        assert "preprocessing" not in answer.json()["current_config"]["cuda:0"]

    async def test_a_device_of_its_own_wins_over_its_kind_in_any_order(self, client):
        limits = {"cuda:1": {"training": 5}, "cuda": {"training": 2}}
        config = (await client.post("/api/v2/resources/config", json={"max_concurrent": limits})).json()["current_config"]
        assert [config[name]["training"] for name in ("cuda:0", "cuda:1", "cuda")] == [2, 5, 5]

    @pytest.mark.parametrize("number", [0, 64])
    async def test_the_bounds_themselves_are_taken(self, client, number):
        answer = await client.post("/api/v2/resources/config", json={"max_concurrent": {"cpu": {"training": number}}})
        assert answer.json()["current_config"]["cpu"]["training"] == number


class TestHealth:
    @pytest.mark.usefixtures("busy")
    async def test_all_components_are_told_with_state_and_latency(self, client):
        body = HealthResponse(**(await client.get("/api/v1/health")).json())
        assert (body.status, body.training_tasks, body.inference_tasks, body.active_log_streams) == ("healthy", 2, 2, 0)
        assert set(body.components) == {"accountant", "supervisor", "log_hub", "predictor", "store"}
        assert (body.components["store"].latency_ms, body.components["predictor"].state) == (1.25, "not_deployed")
        assert (body.resource_status.gpu_available, body.resource_status.gpu_count) == (True, 2)
        assert body.resource_status.device_usage["cuda"].training == 1

    @pytest.mark.parametrize(
        ("component", "state", "status"),
        [
            ("accountant", "unhealthy", "unhealthy"),
            ("supervisor", "starting", "unhealthy"),
            ("store", "unhealthy", "unhealthy"),
            ("log_hub", "unhealthy", "degraded"),
            ("predictor", "unhealthy", "degraded"),
            ("supervisor", "restarting", "degraded"),
            ("store", "not_deployed", "healthy"),
        ],
    )
    async def test_the_word_for_all_follows_what_is_missing(self, client, health, component, state, status):
        health.states[component] = state
        assert (await client.get("/api/v1/health")).json()["status"] == status

    async def test_health_answers_while_the_accountant_does_not(self, client, resources):
        resources.is_ready = False
        answer = await client.get("/api/v1/health")
        assert (answer.status_code, answer.json()["resource_status"]["gpu_count"]) == (200, 0)


class TestInfo:
    @pytest.mark.usefixtures("busy")
    async def test_info_names_models_versions_and_whether_gpus_are_real(self, client):
        body = InfoResponse(**(await client.get("/api/v1/info")).json())
        assert {"resnet18", "vit_h_14", "vgg19_bn"} <= set(body.supported_models)
        assert (body.gpu_available, body.simulated, body.cuda) == (True, True, "13.0")
        assert body.torch
        assert body.ray

    async def test_the_root_lists_every_route(self, client):
        body = RootResponse(**(await client.get("/")).json())
        listed = {(route.method, route.path) for route in body.routes}
        assert ("POST", "/api/v2/training/start") in listed
        assert {route.path for route in body.routes if route.deprecated} >= {
            "/api/v1/train",
            "/api/v2/inference",
            "/api/v1/tasks/{task_id}",
        }


class TestCpu:
    async def test_figures_are_numbers(self, client):
        body = CpuResponse(**(await client.get("/api/v2/resources/cpu")).json())
        assert body.cores == len(body.per_cpu_percent) >= 1
        assert set(body.load_avg) == {"1", "5", "15"}

    async def test_busy_time_is_counted_from_reading_to_reading(self):
        times = iter([[(0.0, 0.0), (5.0, 10.0)], [(3.0, 4.0), (5.0, 14.0)], [(3.0, 8.0), (9.0, 18.0)]])
        clock = iter([0.0, 1.0, 1.0, 2.0, 2.0])
        meter = CpuMeter(read=lambda: next(times), clock=lambda: next(clock))
        assert (meter.read().per_cpu_percent, meter.read().per_cpu_percent) == ((75.0, 0.0), (0.0, 100.0))

    async def test_readings_close_together_share_one_figure(self):
        times = iter([[(0.0, 0.0)], [(1.0, 2.0)]])
        clock = iter([0.0, 1.0, 1.0, 1.0 + SHORTEST_INTERVAL_S / 2])
        meter = CpuMeter(read=lambda: next(times), clock=lambda: next(clock))
        assert meter.read().percent == meter.read().percent == 50.0


class TestOpenApi:
    @pytest.fixture
    def document(self, built_app):
        return built_app.openapi()

    async def test_it_is_not_sent_again_to_those_who_have_it(self, client, built_app):
        first = await client.get("/openapi.json")
        assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
        assert first.json() == built_app.openapi()
        assert (first.headers["cache-control"], first.headers["x-content-type-options"]) == ("no-cache", "nosniff")
        again = await client.get("/openapi.json", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert (await client.get("/openapi.json", headers={"If-None-Match": '"other"'})).content == first.content

    async def test_every_route_of_the_contract_is_there(self, document):
        wanted = {
            "/api/v1/health": "get",
            "/api/v1/info": "get",
            "/api/v2/training/start": "post",
            "/api/v2/training/{task_id}": "get",
            "/api/v2/training/{task_id}/logs": "get",
            "/api/v2/training/{task_id}/stop": "post",
            "/api/v2/inference/start": "post",
            "/api/v2/inference/batch": "post",
            "/api/v2/inference/{task_id}": "get",
            "/api/v2/tasks": "get",
            "/api/v2/tasks/{task_id}": "delete",
            "/api/v2/tasks/{task_id}/logs": "get",
            "/api/v2/tasks/{task_id}/cancel": "post",
            "/api/v2/resources": "get",
            "/api/v2/resources/gpu": "get",
            "/api/v2/resources/cpu": "get",
            "/api/v2/resources/check": "get",
            "/api/v2/resources/config": "post",
            "/api/v2/tasks/{task_id}/kill": "post",
            "/api/v2/tasks/{task_id}/history": "get",
            "/api/v2/tasks/{task_id}/leases": "get",
            "/metrics": "get",
        }
        assert [path for path, method in wanted.items() if method not in document["paths"].get(path, {})] == []

    async def test_defaults_and_bounds_are_those_of_the_contract(self, document):
        fields = document["components"]["schemas"]["TrainingRequest"]["properties"]
        defaults = {name: field.get("default") for name, field in fields.items()}
        assert defaults.items() >= {"batch_size": 8, "num_epochs": 100, "image_size": 224, "device": "cuda", "priority": 5}.items()
        assert (fields["num_classes"]["minimum"], fields["image_size"]["minimum"], fields["learning_rate"]["exclusiveMinimum"]) == (
            1,
            32,
            0,
        )
        required = document["components"]["schemas"]["TrainingRequest"]["required"]
        assert required == ["model", "num_classes", "train_path", "val_path", "save_path"]

    async def test_all_errors_have_the_one_body_and_those_of_the_protocol_its_own(self, document):
        for path, operations in document["paths"].items():
            wanted = "ProtocolError" if path.startswith("/v2") else "ErrorResponse"
            errors = [answer for each in operations.values() for status, answer in each["responses"].items() if status >= "400"]
            schemas = [answer["content"]["application/json"]["schema"] for answer in errors]
            assert schemas == [{"$ref": f"#/components/schemas/{wanted}"}] * len(errors)
        assert "HTTPValidationError" not in document["components"]["schemas"]

    @pytest.mark.usefixtures("busy")
    async def test_answers_hold_exactly_the_fields_of_their_models(self, client, built_app):
        await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))
        for path in ("/", "/api/v1/health", "/api/v1/info", "/api/v2/tasks", "/api/v2/tasks/t1", "/api/v2/resources"):
            template = path.replace("t1", "{task_id}")
            schema = built_app.openapi()["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            reference = schema.get("anyOf", [schema])[0]["$ref"]  # health is told in full first, then in brief
            model = built_app.openapi()["components"]["schemas"][reference.rpartition("/")[2]]
            answer = TypeAdapter(dict).validate_json((await client.get(path)).content)
            assert set(answer) == set(model["properties"]) == set(model["required"])
