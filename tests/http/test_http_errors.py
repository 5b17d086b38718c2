"""The table from errors to answers, the Host check, and what only the framework knows of."""

from dataclasses import replace
from typing import ClassVar

import httpx
import pytest

from actors.core import errors
from actors.core.errors import ActorSystemError, SubmissionError
from configs.settings import Settings
from serve_app.app import create_app
from serve_app.context import Ports
from serve_app.http_errors import describe_error
from serve_app.ports import NotReadyError
from serve_app.schemas.tasks import ErrorResponse
from serve_app.security import host_name, is_loopback
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks
from tests.http import bodies

pytestmark = pytest.mark.anyio

TABLE = [
    (errors.TaskNotFoundError("t"), 404, "task_not_found"),
    (errors.TaskEndedError("t"), 404, "task_already_ended"),
    (errors.TaskNotEndedError("t"), 404, "task_not_ended"),
    (errors.KeyNotFoundError("k"), 404, "key_not_found"),
    (errors.LastAdminKeyError("k"), 409, "last_admin_key"),
    (errors.TaskNotWaitingError("t"), 409, "task_not_waiting"),
    (errors.DuplicateRequestError("t", "in use"), 409, "duplicate_id"),
    (errors.UnsatisfiableRequestError("t", "no GPU here; use device cpu"), 409, "impossible_device"),
    (errors.InvalidTransitionError("t", "running", ("pending",)), 409, "invalid_transition"),
    (errors.LineFullError("t", "full"), 429, "queue_full"),
    (errors.LimitError("cuda:9", "no such device"), 422, "invalid_limit"),
    (errors.InvalidSelectorError("gpu"), 422, "invalid_device"),
    (errors.InvalidUnitsError("x"), 422, "invalid_fraction"),
    (errors.StoreUnavailableError("disk full"), 503, "store_unavailable"),
    (SubmissionError("path_not_found", "train_path", "'x' does not exist"), 404, "path_not_found"),
    (SubmissionError("path_forbidden", "train_path", "outside"), 403, "path_forbidden"),
    (SubmissionError("too_few_classes", "num_classes", "2 is fewer than 3 folders", "raise it"), 422, "too_few_classes"),
    (NotReadyError("accountant", 7), 503, "not_ready"),
    (errors.ModelNotFoundError("drones@3", "there is no version 3"), 404, "model_not_found"),
    (errors.ModelInUseError("drones@3", "it is production"), 409, "model_in_use"),
    (errors.AliasMovedError("drones", "production means version 2 now"), 409, "alias_moved"),
    (errors.ModelCheckError("drones@3", "its answers differ"), 409, "model_check_failed"),
    (errors.PredictionInputError("the picture sent cannot be decoded"), 422, "invalid_input"),
    (errors.PredictionError("the network failed"), 500, "prediction_failed"),
    (errors.ServingFullError("full"), 429, "serving_full"),
    (errors.DeadlineExceededError("late"), 504, "deadline_exceeded"),
]


@pytest.mark.parametrize(("error", "status", "code"), TABLE, ids=lambda value: getattr(value, "code", None) or str(value))
async def test_every_error_of_the_domain_has_its_answer(client, tasks, error, status, code):
    tasks.refusals = [error]
    answer = await client.post("/api/v2/training/start", json=bodies.training())
    body = ErrorResponse(**answer.json())
    assert (answer.status_code, body.code, body.message) == (status, code, str(error))
    assert body.detail == str(error) or (status == 422 and body.detail[0].loc[0] == "body")


async def test_every_error_that_users_can_cause_is_in_the_table():
    inside = {"LeaseNotFoundError", "LeaseExpiredError", "LeaseError", "StaleTokenError", "ActorSystemError"}
    bases = {"RequestError", "TaskError", "ModelError"}
    kinds = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ActorSystemError)}
    assert kinds - inside - bases == {type(error).__name__ for error, *_ in TABLE} - {"NotReadyError"}


async def test_field_errors_of_a_submission_are_listed_like_all_others(client, tasks):
    tasks.refusals = [SubmissionError("too_few_classes", "num_classes", "2 is fewer than 3 folders", "raise it")]
    answer = await client.post("/api/v2/training/start", json=bodies.training())
    wanted = {"loc": ["body", "num_classes"], "msg": "2 is fewer than 3 folders (raise it)", "type": "too_few_classes"}
    assert answer.json()["detail"] == [wanted]


async def test_who_may_try_again_is_told_when(client, tasks):
    tasks.refusals = [errors.LineFullError("t", "full"), errors.StoreUnavailableError("disk full"), NotReadyError("supervisor", 7)]
    answers = [await client.post("/api/v2/training/start", json=bodies.training()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 503, 503]
    assert [answer.headers["retry-after"] for answer in answers] == ["30", "30", "7"]


@pytest.mark.parametrize(
    "path", ["/api/v2/tasks", "/api/v2/data", "/api/v2/tasks/t1/files", "/api/v2/inference/i1/results", "/api/v2/audit"]
)
async def test_a_wrong_cursor_is_the_same_error_in_all_lists(client, tasks, path, tmp_path, app):
    app.state.service = replace(app.state.service, settings=Settings(data_roots=(tmp_path,)))
    (tmp_path / "out").mkdir()
    await client.post("/api/v2/training/start", json=bodies.training(task_id="t1", save_path="out"))
    await client.post("/api/v2/inference/start", json=bodies.inference(task_id="i1"))
    answer = await client.get(path, params={"cursor": "wröng", "path": "."})
    (field,) = ErrorResponse(**answer.json()).detail
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
    assert (field.loc, field.input) == (["query", "cursor"], "wröng")
    assert field.msg == "'wröng' is no place in this list; send next_cursor of the page before, or nothing for the first page"


async def test_a_fault_of_ours_tells_nothing_of_the_inside(client, tasks):
    tasks.refusals = [ZeroDivisionError("secret")]
    answer = await client.post("/api/v2/training/start", json=bodies.training())
    assert (answer.status_code, ErrorResponse(**answer.json()).code) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


async def test_errors_of_leases_are_never_the_clients_fault():
    assert describe_error(errors.LeaseNotFoundError("l")).status == 500


async def test_an_unknown_route_is_not_found(client):
    answer = await client.get("/api/v9/nothing")
    assert (answer.status_code, ErrorResponse(**answer.json()).code) == (404, "not_found")


async def test_a_wrong_method_is_told_with_the_right_ones(client):
    answer = await client.put("/api/v2/tasks")
    assert (answer.status_code, ErrorResponse(**answer.json()).code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_methods_of_all_routes_of_a_path_are_named(client):
    answer = await client.put("/api/v2/tasks/t1")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")


async def test_options_tell_the_methods_of_a_path(client):
    known = await client.options("/api/v2/training/start")
    assert (known.status_code, known.headers["allow"], known.content) == (204, "GET, HEAD, OPTIONS, POST", b"")
    assert (await client.options("/api/v9/nothing")).status_code == 404


async def test_head_is_get_without_the_body(client):
    whole, head = await client.get("/api/v2/tasks"), await client.head("/api/v2/tasks")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, whole.headers["content-length"], b"")
    assert (await client.head("/api/v2/tasks/nobody")).status_code == 404
    assert (await client.head("/api/v2/inference/batch")).headers.get(
        "allow"
    ) is None  # an inference job of that id may be asked for


async def test_head_of_a_stream_ends_at_once(client, tasks):
    await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))
    answer = await client.head("/api/v2/tasks/t1/logs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


@pytest.mark.parametrize("path", ["/api/v2/train", "/api/v1/train", "/api/v2/training/start"])
async def test_a_slash_too_many_is_answered_as_if_it_were_not_there(client, tasks, path):
    answer = await client.post(f"{path}/", json=bodies.training(task_id="t1"))
    assert (answer.status_code, answer.json()["task_id"]) == (200, "t1")
    assert (await client.get("/api/v2/tasks/?limit=5")).json()["total_training"] == 1
    assert tasks.queries[-1].limit == 5


@pytest.mark.parametrize("path", ["/api/v2/nothing/", "/api/v2/tasks//", "/api/v2/training/start//"])
async def test_a_slash_leads_to_no_route_that_is_not_there(client, path):
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1",
            "127.0.0.1:8000",
            "127.8.8.8",
            "[::1]",
            "[::1]:8000",
            "x.localhost",
            "localhost.",
        ],
    )
    async def test_loopback_names_are_let_in(self, client, host):
        assert (await client.get("/api/v1/info", headers={"host": host})).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", "0.0.0.0", "", "[::2]", "[", "\xff"],
    )
    async def test_other_names_are_refused_before_any_effect(self, client, tasks, host):
        headers = {"host": host.encode("latin-1")}
        answer = await client.post("/api/v2/training/start", json=bodies.training(), headers=headers)
        assert (answer.status_code, ErrorResponse(**answer.json()).code) == (400, "host_not_allowed")
        assert not tasks.submissions

    async def test_a_configured_host_is_let_in_but_never_the_wildcard_address(self, settings):
        for host, status in (("lab.example", 200), ("0.0.0.0", 400)):
            async with make_client(settings.model_copy(update={"host": host})) as client:
                assert (await client.get("/api/v1/info", headers={"host": f"{host}:8000"})).status_code == status

    async def test_host_headers_are_read_as_browsers_write_them(self):
        assert [host_name(text) for text in ("A:1", "[::1]:80", " a. ")] == ["a", "::1", "a"]
        assert not is_loopback("127.0.0.1.nip.io")


class TestCors:
    ASK: ClassVar = {"origin": "http://page.example", "access-control-request-method": "POST"}

    async def test_no_other_page_may_call_by_default(self, client):
        answer = await client.get("/api/v1/info", headers={"origin": "http://page.example"})
        assert "access-control-allow-origin" not in answer.headers

    async def test_configured_origins_may_call(self, settings):
        async with make_client(settings.model_copy(update={"cors_origins": ("http://page.example",)})) as client:
            asked = await client.options("/api/v2/training/start", headers=self.ASK)
            stranger = await client.options("/api/v2/training/start", headers=self.ASK | {"origin": "http://other.example"})
        assert asked.headers["access-control-allow-origin"] == "http://page.example"
        assert stranger.status_code == 400


def make_client(settings):
    """A client of an application with its own settings."""
    app = create_app(
        Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor()), settings
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
