"""Promotions under load: no request fails, no answer mixes versions, and what fails its check never answers."""

import io
import threading

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from actors.learning.zoo import build_model
from tests.service.http_client import Http

pytestmark = pytest.mark.service
#: The class that each version always answers, so that an answer tells which network made it.
ANSWERS = {1: "even", 2: "odd"}
CONFIG = "model: mobilenet_v3_small\nnum_classes: 2\nimage_size: 32\nclass_names: {even: 0, odd: 1}\n"
CLIENTS = 4


def write_constant(path, output):
    """Weights of a network that always answers the same."""
    model = build_model("mobilenet_v3_small", 2)
    weights = model.state_dict()
    head = [name for name in weights if name.endswith(".bias") and weights[name].shape == (2,)][-1]
    weights[head.replace("bias", "weight")].zero_()
    weights[head].copy_(torch.tensor([8.0 if index == output else 0.0 for index in range(2)]))
    torch.save(weights, path)


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, service.data_root)


@pytest.fixture(scope="module")
def switch(service, http):
    """A model with two versions; production is the first."""
    folder = service.data_root / "switch"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    for version in ANSWERS:
        write_constant(folder / f"{version}.pth", version - 1)
        register(http, version, **({"alias": "production"} if version == 1 else {}))
    return folder


def register(http, version, name="switch", **more):
    body = {"name": name, "cfg_path": "switch/config.yaml", "weight_path": f"switch/{version}.pth", **more}
    return http.post("/api/v2/models", body)


def picture():
    content = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(content, "PNG")
    return content.getvalue()


class Load:
    """Clients that ask for the production version, three pictures at a time, until they are stopped."""

    def __init__(self, url, model):
        self._url, self._model = url, model
        self._is_over = threading.Event()
        self._answered = threading.Condition()
        self.answers = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a request hangs"

    def _ask(self):
        files = [("files", (f"{number}.png", picture(), "image/png")) for number in range(3)]
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._is_over.is_set():
                answer = client.post(f"/api/v2/predict?model={self._model}", files=files)
                with self._answered:
                    self.answers.append((answer.status_code, answer.json()))
                    self._answered.notify_all()

    def wait_for_more(self, count=2 * CLIENTS):
        """Wait until so many more requests were answered."""
        with self._answered:
            wanted = len(self.answers) + count
            assert self._answered.wait_for(lambda: len(self.answers) >= wanted, 60), "nothing is answered"

    def check(self):
        """All were answered, each by one version; returns the versions that answered."""
        assert {status for status, _ in self.answers} == {200}, [body for status, body in self.answers if status != 200][:3]
        for _, body in self.answers:
            assert {row["class"] for row in body["predictions"]} == {ANSWERS[body["version"]]}
            assert len(body["predictions"]) == 3
        return {body["version"] for _, body in self.answers}


def promote_often(http, service, count):
    with Load(service.url, "switch") as load:
        for number in range(count):
            version = 2 - number % 2
            answer = http.client.put("/api/v2/models/switch/aliases/production", json={"version": version})
            assert answer.status_code == 200, answer.text
            seen = ask(http, "switch")
            assert (seen["version"], seen["predictions"][0]["class"]) == (version, ANSWERS[version])
    assert load.check() == {1, 2}


def ask(http, model):
    answer = http.client.post(f"/api/v2/predict?model={model}", content=picture(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_ten_promotions_under_load_fail_no_request_and_mix_no_answer(http, service, switch):
    promote_often(http, service, 10)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_promotions_under_load_fail_no_request_and_mix_no_answer(http, service, switch):
    promote_often(http, service, 100)


def test_a_version_that_fails_its_check_never_gets_traffic(http, service, switch):
    for version in (1, 2):  # the one that production means no more is freed, and must be read again
        assert http.client.put("/api/v2/models/switch/aliases/production", json={"version": version}).status_code == 200
    damage(service, http.client.get("/api/v2/models/switch/1").json()["sha256"])
    with Load(service.url, "switch") as load:
        load.wait_for_more()
        answer = http.client.put("/api/v2/models/switch/aliases/production", json={"version": 1})
        load.wait_for_more()
    assert (answer.status_code, answer.json()["code"]) == (409, "model_check_failed")
    assert http.client.get("/api/v2/models/switch").json()["aliases"] == {"production": 2}
    assert load.check() == {2}


def test_weights_that_cannot_answer_are_refused_and_not_kept(http, service, switch):
    model = build_model("mobilenet_v3_small", 2)
    torch.save(
        {name: value * float("nan") if value.is_floating_point() else value for name, value in model.state_dict().items()},
        switch / "nan.pth",
    )
    body = {"name": "broken", "cfg_path": "switch/config.yaml", "weight_path": "switch/nan.pth"}
    refused = http.post("/api/v2/models", body, expect=409)
    assert refused["code"] == "model_check_failed"
    assert http.client.get("/api/v2/models/broken").status_code == 404


def damage(service, sha256):
    """Change one byte of a stored weights file."""
    stored = next((service.state_dir / "models").rglob(f"*{sha256}*"))
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 0xFF
    stored.chmod(0o600)
    stored.write_bytes(content)
