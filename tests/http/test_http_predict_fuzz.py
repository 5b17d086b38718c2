"""Whatever is sent to the routes that take bodies of any kind: a clean refusal or an answer, never an error of ours, and nothing left."""

import json
import random

import pytest

from configs.settings import Settings
from tests.fake_serving import make_version

pytestmark = pytest.mark.anyio

SEED = 6
ROUNDS = 1_500
TARGETS = ("/api/v2/predict", "/v2/models/drones/infer", "/v2/models/drones/versions/1/infer", "/v2/repository/index")
TYPES = (
    "",
    "image/png",
    "audio/wav",
    "application/json",
    "application/octet-stream",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    'multipart/form-data; boundary="x; charset=y',
    "multipart/form-data; boundary*=utf-8''x",
)
PARTS = (
    b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\npicture\r\n'
    b'--x\r\nContent-Disposition: form-data; name="b"; filename="b.sigmf-meta"\r\n\r\n{}\r\n--x--\r\n'
)
NUMBERS = [0.5] * 12
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 3, 2, 2]}
BODIES = (
    b"",
    PARTS,
    json.dumps({"inputs": [TENSOR | {"data": NUMBERS}], "outputs": [{"name": "probabilities"}]}).encode(),
    json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": 48}}]}).encode() + bytes(48),
)
QUERIES = (
    "",
    "model=drones",
    "model=drones@v9",
    "top_k=9",
    "format=cu8&sample_rate=1e6",
    "model=%00",
    "top_k=%FF",
    "sample_rate=1e400",
    "&&==",
)
HEADERS = {
    "x-request-timeout": ("5", "-5", "1e-300", "\u00b2", "nan"),
    "inference-header-content-length": ("0", "70", "-1", "\u00b2", "9" * 30),
    "content-encoding": ("gzip", "deflate", "identity", "br"),
    "content-length": ("0", "70", "x", "-1"),
}


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path, max_predict_mb=1)


def mutated(chance, content):
    """A body with some bytes exchanged, doubled or cut."""
    changed = bytearray(content)
    for _ in range(chance.choice((0, 0, 1, 3, 20))):
        place = chance.randrange(len(changed) + 1)
        end = min(len(changed), place + chance.choice((0, 1, 1, 8, 100)))
        changed[place:end] = chance.choice((b"", chance.randbytes(3), bytes(changed[place:end]) * 2, b'"', b"\r\n--x", b"[", b"-"))
    return bytes(changed)


def make_case(chance):
    target, query = chance.choice(TARGETS), chance.choice(QUERIES)
    content = mutated(chance, chance.choice((*BODIES, chance.randbytes(chance.randrange(300)))))
    headers = {name: chance.choice(values).encode("latin-1") for name, values in HEADERS.items() if chance.random() < 0.2}
    headers["content-type"] = (
        mutated(chance, chance.choice(TYPES).encode()) if chance.random() < 0.2 else chance.choice(TYPES).encode()
    )
    return f"{target}?{query}", content, headers


@pytest.mark.parametrize("turn", range(2))
async def test_nothing_that_is_sent_is_an_error_of_ours(client, models, settings, turn):
    await models.put(make_version(image_size=2, recipe={"pipeline": "native"}))
    chance = random.Random(SEED + turn)
    seen = set()
    for number in range(ROUNDS):
        url, content, headers = make_case(chance)
        answer = await client.post(url, content=content, headers=headers)
        seen.add(answer.status_code)
        is_right = answer.status_code in (200, 400, 404, 413, 415, 422, 504)
        assert is_right, (SEED + turn, number, url, content, headers, answer.text)
        if answer.status_code != 200:
            wanted = {"error"} if url.startswith("/v2") else {"status", "code", "message", "detail", "timestamp"}
            assert set(answer.json()) == wanted
    assert seen >= {200, 400, 415, 422}
    assert [path for path in (settings.state_dir / "spool").rglob("*") if path.is_file() and path.name != "lock"] == []
