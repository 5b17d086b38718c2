"""Why tasks wait, what would happen to one that is not submitted, and priorities."""

import pytest

from actors.core.events import WaitReason
from serve_app.schemas.tasks import TaskActionResponse
from serve_app.schemas.waiting import ExplainResponse, WhyResponse
from tests.fakes import make_explanation
from tests.http import bodies

pytestmark = pytest.mark.anyio


def valid(model, answer):
    """The body of an answer, which must be one of the model."""
    model.model_validate(answer.json())
    return answer.json()


async def submit(client, task_id, **changes):
    answer = await client.post("/api/v2/training/start", json=bodies.training(task_id=task_id, **changes))
    assert answer.status_code == 200, answer.text


class TestWhy:
    async def test_a_waiting_task_says_what_it_misses_who_has_it_and_when_it_may_start(self, client, tasks, resources):
        await submit(client, "t1")
        tasks.queue("t1")
        resources.explanations["t1.1"] = make_explanation("t1.1", position=3, waiting=7)
        answer = valid(WhyResponse, await client.get("/api/v2/tasks/t1/why"))
        assert (answer["task_id"], answer["status"], answer["position"], answer["line_length"]) == ("t1", "queued", 3, 7)
        assert (answer["missing"], answer["devices"]) == ("limit", ["cuda:0"])
        (holder,) = answer["held_by"]
        assert (holder["task_id"], holder["device"], holder["gpu_fraction"], holder["memory_gb"]) == ("ahead", "cuda:0", 0.15, 2.0)
        assert answer["estimated_start_at"] == holder["expected_end_at"]
        assert answer["estimated_wait_s"] == 0.0, "the time of the estimate is past by now"

    async def test_an_unknown_start_is_null(self, client, tasks, resources):
        await submit(client, "t1")
        tasks.queue("t1")
        resources.explanations["t1.1"] = make_explanation("t1.1", missing=WaitReason.MEMORY, estimated_start_at=None, held_by=())
        answer = valid(WhyResponse, await client.get("/api/v2/tasks/t1/why"))
        assert (answer["missing"], answer["estimated_start_at"], answer["estimated_wait_s"]) == ("memory", None, None)

    async def test_a_running_task_waits_for_nothing(self, client, tasks):
        await submit(client, "t1")
        tasks.grant("t1", "cuda:0")
        answer = valid(WhyResponse, await client.get("/api/v2/tasks/t1/why"))
        assert (answer["status"], answer["position"], answer["missing"], answer["held_by"]) == ("running", None, None, [])
        assert "does not wait" in answer["message"]

    async def test_an_unknown_task_is_not_found(self, client):
        assert (await client.get("/api/v2/tasks/nobody/why")).status_code == 404


class TestExplain:
    @pytest.mark.parametrize(
        ("kind", "request_body"),
        [("training", bodies.training()), ("inference", bodies.inference()), ("evaluate", bodies.evaluation())],
    )
    async def test_a_request_is_explained_and_not_submitted(self, client, tasks, kind, request_body):
        answer = await client.post("/api/v2/tasks/explain", json={"task_type": kind, "request": request_body})
        assert valid(ExplainResponse, answer)["would_start"] is True
        assert tasks.submissions[-1].task_type == kind
        assert tasks.flow.tasks == {}

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            ({"task_type": "training", "request": {"model": "resnet19"}}, "resnet18"),
            ({"task_type": "dance", "request": {}}, "training"),
            ({"request": {}}, "task_type"),
        ],
    )
    async def test_a_wrong_request_is_named(self, client, body, word):
        answer = await client.post("/api/v2/tasks/explain", json=body)
        assert answer.status_code == 422
        assert word in answer.text


class TestPriority:
    async def test_a_waiting_task_gets_another_priority(self, client, tasks):
        await submit(client, "t1", priority=7)
        answer = await client.post("/api/v2/tasks/t1/priority", json={"priority": 2})
        assert valid(TaskActionResponse, answer)["task_id"] == "t1"
        assert tasks.flow.get("t1").priority == 2

    @pytest.mark.parametrize("priority", [0, 11, 2.5, "high", None])
    async def test_a_priority_outside_of_1_to_10_is_refused(self, client, priority):
        await submit(client, "t1")
        assert (await client.post("/api/v2/tasks/t1/priority", json={"priority": priority})).status_code == 422

    async def test_only_a_waiting_task_can_get_one(self, client, tasks):
        await submit(client, "t1")
        tasks.grant("t1", "cuda:0")
        answer = await client.post("/api/v2/tasks/t1/priority", json={"priority": 2})
        assert (answer.status_code, answer.json()["code"]) == (409, "task_not_waiting")
        assert (await client.post("/api/v2/tasks/nobody/priority", json={"priority": 2})).status_code == 404
