"""What the demo makes of the service's answers."""

import json

import httpx
import pytest

from cluster.demo import ClassResult, DemoError, follow, submit, sum_up


def client_answering(status: int, text: str) -> httpx.Client:
    return httpx.Client(
        base_url="http://service", transport=httpx.MockTransport(lambda _request: httpx.Response(status, text=text))
    )


def as_stream(*records: dict[str, object]) -> str:
    return ": still here\n\n" + "".join(f"id: {number}\ndata: {json.dumps(record)}\n\n" for number, record in enumerate(records, 1))


def test_the_true_class_of_a_picture_is_its_folder():
    predictions = [
        {"file": "drone/1.jpg", "class": "drone", "confidence": 90.0, "error": None},
        {"file": "drone/2.jpg", "class": "noise", "confidence": 50.0, "error": None},
        {"file": "noise/1.jpg", "class": None, "confidence": None, "error": "unreadable"},
    ]
    assert sum_up(predictions) == [ClassResult("drone", 2, 1, 70.0), ClassResult("noise", 1, 0, 0.0)]


def test_every_record_of_a_completed_task_is_shown():
    records = [{"message": "epoch 1", "stage": "epoch_end"}, {"status": "completed", "message": "done"}]
    assert list(follow(client_answering(200, as_stream(*records)), "t")) == records


def test_a_task_that_fails_ends_the_demo_with_its_reason():
    client = client_answering(200, as_stream({"status": "failed", "message": "the disk is full"}))
    with pytest.raises(DemoError, match="failed: the disk is full"):
        list(follow(client, "t"))


def test_a_stream_that_breaks_off_is_no_success():
    with pytest.raises(DemoError, match="unknown"):
        list(follow(client_answering(200, as_stream({"message": "epoch 1"})), "t"))


def test_a_refused_submission_shows_the_services_reason():
    with pytest.raises(DemoError, match="no such folder"):
        submit(client_answering(404, '{"message": "no such folder"}'), "/api/v2/training/start", {})
