"""Whatever the served OpenAPI document allows, and what it forbids, is answered as it says: made-up requests to a real service.

Nothing is left to run: all limits are 0 meanwhile, and what a request submitted is cancelled after it. Streams, which need not
end, have tests of their own.
"""

import copy
import random
import time

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from actors.access import Role
from cluster import keys_command
from configs.settings import Settings
from tests.service.http_client import Http
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.service

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Every path in a body, as something that is there; what is missing here stays made up.
PATHS = {
    "train_path": "coloured/train",
    "val_path": "coloured/valid",
    "save_path": "any/out",
    "weight_path": "out/any-model/best_model.pth",
    "cfg_path": "out/any-model/config.yaml",
    "source_path": "coloured/valid",
    "data_path": "coloured/valid",
    "source_paths": ["coloured/valid/red", "coloured/valid/blue"],
    "save_base_path": "any/batch",
    "input_path": "coloured/train",
    "dataset_path": "coloured",
    "output_path": "any/prepared",
}
CONFIG = {
    "generation": {"mode": "all", "with-security-parameters": False},
    "phases": {"coverage": {"enabled": False}, "examples": {"enabled": False}},
}
#: Of a path with its query; uvicorn takes 64 KiB with the headers.
MOST_URL_CHARACTERS = 60_000
#: Operations that only a task which has not ended can be told.
FOR_WAITING = ("/cancel", "/kill", "/stop", "/priority", "/why")


class World:
    """What is there for made-up requests to meet: an ended task of each kind, and as many that wait as they end."""

    def __init__(self, http: Http):
        self.http = http
        self.training = http.wait(http.train("any-model")["task_id"])["task_id"]
        model = http.data.parent / "out" / "any-model"
        self.inference = http.wait(http.infer("any", model)["task_id"])["task_id"]
        self.preprocessing = http.wait(self._prepare("any/split"))["task_id"]
        http.limit("cuda", training=0, inference=0)
        http.limit("cpu", training=0, inference=0, preprocessing=0)
        self.submitted: list[str] = []
        self._random = random.Random(0)

    def task_id(self, operation) -> str:
        """An id that this operation may be about: of a waiting task for what those are told, of a spare one to be deleted."""
        if operation.path.endswith(FOR_WAITING):
            return self.submit(is_preprocessing="/preprocessing/" in operation.path)
        if operation.method == "delete":
            task_id = self.submit()
            self.tidy()
            return task_id
        kinds = {"training": self.training, "inference": self.inference, "preprocessing": self.preprocessing}
        kind = next((kind for kind in kinds if f"/{kind}/" in operation.path), self._random.choice(list(kinds)))
        return kinds[kind]

    def leaves_made_up(self) -> bool:
        """Whether an id should be one that is not there."""
        return self._random.random() < 0.2

    def submit(self, *, is_preprocessing: bool = False) -> str:
        """A task that waits."""
        task_id = self._prepare("any/waits") if is_preprocessing else self.http.train("waits", device="cpu")["task_id"]
        self.submitted.append(task_id)
        return task_id

    def _prepare(self, output: str) -> str:
        return self.http.post("/api/v2/preprocessing/split", {"input_path": "coloured/train", "output_path": output})["task_id"]

    def submit_batch(self) -> str:
        """A batch whose tasks wait."""
        body = {name: PATHS[name] for name in ("cfg_path", "weight_path", "source_paths", "save_base_path")}
        answer = self.http.post("/api/v2/inference/batch", body | {"device": "cpu"})
        self.submitted += answer["task_ids"]
        return answer["batch_id"]

    def note(self, case, response) -> None:
        """Remember what a request submitted."""
        body = response.json() if case.method == "POST" and response.status_code == 200 else None
        if not isinstance(body, dict):
            return
        self.submitted += body.get("task_ids", []) + ([body["task_id"]] if {"task_id", "created_at"} <= set(body) else [])

    def tidy(self) -> None:
        """End what was submitted, so that the line never fills up."""
        for task_id in self.submitted:
            self.http.client.post(f"/api/v2/tasks/{task_id}/cancel")
        self.submitted.clear()


@pytest.fixture(scope="module")
def world(service):
    http = Http(service.url, write_coloured(service.data_root / "coloured"))
    before = http.client.get("/api/v2/resources").json()["limits"]
    # Requests make keys, and from the first one on everybody needs one.
    settings = Settings(state_dir=service.state_dir)
    key = keys_command.add_key(settings, name="schemathesis", role=Role.ADMIN)
    wait_for_answer(service, 401)
    http.client.headers["X-API-Key"] = key.token
    yield World(http)
    http.limit("cuda", **before["cuda"])
    http.limit("cpu", **before["cpu"], preprocessing=2)
    for each in keys_command.list_keys(settings):
        keys_command.revoke_key(settings, each.key_id)
    wait_for_answer(service, 200)


def wait_for_answer(service, status):
    """Wait until somebody without a key is answered with this status."""
    end = time.monotonic() + 10
    while requests.get(f"{service.url}/api/v1/info", timeout=10).status_code != status:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def operations(service, world):
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json", config=schemathesis.Config.from_dict(CONFIG))
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if not operation.path.endswith(("/logs", "/events"))]


def make_real(case, world) -> None:
    """Let a case that is right by the document be about what is there."""
    if case.meta and case.meta.generation.mode.is_negative:
        return
    path = dict(case.path_parameters or {})
    if world.leaves_made_up():
        path.clear()
    if "task_id" in path:
        path["task_id"] = world.task_id(case.operation)
    if "batch_id" in path:
        path["batch_id"] = world.submit_batch()
    case.path_parameters = {**(case.path_parameters or {}), **path}
    if isinstance(case.body, dict):
        case.body = with_real_values(case.body)


def with_real_values(value):
    """A body with every path as one that is there, and limits that let nothing start."""
    if isinstance(value, list):
        return [with_real_values(each) for each in value]
    if not isinstance(value, dict):
        return value
    real = {name: copy.copy(PATHS[name]) if each and name in PATHS else with_real_values(each) for name, each in value.items()}
    if "max_concurrent" in real:
        real["max_concurrent"] = {kind: {"training": 0, "inference": 0} for kind in ("cuda", "cpu")}
    return real


def strategy(operation):
    """Requests as the document allows them, and as often some that it forbids, where it forbids any."""
    allowed = operation.as_strategy(GenerationMode.POSITIVE)
    has_bounds = operation.body or operation.query or operation.headers
    return allowed | operation.as_strategy(GenerationMode.NEGATIVE) if has_bounds else allowed


def reaches_the_application(case):
    """Whether the server takes the request's first line; a longer one it refuses itself, in a line of plain text."""
    request = case.as_transport_kwargs()
    return len(requests.Request("GET", request["url"], params=request.get("params")).prepare().url) < MOST_URL_CHARACTERS


def try_operation(operation, world, examples, session):
    """Send made-up requests to one operation and check every answer."""

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=strategy(operation))
    def check(case):
        make_real(case, world)
        hypothesis.assume(reaches_the_application(case))
        response = case.call(session=session, allow_redirects=False)
        world.note(case, response)
        world.tidy()
        case.validate_response(response, checks=CHECKS)

    check()


@pytest.mark.parametrize("examples", [20, pytest.param(300, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_every_answer_is_one_that_the_document_tells(operations, world, examples, subtests):
    with requests.Session() as session:
        session.headers["X-API-Key"] = world.http.client.headers["X-API-Key"]
        for operation in operations:
            with subtests.test(operation.label):
                try_operation(operation, world, examples, session)
