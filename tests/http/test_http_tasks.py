"""Trainings, inference jobs and tasks as the contract has them."""

from dataclasses import replace
from datetime import datetime

import pytest
from pydantic import TypeAdapter

from actors.core.lease_history import PastLease
from actors.core.model import GIB, Portion
from actors.core.tasks import EndMode, Progress, TaskFault, TaskState
from serve_app.schemas.tasks import TaskActionResponse, TaskHistoryResponse, TaskLeasesResponse, TaskListResponse, TaskResponse
from serve_app.task_list import TASKS_PER_TURN
from tests.http import bodies

pytestmark = pytest.mark.anyio

TASK = TypeAdapter(TaskResponse)
LIST = TypeAdapter(TaskListResponse)
METRICS = {
    "epoch": 3,
    "total_epochs": 10,
    "train_loss": 0.5,
    "val_acc": 91.5,
    "mAP": 0.9,
    "f1_score": 0.88,
    "val_loss": float("inf"),
}


async def submit_training(client, **changes):
    answer = await client.post("/api/v2/training/start", json=bodies.training(**changes))
    assert answer.status_code == 200, answer.text
    return TASK.validate_python(answer.json())


async def submit_inference(client, **changes):
    answer = await client.post("/api/v2/inference/start", json=bodies.inference(**changes))
    assert answer.status_code == 200, answer.text
    return TASK.validate_python(answer.json())


class TestTraining:
    async def test_a_start_answers_the_pending_task(self, client):
        task = await submit_training(client, task_id="t1", name="run 1", description="first", device="cuda:1")
        assert task["task_id"] == "t1"
        assert (task["task_type"], task["status"], task["progress"], task["priority"]) == ("training", "pending", 0, 5)
        assert (task["device"], task["model"], task["name"], task["description"]) == ("cuda:1", "resnet18", "run 1", "first")
        assert (task["current_epoch"], task["total_epochs"], task["latest_metrics"]) == (None, 100, None)
        assert task["output_path"] == "out/run 1"

    async def test_times_are_iso_8601_with_offset(self, client):
        task = await submit_training(client)
        assert datetime.fromisoformat(task["created_at"]).utcoffset() is not None

    async def test_an_id_is_made_where_the_caller_has_none(self, client):
        first, second = await submit_training(client), await submit_training(client, task_id="")
        assert len({first["task_id"], second["task_id"], ""}) == 3

    async def test_repeating_a_submission_answers_the_first_task(self, client, tasks):
        first = await submit_training(client, task_id="t1")
        assert await submit_training(client, task_id="t1") == first
        assert len(tasks.flow.tasks) == 1

    async def test_the_same_id_for_another_request_is_a_conflict(self, client):
        await submit_training(client, task_id="t1")
        answer = await client.post("/api/v2/training/start", json=bodies.training(task_id="t1", num_epochs=7))
        assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_id")

    async def test_a_running_training_shows_epoch_metrics_and_lease(self, client, tasks):
        await submit_training(client, task_id="t1")
        tasks.grant("t1", "cuda:0", units=1_500, memory_bytes=2 * GIB)
        tasks.progress("t1", Progress(25, "epoch 3 of 10", 3, 10, METRICS))
        task = TASK.validate_python((await client.get("/api/v2/training/t1")).json())
        assert (task["status"], task["progress"], task["message"]) == ("running", 25, "epoch 3 of 10")
        assert (task["device"], task["current_epoch"], task["total_epochs"]) == ("cuda:0", 3, 10)
        assert task["lease"] | {"granted_at": None} == {
            "device": "cuda:0",
            "gpu_fraction": 0.15,
            "memory_gb": 2.0,
            "granted_at": None,
        }
        assert task["latest_metrics"] == METRICS | {"val_loss": None}
        assert task["started_at"] is not None

    async def test_a_failed_training_tells_code_message_and_hint(self, client, tasks):
        await submit_training(client, task_id="t1")
        tasks.grant("t1", "cuda:0")
        tasks.finish("t1", "failed", "no", TaskFault("disk_full", "no space left", "free some"))
        task = TASK.validate_python((await client.get("/api/v2/training/t1")).json())
        assert (task["status"], task["message"]) == ("failed", "no space left")
        assert task["error"] == {"code": "disk_full", "message": "no space left", "hint": "free some"}
        assert task["finished_at"] is not None

    async def test_a_stop_asks_for_a_checkpoint_first(self, client, tasks):
        await submit_training(client, task_id="t1")
        tasks.grant("t1", "cuda:0")
        answer = await client.post("/api/v2/training/t1/stop")
        assert TaskActionResponse(**answer.json()).task_id == "t1"
        assert tasks.flow.get("t1").ending is EndMode.STOP

    @pytest.mark.parametrize("path", ["", "/stop", "/logs"])
    async def test_an_inference_is_not_found_among_trainings(self, client, path):
        await submit_inference(client, task_id="i1")
        method = "POST" if path == "/stop" else "GET"
        answer = await client.request(method, f"/api/v2/training/i1{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")

    @pytest.mark.parametrize("path", ["/api/v2/train", "/api/v1/train"])
    async def test_old_routes_take_the_same_body_and_ignore_unknown_fields(self, client, tasks, path):
        answer = await client.post(path, json=bodies.training(task_id="t1", gpus="all"))
        assert TASK.validate_python(answer.json())["task_id"] == "t1"
        assert "gpus" not in tasks.submissions[0].request
        assert tasks.submissions[0].ignored_fields == ("gpus",)

    async def test_very_many_ignored_fields_are_told_in_short(self, client, tasks):
        strange = {f"{number:03d}" + "x" * 200: 1 for number in range(50)}
        await client.post("/api/v1/train", json=bodies.training(**strange))
        ignored = tasks.submissions[0].ignored_fields
        assert (len(ignored), ignored[0], ignored[-1]) == (21, "000" + "x" * 57, "and 30 more")

    async def test_a_repeated_submission_is_the_same_where_its_device_was_understood_otherwise(self, client, tasks):
        await submit_training(client, task_id="t1", device="cuda")
        task = tasks.flow.get("t1")
        tasks.flow.tasks["t1"] = replace(task, submission=replace(task.submission, device="cpu"))
        assert (await submit_training(client, task_id="t1", device="cuda"))["task_id"] == "t1"


class TestSubmission:
    async def test_defaults_are_those_of_the_contract(self, client, tasks):
        await submit_training(client)
        submission = tasks.submissions[0]
        wanted = {"batch_size": 8, "num_epochs": 100, "learning_rate": 1e-4, "image_size": 224, "device": "cuda", "weight_path": ""}
        wanted |= {"pretrained": True, "shuffle": True, "priority": 5, "description": "", "preemptible": False, "max_retries": 2}
        wanted |= {"keep_checkpoints": "all", "amp": "auto", "class_weights": False, "num_gpus": 1, "on_oom": "fail"}
        assert wanted.items() <= submission.request.items()
        assert (submission.priority, submission.max_retries, submission.device_count) == (5, 2, 1)
        assert submission.memory_bytes is None

    async def test_what_the_caller_asks_for_is_carried(self, client, tasks):
        await submit_training(client, gpu_memory_gb=1.5, preemptible=True, max_retries=0, seed=7, priority=1, keep_checkpoints=3)
        submission = tasks.submissions[0]
        assert (submission.memory_bytes, submission.preemptible) == (3 * GIB // 2, True)
        assert (submission.max_retries, submission.priority) == (0, 1)
        assert (submission.request["seed"], submission.request["keep_checkpoints"]) == (7, 3)

    async def test_null_stands_for_what_is_left_open(self, client):
        await submit_training(client, name=None, weight_path=None, description=None, task_id=None, seed=None)


class TestInference:
    async def test_results_go_to_a_folder_of_the_task_by_default(self, client, tasks):
        task = await submit_inference(client, task_id="i1")
        assert (task["task_type"], task["priority"], task["output_path"]) == ("inference", 3, "results/i1")
        assert tasks.submissions[0].output_path == "results/i1"

    async def test_a_name_is_a_folder_below(self, client):
        assert (await submit_inference(client, save_path="out/", name="n"))["output_path"] == "out/n"

    async def test_a_training_is_not_found_among_inferences(self, client):
        await submit_training(client, task_id="t1")
        assert (await client.get("/api/v2/inference/t1")).status_code == 404

    async def test_an_inference_is_found(self, client):
        await submit_inference(client, task_id="i1")
        assert TASK.validate_python((await client.get("/api/v2/inference/i1")).json())["task_id"] == "i1"

    @pytest.mark.parametrize("path", ["/api/v2/inference", "/api/v1/inference"])
    async def test_old_routes_take_the_same_body_and_ignore_unknown_fields(self, client, path):
        answer = await client.post(path, json=bodies.inference(task_id="i1", threshold=0.5))
        assert TASK.validate_python(answer.json())["task_id"] == "i1"


class TestTasks:
    async def test_a_list_is_sorted_by_kind_newest_first(self, client):
        for number in range(3):
            await submit_training(client, task_id=f"t{number}")
        await submit_inference(client, task_id="i0")
        page = LIST.validate_python((await client.get("/api/v2/tasks")).json())
        assert [task["task_id"] for task in page["training_tasks"]] == ["t2", "t1", "t0"]
        assert [task["task_id"] for task in page["inference_tasks"]] == ["i0"]
        assert (page["total_training"], page["total_inference"], page["total_preprocessing"]) == (3, 1, 0)
        assert page["next_cursor"] is None

    async def test_pages_follow_each_other_by_cursor(self, client):
        for number in range(5):
            await submit_training(client, task_id=f"t{number}")
        first = (await client.get("/api/v2/tasks?limit=2")).json()
        second = (await client.get(f"/api/v2/tasks?limit=3&cursor={first['next_cursor']}")).json()
        assert [task["task_id"] for task in second["training_tasks"]] == ["t2", "t1", "t0"]
        assert second["next_cursor"] is None

    async def test_a_page_that_is_written_in_turns_is_one_answer(self, client):
        for number in range(2 * TASKS_PER_TURN + 1):
            await submit_training(client, task_id=f"t{number}")
        page = LIST.validate_python((await client.get("/api/v2/tasks?limit=1000")).json())
        assert page["total_training"] == 2 * TASKS_PER_TURN + 1
        assert {task["task_id"] for task in page["training_tasks"]} == {f"t{number}" for number in range(2 * TASKS_PER_TURN + 1)}

    async def test_filters_reach_the_supervisor_and_empty_ones_are_none(self, client, tasks):
        await client.get("/api/v2/tasks?status=running&task_type=inference&limit=7")
        await client.get("/api/v2/tasks?status=&task_type=&cursor=")
        narrow, wide = tasks.queries
        assert (narrow.state, narrow.task_type, narrow.limit) == (TaskState.RUNNING, "inference", 7)
        assert (wide.state, wide.task_type, wide.limit, wide.cursor) == (None, None, 100, None)

    @pytest.mark.parametrize("path", ["/api/v2/tasks/t1", "/api/v1/tasks/t1"])
    async def test_one_task_is_found_by_old_and_new_route(self, client, path):
        await submit_training(client, task_id="t1")
        assert TASK.validate_python((await client.get(path)).json())["task_id"] == "t1"

    async def test_a_queued_task_tells_its_position(self, client, tasks):
        await submit_training(client, task_id="t1")
        tasks.queue("t1", position=4)
        task = (await client.get("/api/v2/tasks/t1")).json()
        assert (task["status"], task["queue_position"], task["message"]) == ("queued", 4, "waiting in line, position 4")

    async def test_on_the_cpu_the_device_stays_cpu_unless_one_was_named(self, client, tasks):
        for task_id, device in (("any", "cpu"), ("pinned", "cpu:0")):
            await submit_training(client, task_id=task_id, device=device)
            tasks.grant(task_id, "cpu:0", memory_bytes=0)
        answers = {task_id: (await client.get(f"/api/v2/tasks/{task_id}")).json() for task_id in ("any", "pinned")}
        assert {task_id: task["device"] for task_id, task in answers.items()} == {"any": "cpu", "pinned": "cpu:0"}
        assert answers["any"]["lease"]["device"] == "cpu:0"

    async def test_an_ended_task_still_tells_where_it_ran(self, client, tasks):
        await submit_training(client, task_id="t1", device="cuda")
        tasks.grant("t1", "cuda:1")
        tasks.finish("t1")
        task = (await client.get("/api/v2/tasks/t1")).json()
        assert (task["device"], task["lease"], task["progress"]) == ("cuda:1", None, 100)

    async def test_cancelling_a_waiting_task_ends_it(self, client):
        await submit_training(client, task_id="t1")
        answer = await client.post("/api/v2/tasks/t1/cancel")
        assert TaskActionResponse(**answer.json()).message == "task cancelled"
        assert (await client.get("/api/v2/tasks/t1")).json()["status"] == "cancelled"

    async def test_cancelling_an_ended_task_is_not_found_with_its_own_code(self, client):
        await submit_training(client, task_id="t1")
        await client.post("/api/v2/tasks/t1/cancel")
        answer = await client.post("/api/v2/tasks/t1/cancel")
        assert (answer.status_code, answer.json()["code"]) == (404, "task_already_ended")

    async def test_killing_a_waiting_task_ends_it(self, client):
        await submit_training(client, task_id="t1")
        answer = await client.post("/api/v2/tasks/t1/kill")
        assert TaskActionResponse(**answer.json()).message == "task cancelled"
        again = await client.post("/api/v2/tasks/t1/kill")
        assert (again.status_code, again.json()["code"]) == (404, "task_already_ended")

    async def test_killing_a_running_task_asks_for_its_end_without_a_checkpoint(self, client, tasks):
        await submit_training(client, task_id="t1")
        tasks.grant("t1", "cuda:0")
        await client.post("/api/v2/training/t1/stop")
        answer = await client.post("/api/v2/tasks/t1/kill")
        assert TaskActionResponse(**answer.json()).message == "task is being killed"
        assert tasks.flow.get("t1").ending is EndMode.KILL

    async def test_the_history_tells_every_change_of_state_with_its_cause(self, client, tasks):
        await submit_training(client, task_id="t1")
        tasks.queue("t1")
        tasks.grant("t1", "cuda:0")
        tasks.finish("t1", message="all done")
        history = TaskHistoryResponse(**(await client.get("/api/v2/tasks/t1/history")).json()).history
        assert [(each.before, each.after) for each in history] == [
            (None, "pending"),
            ("pending", "queued"),
            ("queued", "running"),
            ("running", "completed"),
        ]
        assert (history[0].cause, history[-1].cause) == ("submitted", "all done")
        assert "cuda:0" in history[2].cause
        times = [datetime.fromisoformat(each.at) for each in history]
        assert times == sorted(times)

    async def test_the_leases_tell_which_devices_were_held_and_how_that_ended(self, client, tasks, resources):
        await submit_training(client, task_id="t1")
        begin = tasks.flow.get("t1").submitted_at
        pair = (Portion("cuda:0", 1_500, 8 * GIB), Portion("cuda:1", 1_500, 8 * GIB))
        resources.past["t1"] = (
            PastLease("of a deleted task", "t1.1", (), granted_at=begin - 9, closed_at=begin - 8, cause="released"),
            PastLease("first", "t1.1", pair, granted_at=begin, closed_at=begin + 60, cause="expired", adoptions=2),
            PastLease("second", "t1.2", pair[:1], granted_at=begin + 61),
        )
        first, second = TaskLeasesResponse(**(await client.get("/api/v2/tasks/t1/leases")).json()).leases
        assert [(each.device, each.gpu_fraction, each.memory_gb) for each in first.devices] == [
            ("cuda:0", 0.15, 8.0),
            ("cuda:1", 0.15, 8.0),
        ]
        assert (first.lease_id, first.attempt, first.end, first.adoptions) == ("first", 1, "expired", 2)
        held = datetime.fromisoformat(first.ended_at) - datetime.fromisoformat(first.granted_at)
        assert held.total_seconds() == 60
        assert (second.lease_id, second.attempt, second.end, second.ended_at) == ("second", 2, None, None)

    async def test_a_task_that_never_started_has_no_leases(self, client):
        await submit_training(client, task_id="t1")
        assert (await client.get("/api/v2/tasks/t1/leases")).json() == {"task_id": "t1", "leases": []}

    async def test_only_ended_tasks_are_deleted(self, client):
        await submit_training(client, task_id="t1")
        early = await client.delete("/api/v2/tasks/t1")
        assert (early.status_code, early.json()["code"]) == (404, "task_not_ended")
        await client.post("/api/v2/tasks/t1/cancel")
        late = await client.delete("/api/v2/tasks/t1")
        assert TaskActionResponse(**late.json()).status == "success"
        assert (await client.get("/api/v2/tasks/t1")).status_code == 404

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/v2/tasks/{}"),
            ("GET", "/api/v2/tasks/{}/logs"),
            ("POST", "/api/v2/tasks/{}/cancel"),
            ("POST", "/api/v2/tasks/{}/kill"),
            ("GET", "/api/v2/tasks/{}/history"),
            ("GET", "/api/v2/tasks/{}/leases"),
            ("DELETE", "/api/v2/tasks/{}"),
            ("GET", "/api/v2/training/{}"),
            ("POST", "/api/v2/training/{}/stop"),
            ("GET", "/api/v1/train/{}/logs"),
            ("GET", "/api/v2/inference/{}"),
        ],
    )
    @pytest.mark.parametrize("task_id", ["nobody", "..", "a%20b", "%00", "%FF", "x" * 500])
    async def test_a_task_that_is_not_there_is_not_found(self, client, method, path, task_id):
        answer = await client.request(method, path.format(task_id))
        assert answer.status_code == 404


class TestGpuSelection:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(
            update={"enable_gpu_selection": False, "default_train_priority": 8, "default_inference_priority": 9}
        )

    async def test_where_users_may_not_choose_a_gpu_any_will_do(self, client, tasks):
        for device in ("cuda:1", "cuda", "cpu"):
            await submit_training(client, device=device)
        assert [each.device for each in tasks.submissions] == ["cuda", "cuda", "cpu"]

    async def test_default_priorities_are_settings(self, client, tasks):
        await submit_training(client)
        await submit_inference(client)
        await submit_training(client, priority=5)
        await client.post("/api/v2/inference/batch", json=bodies.batch(1))
        assert [each.priority for each in tasks.submissions] == [8, 9, 5, 9]
