"""What an attacker may send, and what becomes of it: each is refused, nothing is written outside the roots, and nothing runs.

The checks of submissions are the real ones, on real files. Requests that no client library would make go over a real connection.
"""

import asyncio
import json
import os
import socket
import threading

import anyio
import httpx
import pytest
import uvicorn
import yaml
from PIL import Image

from actors.admission import Admission
from actors.paths import build_data_roots
from configs.settings import Settings
from serve_app import bodies as request_bodies
from serve_app.app import create_app
from serve_app.context import Ports
from serve_app.schemas.tasks import ErrorResponse
from tests import attack_files
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks
from tests.http import bodies

pytestmark = pytest.mark.anyio

TRAINING = "/api/v2/training/start"
INFERENCE = "/api/v2/inference/start"
EVALUATE = "/api/v2/evaluate"
BATCH = "/api/v2/inference/batch"
EXPLAIN = "/api/v2/tasks/explain"
JSON = {"content-type": "application/json"}
SOUND_BATCH = bodies.batch(0, cfg_path="cfg.yaml", weight_path="w.pth", source_paths=["data/valid"])
CONFIG = {"model": "resnet18", "num_classes": 2, "class_names": {"a": 0, "b": 1}, "image_size": 64}


class CheckedTasks(FakeTasks):
    """Tasks that are admitted as the supervisor admits them."""

    def __init__(self, settings):
        super().__init__()
        self._admission = Admission(build_data_roots(settings))

    async def submit(self, submission):
        return await super().submit(await asyncio.to_thread(self._admission.check, submission))

    async def explain(self, submission):
        return await super().explain(await asyncio.to_thread(self._admission.check, submission))


@pytest.fixture
def world(tmp_path):
    """A data root with a sound data set and every trap, and a folder outside that nobody may touch."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for part in ("train", "valid"):
        for name in ("a", "b"):
            (root / f"data/{part}/{name}").mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(root / f"data/{part}/{name}/1.png")
    (outside / "set/a").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(outside / "set/a/1.png")
    (root / "cfg.yaml").write_text(yaml.safe_dump(CONFIG))
    (outside / "cfg.yaml").write_text(yaml.safe_dump(CONFIG))
    (root / "w.pth").write_bytes(b"weights")
    (root / "state").mkdir()
    (root / "state/store.sqlite").write_bytes(b"keys")
    (root / ".env").write_text("RFUAV_STORE_URL=postgresql://user:password@host/db")
    set_traps(root, outside)
    return tmp_path


def set_traps(root, outside):
    (root / "out_link").symlink_to(outside)
    (root / "cfg_link.yaml").symlink_to(outside / "cfg.yaml")
    (root / "zero.pth").symlink_to("/dev/zero")
    (root / "circle").symlink_to("circle")
    os.mkfifo(root / "pipe.pth")
    (root / "traps/a").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "traps/a/1.png")
    (root / "traps/b").symlink_to(outside / "set")
    attack_files.yaml_that_runs(root / "runs.yaml", outside / "canary")
    attack_files.yaml_of_a_billion_laughs(root / "laughs.yaml")
    attack_files.yaml_of_masses(root / "masses.yaml")
    attack_files.yaml_of_depth(root / "deep.yaml")


@pytest.fixture
def settings(world):
    return Settings(data_roots=(world / "root",), state_dir=world / "root/state")


@pytest.fixture
def tasks(settings):
    return CheckedTasks(settings)


@pytest.fixture(autouse=True)
async def _unharmed(world, tasks, client):
    """After every attack the files are as they were, no task was taken, and the service answers."""
    before = attack_files.outline(world)
    yield
    assert attack_files.outline(world) == before
    assert not tasks.submissions
    assert (await client.get("/api/v1/health")).status_code == 200


def check(status, body, expected, world):
    """The status is one of those expected, and the body says why without telling of the inside."""
    statuses, code = expected
    assert status in statuses, (status, body)
    error = ErrorResponse(**json.loads(body))
    assert code in (None, error.code), body
    assert "Traceback" not in body
    assert str(world / "outside") not in body
    assert "password" not in body


FORBIDDEN = ({403}, "path_forbidden")
MISSING = ({404}, "path_not_found")
WRONG = ({422}, None)

#: (path, what every path field that is read answers to it)
BAD_PATHS = [
    ("../outside", FORBIDDEN),
    ("data/../../outside/cfg.yaml", FORBIDDEN),
    ("/etc/passwd", FORBIDDEN),
    ("/", FORBIDDEN),
    ("/proc/self/environ", FORBIDDEN),
    ("/dev/zero", FORBIDDEN),
    ("zero.pth", FORBIDDEN),
    ("out_link", FORBIDDEN),
    ("out_link/cfg.yaml", FORBIDDEN),
    ("cfg_link.yaml", FORBIDDEN),
    ("state", FORBIDDEN),
    ("state/store.sqlite", FORBIDDEN),
    (".env", FORBIDDEN),
    ("pipe.pth", WRONG),
    ("circle", WRONG),
    ("nothing", MISSING),
    ("x" * 300, MISSING),
    ("d/" * 2000, MISSING),
    ("w.pth/below", MISSING),
    ("~/x", MISSING),
    ("$HOME", MISSING),
    ("data\\..\\..", MISSING),
    ("a\0b", WRONG),
    ("\ud800", WRONG),
    ("", WRONG),
    (" ", WRONG),
    ("x" * 5000, WRONG),
    (["data"], WRONG),
    ({"path": "data"}, WRONG),
    (7, WRONG),
]
READ_FIELDS = [
    (TRAINING, bodies.training, "train_path"),
    (TRAINING, bodies.training, "val_path"),
    (TRAINING, bodies.training, "weight_path"),
    (INFERENCE, bodies.inference, "cfg_path"),
    (INFERENCE, bodies.inference, "weight_path"),
    (INFERENCE, bodies.inference, "source_path"),
    *((EVALUATE, bodies.evaluation, field) for field in ("cfg_path", "weight_path", "data_path")),
]
TASK_TYPES = {TRAINING: "training", INFERENCE: "inference", EVALUATE: "evaluate"}
MAKERS = {TRAINING: bodies.training, INFERENCE: bodies.inference, EVALUATE: bodies.evaluation}


def sound(make):
    """A body that would be taken."""
    if make is bodies.training:
        return make(num_classes=2)
    source = "data_path" if make is bodies.evaluation else "source_path"
    return make(cfg_path="cfg.yaml", weight_path="w.pth", **{source: "data/valid"})


async def post(client, path, body):
    return await client.post(path, content=json.dumps(body), headers=JSON)


@pytest.mark.parametrize(("path", "make", "field"), READ_FIELDS)
async def test_no_path_field_reads_what_is_not_its_own(client, world, path, make, field):
    for value, expected in BAD_PATHS:
        if field == "weight_path" and make is bodies.training and value == "":
            continue  # means none
        answer = await post(client, path, sound(make) | {field: value})
        check(answer.status_code, answer.text, expected, world)
        dry = {"task_type": TASK_TYPES[path], "request": sound(make) | {field: value}}
        answer = await post(client, EXPLAIN, dry)
        check(answer.status_code, answer.text, expected, world)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(each for each in BAD_PATHS if each[1] is FORBIDDEN),
        ("w.pth", WRONG),
        ("w.pth/below", WRONG),
        ("pipe.pth", WRONG),
        ("circle/x", WRONG),
        ("x" * 300, WRONG),
        ("a\0b", WRONG),
        (["out"], WRONG),
    ],
)
async def test_no_save_path_writes_where_it_may_not(client, world, value, expected):
    for path, make in MAKERS.items():
        answer = await post(client, path, sound(make) | {"save_path": value})
        check(answer.status_code, answer.text, expected, world)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../outside", "/etc", "a\\b", "a\0b", "a\nb", "x" * 256, " "])
async def test_no_name_is_a_path(client, world, name):
    for path, make in MAKERS.items():
        answer = await post(client, path, sound(make) | {"save_path": "out", "name": name})
        check(answer.status_code, answer.text, ({422}, "invalid_field"), world)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (TRAINING, sound(bodies.training) | {"train_path": "traps"}, WRONG),
        (TRAINING, sound(bodies.training) | {"train_path": "cfg.yaml"}, WRONG),
        (TRAINING, sound(bodies.training) | {"weight_path": "data"}, WRONG),
        (INFERENCE, sound(bodies.inference) | {"cfg_path": "runs.yaml"}, ({422}, "config_invalid")),
        (INFERENCE, sound(bodies.inference) | {"cfg_path": "laughs.yaml"}, ({422}, "config_invalid")),
        (INFERENCE, sound(bodies.inference) | {"cfg_path": "masses.yaml"}, ({422}, "config_invalid")),
        (INFERENCE, sound(bodies.inference) | {"cfg_path": "deep.yaml"}, ({422}, "config_invalid")),
        (BATCH, SOUND_BATCH | {"save_base_path": "../outside"}, FORBIDDEN),
        (BATCH, SOUND_BATCH | {"source_paths": ["out_link"]}, FORBIDDEN),
    ],
)
async def test_no_file_that_a_request_names_does_harm(client, world, path, body, expected):
    answer = await post(client, path, body)
    check(answer.status_code, answer.text, expected, world)


WRONG_BODIES = [
    ("ten megabytes", b'{"model": "' + b"x" * 10_000_000 + b'"}', ({413}, "body_too_large")),
    ("a deep list", b"[" * 200_000, ({400}, "invalid_json")),
    ("a deep list that ends", b"[" * 100_000 + b"]" * 100_000, ({400}, "invalid_json")),
    ("a deep object", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, ({400}, "invalid_json")),
    ("a deep field", b'{"model":' + b"[" * 900 + b"]" * 900 + b"}", ({400, 422}, None)),
    ("a huge number", b'{"num_classes": ' + b"9" * 5_000 + b"}", ({400, 422}, None)),
    ("a huge exponent", b'{"learning_rate": 1e999999}', ({422}, "invalid_field")),
    ("not a number", b'{"learning_rate": NaN}', ({400}, "invalid_json")),
    ("half a character", b'{"model": "\\ud800"}', ({422}, "invalid_field")),
    ("not UTF-8", b'{"model": "\xff"}', ({400}, "invalid_json")),
    ("UTF-16", '{"model": "a"}'.encode("utf-16"), ({400}, "invalid_json")),
    ("a list", b"[]", ({422}, "invalid_field")),
    ("null", b"null", ({422}, "invalid_field")),
    ("a text", b'"model"', ({422}, "invalid_field")),
    ("a million keys", json.dumps({f"k{n}": n for n in range(60_000)}).encode(), ({413, 422}, None)),
    ("a key twice", b'{"model": "a", "model": {"b": 1}}', ({422}, "invalid_field")),
    ("its class", b'{"__class__": "x", "__proto__": {}, "model": "resnet18"}', ({422}, "invalid_field")),
    ("nothing", b"", ({422}, "invalid_field")),
]


@pytest.mark.parametrize(("content", "expected"), [each[1:] for each in WRONG_BODIES], ids=[each[0] for each in WRONG_BODIES])
async def test_no_body_does_harm(client, world, content, expected):
    for path in (TRAINING, INFERENCE, BATCH, EXPLAIN, "/api/v2/resources/config"):
        answer = await client.post(path, content=content, headers=JSON)
        check(answer.status_code, answer.text, expected, world)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json", "a" * 5000])
async def test_no_page_of_another_site_can_send_a_body(client, world, kind):
    answer = await client.post(TRAINING, content=json.dumps(sound(bodies.training)), headers={"content-type": kind})
    check(answer.status_code, answer.text, ({415}, "unsupported_media_type"), world)


TASK_PATHS = [
    "/api/v2/tasks/..",
    "/api/v2/tasks/%2e%2e",
    "/api/v2/tasks/%2e%2e/files",
    "/api/v2/tasks/a%2fb",
    "/api/v2/tasks/..%2f..%2fetc%2fpasswd",
    "/api/v2/tasks/a%00b",
    "/api/v2/tasks/%ff",
    "/api/v2/tasks/" + "x" * 5_000,
    "/api/v2/tasks/a/files/%2e%2e/%2e%2e/etc/passwd",
    "/api/v2/tasks/%2e%2e/files/%2e%2e%2fcfg.yaml",
    "/api/v2/training/%2e%2e/logs",
    "/api/v2//tasks/a",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/api/v2/tasks/a?limit=" + "9" * 5_000,
]


@pytest.mark.parametrize("path", TASK_PATHS)
async def test_no_address_leads_to_a_file(client, world, path):
    for method in ("GET", "DELETE"):
        answer = await client.request(method, httpx.URL(f"http://localhost{path}"))
        check(answer.status_code, answer.text, ({404, 405}, None), world)


async def test_a_body_that_never_ends_is_given_up(app, monkeypatch, world):
    monkeypatch.setattr(request_bodies, "MOST_BODY_S", 0.05)
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": TRAINING, "query_string": b"", "http_version": "1.1", "scheme": "http"}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    await app(
        scope | {"headers": headers, "raw_path": TRAINING.encode(), "root_path": "", "client": ("127.0.0.1", 1)},
        anyio.sleep_forever,
        send,
    )
    check(sent[0]["status"], sent[1]["body"].decode(), ({400}, "body_incomplete"), world)


@pytest.fixture(scope="module")
def served():
    """The application behind the web server that the service uses, on a port."""
    app = create_app(
        Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor()), Settings()
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(timeout=10)


HOST = b"Host: localhost\r\n"
TYPE = b"Content-Type: application/json\r\n"
START = b"POST " + TRAINING.encode() + b" HTTP/1.1\r\n" + HOST + TYPE
SECOND = b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n"

#: (name, what is sent, the first line's statuses; None: the connection may also be closed without an answer)
RAW = [
    ("two lengths", START + b"Content-Length: 2\r\nContent-Length: 300\r\n\r\n{}" + SECOND, {400}),
    ("a negative length", START + b"Content-Length: -1\r\n\r\n{}", {400}),
    ("a length that is no number", START + b"Content-Length: 0x10\r\n\r\n{}", {400}),
    ("a length with a sign", START + b"Content-Length: +2\r\n\r\n{}", {400}),
    ("a huge length", START + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n", {400, 413}),
    ("a large length", START + b"Content-Length: 2000000\r\n\r\n", {413, None}),
    ("length and chunks", START + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND, {400, 422}),
    ("an unknown coding", START + b"Transfer-Encoding: gzip\r\n\r\n{}", {400, 415, 422, 501, None}),
    ("a chunk of no size", START + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", {400, 413, 422}),
    ("a chunk of a huge size", START + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n", {400, 413, 422}),
    ("a header of a megabyte", b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n", {200, 400, 431, None}),
    ("ten thousand headers", b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 10_000 + b"\r\n", {200, 400, 431, None}),
    ("a long address", b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404, 414, None}),
    ("a NUL in the address", b"GET /api/v2/tasks/a\0b HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    ("a NUL in a header", b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", {400}),
    ("a folded header", b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", {200, 400}),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", {400}),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + HOST + b"\r\n", {400}),
    ("a foreign host", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", {400}),
    ("a host that begins well", b"GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", {400}),
    ("a host with a user", b"GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", {400}),
    ("a foreign absolute address", b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", {400}),
    ("an absolute address", b"GET http://evil.example/api/v1/info HTTP/1.1\r\n" + HOST + b"\r\n", {200, 400, 404}),
    ("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404, 405, None}),
    ("an upgrade", b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", {200, 400, 403, 404, 426}),
    ("an unknown method", b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", {400, 405}),
    ("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400, None}),
    ("steps up", b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    ("half a percent", b"GET /api/v2/tasks/%zz%2 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
]


@pytest.mark.parametrize(("sent", "statuses"), [each[1:] for each in RAW], ids=[each[0] for each in RAW])
async def test_no_trick_with_headers_is_taken(served, sent, statuses):
    assert await asyncio.to_thread(first_status, served, sent) in statuses
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served}") as client:
        assert (await client.get("/api/v1/info")).status_code == 200


def first_status(port, sent):
    """The status of the first answer; None where the connection was closed without one. An open connection is an error."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            line = connection.makefile("rb").readline()
        except (ConnectionError, BrokenPipeError):
            return None
    assert b"500" not in line
    return int(line.split()[1]) if line else None
