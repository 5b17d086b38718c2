"""Triton's own client, unmodified, against a real service."""

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.service.http_client import Http
from tests.service.test_promotion import CONFIG, write_constant

pytestmark = pytest.mark.service
MODEL = "for-triton"


@pytest.fixture(scope="module")
def registered(service):
    folder = service.data_root / MODEL
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    write_constant(folder / "weights.pth", 1)
    body = {"name": MODEL, "cfg_path": f"{MODEL}/config.yaml", "weight_path": f"{MODEL}/weights.pth", "alias": "production"}
    return Http(service.url, service.data_root).post("/api/v2/models", body)


@pytest.fixture
def client(service, registered):
    made = triton.InferenceServerClient(service.url.removeprefix("http://"))
    yield made
    made.close()


def test_the_server_and_the_model_are_ready_and_tell_what_they_take(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    told = client.get_model_metadata(MODEL)
    assert told["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
    assert [(each["name"], each["datatype"], each["shape"]) for each in told["outputs"]] == [("probabilities", "FP32", [-1, 2])]


@pytest.mark.parametrize("is_binary", [True, False])
def test_tensors_are_answered_in_json_and_in_binary(client, is_binary):
    pictures = triton.InferInput("input", [3, 3, 32, 32], "FP32")
    values = np.random.default_rng(0).random((3, 3, 32, 32), np.float32)
    pictures.set_data_from_numpy(values, binary_data=is_binary)
    wanted = [triton.InferRequestedOutput("probabilities", binary_data=is_binary)]
    found = client.infer(MODEL, [pictures], outputs=wanted, request_id="seven")
    assert found.get_response()["id"] == "seven"
    probabilities = found.as_numpy("probabilities")
    assert (probabilities.shape, probabilities.dtype) == ((3, 2), np.float32)
    np.testing.assert_allclose(probabilities, [[1 / (1 + np.exp(8)), 1 / (1 + np.exp(-8))]] * 3, rtol=1e-3)


def test_what_is_wrong_with_a_tensor_is_told(client):
    pictures = triton.InferInput("input", [1, 3, 16, 16], "FP32")
    pictures.set_data_from_numpy(np.zeros((1, 3, 16, 16), np.float32))
    with pytest.raises(InferenceServerException, match="input"):
        client.infer(MODEL, [pictures])
