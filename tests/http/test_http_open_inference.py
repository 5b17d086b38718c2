"""The Open Inference Protocol: with an unmodified client of Triton over a real socket, and what that client cannot send in process."""

import asyncio
import gzip
import json
import re
import socket
import threading
import time
import zlib

import jsonschema_rs
import numpy as np
import pytest
import tritonclient.http as triton
import uvicorn
from tritonclient.utils import InferenceServerException

from actors.access import Role
from actors.core.errors import ServingFullError
from actors.online.orders import TensorAnswer, Timing
from configs.settings import Settings
from serve_app.app import create_app
from serve_app.context import Ports
from serve_app.json_tensors import MOST_HEADER_BYTES, TensorTextError, cut_out_arrays, read_numbers
from tests.fake_serving import CLASSES, FakeModels, FakePredictor, make_version
from tests.fakes import FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks
from tests.http.callers import sent

SIDE = 32
SHAPE = [2, 3, SIDE, SIDE]
INFER = "/v2/models/drones/infer"


def pictures(shape=SHAPE):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


class World:
    """An application with its fakes; the predictor answers by the mean of each picture."""

    def __init__(self):
        self.models, self.predictor, self.health = FakeModels(), Averaging(), FakeHealth()
        self.health.states["predictor"] = "healthy"
        ports = Ports(FakeTasks(), FakeLogs(), FakeResources(), self.health, FakeAccess(), self.models, self.predictor)
        self.app = create_app(ports, Settings(app_name="RFUAV", version="3.0.0"))
        asyncio.run(self.models.put(make_version(version=1), make_version(version=2), aliases={"production": 1, "candidate": 2}))


class Averaging(FakePredictor):
    """Tells what reached it: the first class has the mean of the picture."""

    async def infer(self, order):
        await self._begin(order)
        rows = np.zeros((len(order.inputs), len(order.model.class_names)), np.float32)
        rows[:, 0] = order.inputs.mean(axis=(1, 2, 3))
        return TensorAnswer(order.model.name, order.model.version, rows, Timing(0.0, 0.0, 0.0, (len(rows),)))


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def served(world):
    """The address of the application on a socket."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(world.app, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
    listening.close()


@pytest.fixture
def clean(world):
    world.predictor.error = None
    world.predictor.orders.clear()
    world.health.states["predictor"] = "healthy"


@pytest.fixture
def client_of_triton(served, clean):
    with triton.InferenceServerClient(served) as client:
        yield client


def batch(values, *, is_binary, name="input", datatype="FP32"):
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=is_binary)
    return [tensor]


class TestTritonsClient:
    def test_the_server_is_live_and_ready_and_tells_what_it_is(self, client_of_triton):
        assert client_of_triton.is_server_live()
        assert client_of_triton.is_server_ready()
        about = client_of_triton.get_server_metadata()
        assert (about["name"], about["version"], about["extensions"]) == ("RFUAV", "3.0.0", ["binary_tensor_data"])

    def test_without_a_replica_neither_the_server_nor_a_model_is_ready(self, client_of_triton, world):
        world.health.states["predictor"] = "unhealthy"
        wait_until(lambda: not client_of_triton.is_server_ready())
        assert client_of_triton.is_server_live()
        assert not client_of_triton.is_model_ready("drones")
        world.health.states["predictor"] = "healthy"
        wait_until(client_of_triton.is_server_ready)

    @pytest.mark.parametrize(("model", "version"), [("drones", ""), ("drones", "2"), ("drones@candidate", "")])
    def test_a_model_tells_its_tensors(self, client_of_triton, model, version):
        about = client_of_triton.get_model_metadata(model, version)
        assert (about["name"], about["versions"]) == ("drones", ["1", "2"])
        assert about["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3, SIDE, SIDE]}]
        assert about["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, len(CLASSES)]}]
        assert json.loads(about["parameters"]["classes"]) == list(CLASSES)
        assert about["parameters"]["version"] == ("2" if version or "@" in model else "1")
        assert client_of_triton.is_model_ready(model, version)

    def test_the_repository_is_listed(self, client_of_triton):
        found = client_of_triton.get_model_repository_index()
        assert [(each["name"], each["version"], each["state"]) for each in found] == [
            ("drones", "1", "READY"),
            ("drones", "2", "READY"),
        ]

    @pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
    @pytest.mark.parametrize("wants_binary", [True, False, None], ids=["binary answer", "json answer", "no wish"])
    @pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
    def test_tensors_arrive_as_they_were_sent(self, client_of_triton, world, is_binary, wants_binary, packing):
        values = pictures()
        outputs = None if wants_binary is None else [triton.InferRequestedOutput("probabilities", binary_data=wants_binary)]
        answer = client_of_triton.infer(
            "drones", batch(values, is_binary=is_binary), outputs=outputs, request_id="r-1", request_compression_algorithm=packing
        )
        (order,) = world.predictor.orders
        np.testing.assert_array_equal(order.inputs, values)
        assert (order.inputs.dtype, order.model.version, order.may_follow) == (np.float32, 1, True)
        told = answer.get_response()
        assert (told["model_name"], told["model_version"], told["id"]) == ("drones", "1", "r-1")
        np.testing.assert_allclose(answer.as_numpy("probabilities")[:, 0], values.mean(axis=(1, 2, 3)), rtol=1e-6)
        assert ("data" in told["outputs"][0]) is (wants_binary is False)

    def test_a_version_is_asked_by_its_number(self, client_of_triton, world):
        answer = client_of_triton.infer("drones", batch(pictures(), is_binary=True), model_version="2")
        assert answer.get_response()["model_version"] == "2"
        assert world.predictor.orders[0].may_follow is False

    @pytest.mark.parametrize(
        ("ask", "status", "word"),
        [
            (lambda each: each.infer("birds", batch(pictures(), is_binary=True)), "404", "birds"),
            (lambda each: each.infer("drones", batch(pictures(), is_binary=True), model_version="9"), "404", "versions: 1, 2"),
            (lambda each: each.infer("drones", batch(pictures(), is_binary=True, name="x")), "400", "'input'"),
            (lambda each: each.infer("drones", batch(pictures([1, 3, 8, 8]), is_binary=True)), "400", f"[-1, 3, {SIDE}, {SIDE}]"),
            (lambda each: each.infer("drones", batch(pictures().astype("f8"), is_binary=True, datatype="FP64")), "400", "FP32"),
            (lambda each: each.get_model_metadata("birds"), "404", "birds"),
            (lambda each: each.get_model_config("drones"), "404", "/v2/models/drones/config"),
        ],
    )
    def test_errors_are_told_as_this_client_reads_them(self, client_of_triton, ask, status, word):
        with pytest.raises(InferenceServerException) as caught:
            ask(client_of_triton)
        assert caught.value.status() == status
        assert word in caught.value.message()

    def test_a_full_service_is_told(self, client_of_triton, world):
        world.predictor.error = ServingFullError("every replica has enough")
        with pytest.raises(InferenceServerException, match="every replica has enough") as caught:
            client_of_triton.infer("drones", batch(pictures(), is_binary=True))
        assert caught.value.status() == "429"


def wait_until(condition, seconds=5.0):
    """The state of the components may be a second old."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end


def body(**changes):
    data = [0.5] * int(np.prod(SHAPE))
    return {"inputs": [{"name": "input", "datatype": "FP32", "shape": SHAPE, "data": data} | changes]}


@pytest.mark.anyio
class TestInProcess:
    @pytest.fixture
    def settings(self):
        return Settings(max_predict_mb=1)

    @pytest.fixture(autouse=True)
    async def registered(self, models):
        await models.put(make_version())

    async def refusal(self, client, content, **headers):
        answer = await client.post(INFER, content=content, headers={"content-type": "application/json"} | headers)
        assert list(answer.json()) == ["error"]
        return answer.status_code, answer.json()["error"]

    async def test_data_may_be_nested(self, client, predictor):
        values = pictures().round(3)
        answer = await client.post(INFER, json=body(data=values.tolist()))
        assert answer.status_code == 200, answer.text
        np.testing.assert_array_equal(predictor.orders[0].inputs, values)
        assert answer.json()["outputs"][0] == {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [2, 3],
            "data": [1, 0, 0, 1, 0, 0],
        }
        assert "id" not in answer.json()

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"shape": [1, 3, SIDE]}, "shape"),
            ({"shape": [0, 3, SIDE, SIDE], "data": []}, "at least one"),
            ({"shape": [-1, 3, SIDE, SIDE]}, "at least one"),
            ({"shape": [2**40, 3, SIDE, SIDE], "data": []}, "shape"),
            ({"shape": [2.5, 3, SIDE, SIDE]}, "inputs.0.shape.0"),
            ({"datatype": "UINT8"}, "FP32"),
            ({"name": "images"}, "'input'"),
            ({"data": [0.5]}, "fewer"),
            ({"data": [0.5] * 7000}, "more than"),
            ({"data": ["a"]}, "numbers"),
            ({"data": [None] * 6144}, "numbers"),
            ({"data": 0.5}, "'data'"),
            ({"data": True}, "'data'"),
            ({"data": [1e39] * 6144}, "finite"),
            ({"data": [10**400] * 6144}, "numbers"),
            ({"parameters": {"binary_data_size": 4}}, "24576 bytes"),
            ({"parameters": {"shared_memory_region": "a"}}, "shared memory"),
            ({"parameters": []}, "inputs.0.parameters"),
        ],
    )
    async def test_a_wrong_tensor_is_a_400_that_says_what_is_wrong(self, client, predictor, changes, word):
        text = json.dumps(body(**changes))
        status, message = await self.refusal(client, text)
        assert status == (413 if len(text) > 1 << 20 else 400)
        assert word in message or status == 413
        assert not predictor.orders

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"inputs": []}',
            b'{"inputs": [{}]}',
            b'{"inputs": [{"name": "input", "datatype": "FP32", "shape": [2, 3, 32, 32], "data": [1, 2}]}',
            b'{"inputs": NaN}',
            b'{"a": "' + b"x" * MOST_HEADER_BYTES + b'"}',
            b'{"a": "',
            b"\xff\xfe",
            b"[" * 100_000,
        ],
    )
    async def test_what_is_no_request_is_a_400(self, client, text):
        status, message = await self.refusal(client, text)
        assert (status, bool(message)) == (400, True)

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"outputs": [{"name": "labels"}]}, "'labels'"),
            ({"outputs": [{"name": "probabilities", "parameters": {"classification": 3}}]}, "classes"),
            ({"outputs": [{"name": "probabilities", "parameters": {"binary_data": "yes"}}]}, "binary_data"),
            ({"parameters": {"binary_data_output": 2}}, "binary_data_output"),
            ({"id": 5}, "id"),
        ],
    )
    async def test_a_wrong_wish_is_a_400(self, client, changes, word):
        status, message = await self.refusal(client, json.dumps(body() | changes))
        assert status == 400
        assert word in message

    @pytest.mark.parametrize("length", ["-1", "x", "99999999", "1e3", "٣"])
    async def test_a_wrong_length_of_the_json_is_a_400(self, client, length):
        status, message = await self.refusal(client, b"{}", **{"Inference-Header-Content-Length": length.encode()})
        assert status == 400
        assert "Inference-Header-Content-Length" in message

    async def test_binary_data_must_be_as_long_as_they_say(self, client, predictor):
        values = pictures()
        tensor = {"name": "input", "datatype": "FP32", "shape": SHAPE, "parameters": {"binary_data_size": values.nbytes}}
        text = json.dumps({"inputs": [tensor]}).encode()
        header = {"Inference-Header-Content-Length": str(len(text))}
        for data in (b"", values.tobytes()[:-1], values.tobytes() + b"x"):
            status, message = await self.refusal(client, text + data, **header)
            assert (status, "bytes of binary data" in message) == (400, True)
        answer = await client.post(
            INFER, content=text + values.tobytes(), headers=header | {"content-type": "application/octet-stream"}
        )
        assert answer.status_code == 200, answer.text
        np.testing.assert_array_equal(predictor.orders[0].inputs, values)

    @pytest.mark.parametrize(
        ("packed", "encoding", "status"),
        [
            (b"no", "gzip", 400),
            (gzip.compress(b"{}")[:-3], "gzip", 400),
            (gzip.compress(b"{}") + b"x", "gzip", 400),
            (zlib.compress(b"{}"), "br", 400),
            (gzip.compress(b" " * (3 << 20)), "gzip", 413),
        ],
    )
    async def test_what_cannot_be_unpacked_within_the_limit_is_refused(self, client, packed, encoding, status):
        assert (await self.refusal(client, packed, **{"content-encoding": encoding}))[0] == status

    async def test_the_body_is_limited(self, client):
        assert (await self.refusal(client, b" " * (1 << 20) + b"x"))[0] == 413

    async def test_another_type_is_a_415(self, client):
        assert (await self.refusal(client, b"{}", **{"content-type": "text/plain"}))[0] == 415

    async def test_a_deadline_counts_here_too(self, client, predictor):
        predictor.gate.clear()
        assert (await self.refusal(client, json.dumps(body()), **{"x-request-timeout": "0.05"}))[0] == 504
        assert predictor.cancelled == predictor.orders != []

    @pytest.mark.parametrize("path", ["/v2/models/a@1/versions/2", "/v2/models/drones/versions/x", "/v2/models/drones/versions/-1"])
    async def test_a_version_is_one_number(self, client, path):
        answer = await client.get(path)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])

    async def test_a_predictor_of_which_one_replica_restarts_again_and_again_is_ready(self, client, health):
        health.states["predictor"] = "restarting"
        assert (await client.get("/v2/health/ready")).status_code == 200

    @pytest.mark.usefixtures("keys")
    async def test_only_health_answers_without_a_key(self, client, health, keys):
        health.states["predictor"] = "healthy"
        assert [(await client.get(f"/v2/health/{word}")).status_code for word in ("live", "ready")] == [200, 200]
        assert list((await client.get("/v2")).json()) == ["error"]
        assert (await client.get("/v2", headers=sent(keys[Role.VIEWER]))).status_code == 200


def test_the_document_tells_all_of_it(built_app):
    document = built_app.openapi()
    text = json.dumps(document)
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names <= set(document["components"]["schemas"])
    assert "#/$defs" not in text
    operation = document["paths"]["/v2/models/{model}/infer"]["post"]
    body = operation["requestBody"]["content"]
    assert set(body) == {"application/json", "application/octet-stream"}
    jsonschema_rs.validator_for(body["application/json"]["schema"]).validate(body["application/json"]["example"])
    assert {each["name"] for each in operation["parameters"]} == {"model", "X-Request-Timeout", "Inference-Header-Content-Length"}
    assert {"400", "401", "404", "413", "429", "503", "504"} <= set(operation["responses"])


class TestNumbers:
    def test_arrays_are_cut_out_of_their_fields_and_nowhere_else(self):
        text = b'{"id": "\\"data\\": [1]", "a": [1, 2], "data" : \n[[1,2],[3]], "b": {"data": []}}'
        assert cut_out_arrays(text) == (
            b'{"id": "\\"data\\": [1]", "a": [1, 2], "data":true, "b": {"data":true}}',
            [b"[[1,2],[3]]", b"[]"],
        )

    def test_many_numbers_are_read_in_pieces_just_as_at_once(self):
        values = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
        text = json.dumps({"data": values.reshape(100, 5, 100).tolist()}, indent=1).encode()
        left, (array,) = cut_out_arrays(text)
        assert json.loads(left) == {"data": True}
        np.testing.assert_array_equal(read_numbers(array, 50_000), values)

    @pytest.mark.parametrize(
        "text", [b"[1,]", b"[,1]", b"[1 2]", b"[1][2]", b"[1,[],2]", b"[[1,2]", b"[1-2]", b"[.5]", b"[01]", b"[1,,2]"]
    )
    def test_what_is_no_array_of_numbers_is_refused(self, text):
        with pytest.raises(TensorTextError):
            read_numbers(text, 2 if b"2" in text else 1)

    def test_a_number_without_an_end_is_refused(self):
        with pytest.raises(TensorTextError, match="without an end"):
            read_numbers(b"[" + b"1" * 100_000 + b"]", 1)

    def test_a_long_list_with_a_comma_too_many_is_refused(self):
        array = b"[" + b"0.5," * 20_000 + b"]"
        with pytest.raises(TensorTextError):
            read_numbers(array, 20_000)
