"""What a client can send wrong, and the clear 4xx it gets: never a 500, never an effect."""

import json

import pytest

from serve_app.bodies import MOST_BODY_BYTES
from serve_app.schemas.tasks import ErrorResponse
from tests.http import bodies

pytestmark = pytest.mark.anyio

TRAINING = "/api/v2/training/start"
INFERENCE = "/api/v2/inference/start"
BATCH = "/api/v2/inference/batch"
CONFIG = "/api/v2/resources/config"


@pytest.fixture(autouse=True)
def _no_effect(tasks, resources):
    before = resources.current
    yield
    assert not tasks.submissions
    assert resources.current == before


def check(answer, status, code):
    """The status, the code and the form of an error; returns its body."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/json"
    return ErrorResponse(**answer.json())


def wrong_field(answer, field):
    """The message about one wrong field."""
    error = check(answer, 422, "invalid_field")
    found = [each.msg for each in error.detail if each.loc[:2] == ["body", field]]
    assert found, error.detail
    assert field in error.message
    return " ".join(found)


WRONG_TRAININGS = [
    ("device", "banana", "cuda:N"),
    ("device", "cuda:-1", "cuda:N"),
    ("device", "cuda:01", "cuda:N"),
    ("device", "CUDA", "cuda:N"),
    ("device", "", "cuda:N"),
    ("device", None, "string"),
    ("model", "resnet81", "did you mean resnet18"),
    ("model", "ResNet50", "did you mean resnet50"),
    ("model", "zzz", "Supported are resnet18"),
    ("model", 18, "string"),
    ("num_classes", 0, "greater than or equal to 1"),
    ("num_classes", "many", "integer"),
    ("num_classes", 2.5, "integer"),
    ("num_classes", None, "integer"),
    ("num_classes", 10**30, "less than or equal"),
    ("batch_size", 0, "greater than or equal to 1"),
    ("num_epochs", 0, "greater than or equal to 1"),
    ("learning_rate", 0, "greater than 0"),
    ("learning_rate", -1e-4, "greater than 0"),
    ("image_size", 31, "greater than or equal to 32"),
    ("priority", 0, "greater than or equal to 1"),
    ("priority", 11, "less than or equal to 10"),
    ("task_id", "a b", "letters"),
    ("task_id", "a/b", "letters"),
    ("task_id", "..", "dots"),
    ("task_id", "x" * 129, "128"),
    ("task_id", "t\n", "letters"),
    ("name", "a/b", "one folder"),
    ("name", "a\\b", "one folder"),
    ("name", "..", "one folder"),
    ("name", ".", "one folder"),
    ("name", "a\0b", "one folder"),
    ("name", "ä" * 200, "255"),
    ("train_path", "", "at least 1"),
    ("train_path", "a\0b", "NUL"),
    ("train_path", "x" * 5000, "4096"),
    ("train_path", ["a"], "string"),
    ("save_path", None, "string"),
    ("gpu_memory_gb", 0, "greater than 0"),
    ("num_gpus", 65, "less than or equal to 64"),
    ("on_oom", "ignore", "'fail' or 'reduce_batch'"),
    ("max_retries", -1, "greater than or equal to 0"),
    ("keep_checkpoints", 0, "greater than or equal to 1"),
    ("keep_checkpoints", "some", "all"),
    ("seed", -1, "greater than or equal to 0"),
    ("early_stopping_patience", 0, "greater than or equal to 1"),
    ("description", "x" * 3000, "2000"),
    ("description", "\ud800", "half a character"),
    ("train_path", "\udfff", "unicode"),
    ("name", "\ud800", "unicode"),
    ("task_id", "\ud800", "letters"),
    ("device", "\ud800", "unicode"),
    ("model", "\ud800", "unknown model"),
    ("unheard_of", 1, "not permitted"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG_TRAININGS)
async def test_a_wrong_field_of_a_training_is_named(client, field, value, words):
    content = json.dumps(bodies.training(**{field: value}))
    answer = await client.post(TRAINING, content=content, headers={"content-type": "application/json"})
    assert words in wrong_field(answer, field)


@pytest.mark.parametrize("field", ["model", "num_classes", "train_path", "val_path", "save_path"])
async def test_a_missing_field_of_a_training_is_named(client, field):
    body = bodies.training()
    del body[field]
    assert "required" in wrong_field(await client.post(TRAINING, json=body), field)


@pytest.mark.parametrize("field", ["cfg_path", "weight_path", "source_path"])
async def test_a_missing_field_of_an_inference_is_named(client, field):
    body = bodies.inference()
    del body[field]
    assert "required" in wrong_field(await client.post(INFERENCE, json=body), field)


@pytest.mark.parametrize(
    ("field", "value"), [("device", "gpu"), ("priority", 99), ("task_id", "ä"), ("source_path", "\0"), ("source_paths", [])]
)
async def test_a_wrong_field_of_an_inference_is_named(client, field, value):
    wrong_field(await client.post(INFERENCE, json=bodies.inference(**{field: value})), field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("save_base_path", "x" * 4096),
        ("source_paths", []),
        ("source_paths", ["x"] * 1001),
        ("source_paths", "x"),
        ("source_paths", ["a", ""]),
        ("task_id", "b1"),
    ],
)
async def test_a_wrong_field_of_a_batch_is_named(client, field, value):
    wrong_field(await client.post(BATCH, json=bodies.batch(**{field: value})), field)


async def test_a_vision_transformer_takes_one_image_size_only(client):
    answer = await client.post(TRAINING, json=bodies.training(model="vit_b_16", image_size=256))
    assert "224 x 224" in wrong_field(answer, "image_size")


@pytest.mark.parametrize("path", ["/api/v2/train", "/api/v1/train"])
async def test_old_routes_refuse_wrong_values_too(client, path):
    wrong_field(await client.post(path, json=bodies.training(device="banana", unheard_of=1)), "device")


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"cuda": {}},
        {"cuda": {"training": None}},
        {"cuda": {"training": -1}},
        {"cuda": {"training": 65}},
        {"cuda": {"training": 1.5}},
        {"cuda": {"training": True}},
        {"cuda": {"training": "2"}},
        {"cuda": {"cooking": 1}},
        {"banana": {"training": 1}},
        {"cuda": 3},
        [],
        None,
    ],
)
async def test_wrong_limits_are_refused(client, limits):
    check(await client.post(CONFIG, json={"max_concurrent": limits}), 422, "invalid_field")


async def test_a_limit_for_a_device_that_is_not_there_is_refused(client):
    error = check(await client.post(CONFIG, json={"max_concurrent": {"cuda:7": {"training": 1}}}), 422, "invalid_limit")
    assert error.detail[0].loc == ["body", "max_concurrent", "cuda:7"]


BROKEN_BODIES = {
    "no JSON": (b"{model: resnet18}", 400, "invalid_json"),
    "cut short": (b'{"model": ', 400, "invalid_json"),
    "not a number": (b'{"learning_rate": NaN}', 400, "invalid_json"),
    "infinity": (b'{"learning_rate": -Infinity}', 400, "invalid_json"),
    "bytes that are no text": (b'{"model": "\xff\xfe"}', 400, "invalid_json"),
    "another encoding": ('{"model": "x"}'.encode("utf-16"), 400, "invalid_json"),
    "too deep": (b"[" * 100_000 + b"]" * 100_000, 400, "invalid_json"),
    "a number of too many digits": (b'{"num_classes": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
    "deep in a known field": (b'{"class_weights": ' + b"[" * 400 + b"]" * 400 + b"}", 422, "invalid_field"),
    "deep in an unknown field": (b'{"x": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}", 422, "invalid_field"),
    "a number beyond all floats": (b'{"learning_rate": 1e999}', 422, "invalid_field"),
    "half a character as a name": (b'{"\\ud800": 1}', 422, "invalid_field"),
    "a very long name": (b'{"' + b"x" * 100_000 + b'": 1}', 422, "invalid_field"),
    "many names": (json.dumps(dict.fromkeys(map(str, range(5_000)))).encode(), 422, "invalid_field"),
    "very many names": (json.dumps(dict.fromkeys(map(str, range(5_001)))).encode(), 413, "body_too_large"),
    "very many names in parts": (
        json.dumps(dict.fromkeys("abcdef", dict.fromkeys(map(str, range(1_000))))).encode(),
        413,
        "body_too_large",
    ),
    "a list": (b"[]", 422, "invalid_field"),
    "a text": (b'"model"', 422, "invalid_field"),
    "null": (b"null", 422, "invalid_field"),
    "nothing": (b"", 422, "invalid_field"),
    "more than the limit": (b'{"description": "' + b"x" * MOST_BODY_BYTES + b'"}', 413, "body_too_large"),
}


@pytest.mark.parametrize("path", [TRAINING, INFERENCE, BATCH, CONFIG, "/api/v1/train", "/api/v1/inference"])
@pytest.mark.parametrize("name", BROKEN_BODIES)
async def test_a_broken_body_is_refused(client, path, name):
    content, status, code = BROKEN_BODIES[name]
    answer = await client.post(path, content=content, headers={"content-type": "application/json"})
    check(answer, status, code)
    assert len(answer.content) < 50_000


async def test_a_body_without_a_length_is_counted_as_it_comes(client):
    async def chunks():
        for _ in range(20):
            yield b" " * 100_000

    answer = await client.post(TRAINING, content=chunks(), headers={"content-type": "application/json"})
    check(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""]
)
@pytest.mark.parametrize("path", [TRAINING, INFERENCE, BATCH, CONFIG])
async def test_a_body_of_another_type_is_refused(client, path, kind):
    answer = await client.post(path, content=json.dumps(bodies.training()), headers={"content-type": kind})
    check(answer, 415, "unsupported_media_type")


async def test_a_charset_is_no_other_type(client):
    answer = await client.post(TRAINING, content=b"{}", headers={"content-type": "application/json; charset=utf-8"})
    check(answer, 422, "invalid_field")


async def test_a_wish_without_a_body_needs_no_type_but_a_form_is_refused(client, tasks):
    missing = await client.post("/api/v2/tasks/t1/cancel")
    check(missing, 404, "task_not_found")
    form = await client.post("/api/v2/tasks/t1/cancel", content=b"a=b", headers={"content-type": "text/plain"})
    check(form, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "status=done", "task_type=cooking", "cursor=" + "x" * 400, "limit=" + "9" * 5000]
)
async def test_a_wrong_query_is_refused(client, query):
    error = check(await client.get(f"/api/v2/tasks?{query}"), 422, "invalid_field")
    assert error.detail[0].loc == ["query", query.partition("=")[0]]


async def test_field_errors_repeat_short_values_only(client):
    answer = await client.post(TRAINING, json=bodies.training(device="banana", name="/" * 255, batch_size=[[1]]))
    by_field = {each["loc"][1]: each for each in answer.json()["detail"]}
    assert by_field["device"]["input"] == "banana"
    assert "input" not in by_field["name"]
    assert "input" not in by_field["batch_size"]
