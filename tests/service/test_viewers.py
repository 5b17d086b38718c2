"""Many viewers of one training, and requests beside them."""

import asyncio
import json
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
