"""Many viewers of one training, and requests beside them."""

import asyncio
import json
import os
import signal
import threading
import time

import pytest

from tests.service.http_client import Http
from tests.service.pictures import write_coloured
from tests.service.viewers import watch_together

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "watched"))


@pytest.mark.parametrize("viewers", [100, pytest.param(500, marks=pytest.mark.long)])
def test_all_viewers_see_every_line_once_and_in_order_and_all_requests_are_answered(http, service, viewers):
    task_id = http.train(f"watched-by-{viewers}", num_epochs=1_000_000, keep_checkpoints=1)["task_id"]
    http.wait_for_epoch(task_id, 1)
    ending = threading.Thread(target=cancel_after_epoch, args=(http, task_id))
    ending.start()
    beside = [f"/api/v2/tasks/{task_id}", "/api/v2/resources"]
    log = f"/api/v2/tasks/{task_id}/logs"
    watched, answered = asyncio.run(watch_together(service.port, log, beside, viewers=viewers, per_s=50))
    ending.join()
    assert not answered.failures
    assert len(answered.latencies_s) > 0
    lines = len(http.log(task_id))
    assert all(each.ids == list(range(1, lines + 1)) for each in watched)
    assert {json.loads(each.last)["status"] for each in watched} == {"cancelled"}


def cancel_after_epoch(http, task_id):
    """Cancel a training once it has said a good deal to all who watch by then."""
    end = time.monotonic() + 120
    while http.client.get("/api/v1/health").json()["active_log_streams"] < 100:
        assert time.monotonic() < end, "the viewers did not come"
        time.sleep(0.1)
    http.wait_for_epoch(task_id, (http.task(task_id)["current_epoch"] or 0) + 5)
    http.post(f"/api/v2/tasks/{task_id}/cancel")


def test_a_training_is_told_of_from_its_beginning_to_its_deletion_over_a_restart_of_the_supervisor(http, service):
    """Watched as a page does: with one stream, which comes back by itself where it was."""
    seen = []
    with http.client.stream("GET", "/api/v2/events", timeout=60) as answer:
        events = parsed_events(answer)
        assert next(events)["kind"] in ("resources", "models")
        task_id = http.train("told-of", num_epochs=2)["task_id"]
        seen = states_until(events, task_id, "completed")
        assert seen == sorted(seen, key=["pending", "queued", "running", "completed"].index)
        assert seen[-2:] == ["running", "completed"]
        os.kill(json.loads((service.state_dir / "run/supervisor.json").read_text())["pid"], signal.SIGKILL)
        assert next(event for event in events if event["kind"] == "reset")
        assert http.client.delete(f"/api/v2/tasks/{task_id}").status_code == 200
        assert next(event for event in events if event["kind"] == "task_deleted")["task_id"] == task_id


def parsed_events(answer):
    """What the events of an open stream say."""
    return (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))


def states_until(events, task_id, last):
    """The states of a task as they are told, each once, up to one."""
    states = []
    for event in events:
        if event["kind"] == "task" and event["task"]["task_id"] == task_id:
            states += [event["task"]["status"]] if event["task"]["status"] not in states else []
            if event["task"]["status"] == last:
                return states
    raise AssertionError(f"the stream ended before {last}: {states}")
