"""When a call is sent again by itself, and when it is not."""

import json

import httpx
import pytest

from cluster.client import NEVER, ApiError, InvalidRequestError, KeyNeededError, NoAnswerError, Retry, UnreachableError
from tests.unit.client.both import Script, answer, refusal, task

TRAINING = {"model": "resnet18", "num_classes": 3, "train_path": "a", "val_path": "b", "save_path": "c"}
LOST = httpx.ReadError("connection reset")
REFUSED = httpx.ConnectError("connection refused")
ACTION = {"status": "success", "message": "", "task_id": "t1"}


@pytest.mark.parametrize("fault", ["lost", "refused", "bad gateway", "not ready"])
def test_a_look_is_repeated_until_there_is_an_answer(make_client, fault):
    faults = {"lost": LOST, "refused": REFUSED, "bad gateway": httpx.Response(502), "not ready": refusal(503, "not_ready")}
    client = make_client(Script(faults[fault], answer(task())))
    assert client.call("task", "t1")["task_id"] == "t1"
    assert len(client.time.pauses) == 1


def test_a_submission_without_an_id_gets_one_and_keeps_it_when_it_is_repeated(make_client):
    script = Script(LOST, refusal(503, "not_ready"), answer(task()))
    make_client(script).call("train", **TRAINING)
    sent = [json.loads(each) for each in script.bodies]
    assert sent[0]["task_id"]
    assert sent[0] == sent[1] == sent[2]


def test_two_submissions_are_two_tasks(make_client):
    script = Script(answer(task()), answer(task()))
    client = make_client(script)
    client.call("train", TRAINING)
    client.call("train", TRAINING)
    first, second = (json.loads(each)["task_id"] for each in script.bodies)
    assert first != second


def test_the_callers_own_id_is_kept(make_client):
    script = Script(answer(task()))
    make_client(script).call("train", TRAINING, task_id="mine")
    assert json.loads(script.bodies[0])["task_id"] == "mine"


def test_what_is_left_out_is_not_sent_so_that_the_services_own_defaults_count(make_client):
    script = Script(answer(task()))
    make_client(script).call("train", **TRAINING, task_id="mine")
    assert json.loads(script.bodies[0]) == TRAINING | {"task_id": "mine"}


@pytest.mark.parametrize("name", ["cancel", "stop", "kill", "delete"])
@pytest.mark.parametrize("fault", [LOST, httpx.RemoteProtocolError("server disconnected"), httpx.ReadTimeout("timed out")])
def test_what_ends_a_task_is_not_repeated_when_it_may_have_arrived(make_client, name, fault):
    script = Script(fault, answer(ACTION))
    with pytest.raises(UnreachableError):
        make_client(script).call(name, "t1")
    assert len(script.requests) == 1


@pytest.mark.parametrize("name", ["cancel", "stop", "kill", "delete"])
def test_what_ends_a_task_is_repeated_when_nothing_arrived(make_client, name):
    script = Script(REFUSED, httpx.ConnectTimeout("timed out"), answer(ACTION))
    assert make_client(script).call(name, "t1").task_id == "t1"


def test_a_batch_is_not_submitted_twice(make_client):
    script = Script(refusal(503, "not_ready"))
    with pytest.raises(ApiError, match="not_ready"):
        make_client(script).call("infer_batch", cfg_path="c", weight_path="w", source_paths=["a"])
    assert len(script.requests) == 1


def test_a_full_line_is_asked_again_after_the_time_that_it_names(make_client):
    client = make_client(Script(refusal(429, "queue_full", Retry_After="30"), answer(task())))
    client.call("train", TRAINING)
    assert client.time.pauses == [30.0]


def test_a_full_line_that_names_no_time_is_an_error(make_client):
    with pytest.raises(ApiError) as caught:
        make_client(Script(refusal(429, "queue_full"))).call("train", TRAINING)
    assert (caught.value.status, caught.value.code) == (429, "queue_full")


def test_a_time_beyond_its_patience_is_not_waited_for(make_client):
    client = make_client(Script(refusal(429, "queue_full", Retry_After="3600")))
    with pytest.raises(ApiError) as caught:
        client.call("train", TRAINING)
    assert caught.value.retry_after_s == 3600
    assert client.time.pauses == []


def test_attempts_are_bounded_and_pauses_grow(make_client):
    client = make_client(Script(*[REFUSED] * 4), retry=Retry(attempts=4, first_s=1.0))
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:8000.*connection refused.*rfuav up"):
        client.call("task", "t1")
    assert len(client.time.pauses) == 3
    for pause, longest in zip(client.time.pauses, (1, 2, 4), strict=True):
        assert longest / 2 <= pause <= longest


def test_who_repeats_nothing_gets_the_first_fault(make_client):
    with pytest.raises(UnreachableError):
        make_client(Script(LOST), retry=NEVER).call("task", "t1")


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_a_refusal_that_will_not_pass_is_told_at_once(make_client, status):
    with pytest.raises(ApiError) as caught:
        make_client(Script(refusal(status, "some_code"))).call("task", "t1")
    assert (caught.value.status, caught.value.code, caught.value.message) == (status, "some_code", "it is some_code")


@pytest.mark.parametrize(("status", "code"), [(401, "key_required"), (403, "role_too_low")])
def test_a_missing_key_is_told_with_the_remedy(make_client, status, code):
    with pytest.raises(KeyNeededError, match="RFUAV_API_KEY"):
        make_client(Script(refusal(status, code))).call("task", "t1")


def test_a_path_that_is_closed_is_no_matter_of_keys(make_client):
    with pytest.raises(ApiError) as caught:
        make_client(Script(refusal(403, "path_forbidden"))).call("data", "/etc")
    assert not isinstance(caught.value, KeyNeededError)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"task_id": 5}', b""])
def test_another_service_is_recognised(make_client, body):
    with pytest.raises(NoAnswerError, match="another service"):
        make_client(Script(httpx.Response(200, content=body))).call("task", "t1")


def test_a_redirection_is_not_taken_for_an_answer(make_client):
    with pytest.raises(ApiError, match="307"):
        make_client(Script(httpx.Response(307, headers={"Location": "http://elsewhere/"}))).call("task", "t1")


def test_what_a_newer_service_adds_is_left_out(make_client):
    client = make_client(Script(answer(task(new_field=1)), answer(ACTION | {"new_field": 1})))
    assert "new_field" not in client.call("task", "t1")
    assert client.call("cancel", "t1").task_id == "t1"


def test_a_wrong_field_is_told_before_anything_is_sent(make_client):
    script = Script()
    with pytest.raises(InvalidRequestError, match=r"num_classes.*greater than or equal to 1"):
        make_client(script).call("train", TRAINING | {"num_classes": 0})
    with pytest.raises(InvalidRequestError, match="modell"):
        make_client(script).call("train", TRAINING, modell="x")
    with pytest.raises(InvalidRequestError, match="a model, a mapping or single fields"):
        make_client(script).call("train", 5)
    assert script.requests == []


def test_the_key_is_sent_and_never_shown(make_client, monkeypatch):
    script = Script(answer(task()), answer(task()))
    make_client(script, api_key="secret").call("task", "t1")
    monkeypatch.setenv("RFUAV_API_KEY", "other")
    make_client(script).call("task", "t1")
    assert [each.headers["X-API-Key"] for each in script.requests] == ["secret", "other"]


def test_ids_with_odd_characters_stay_one_part_of_the_path(make_client):
    script = Script(refusal(404, "task_not_found"))
    with pytest.raises(ApiError):
        make_client(script).call("task", "../x?y#z")
    assert script.requests[0].url.raw_path == b"/api/v2/tasks/..%2Fx%3Fy%23z"
