"""Batches: all or none are accepted, and they are looked at and ended as one."""

import pytest

from actors.core.tasks import EndMode, Progress, TaskFault
from serve_app.schemas.inference import BatchActionResponse, BatchResponse, BatchStatusResponse
from tests.http import bodies

pytestmark = pytest.mark.anyio


class TestBatch:
    async def test_each_source_is_a_task_with_a_folder_of_its_own(self, client, tasks):
        answer = BatchResponse(**(await client.post("/api/v2/inference/batch", json=bodies.batch(20))).json())
        assert (answer.total, len(set(answer.task_ids))) == (20, 20)
        assert [each.task_id for each in tasks.submissions] == answer.task_ids
        assert [each.output_path for each in tasks.submissions] == [f"b/{number}" for number in range(20)]
        assert {each.batch_id for each in tasks.submissions} == {answer.batch_id}
        assert {each.priority for each in tasks.submissions} == {3}

    async def test_without_a_folder_results_go_below_the_batch(self, client, tasks):
        answer = await client.post("/api/v2/inference/batch", json=bodies.batch(2, save_base_path=None))
        assert tasks.submissions[1].output_path == f"results/{answer.json()['batch_id']}/1"

    async def test_one_refused_source_leaves_nothing_of_the_batch(self, client, tasks, path_not_found):
        tasks.refusals = [None] * 9 + [path_not_found]
        answer = await client.post("/api/v2/inference/batch", json=bodies.batch(30))
        assert (answer.status_code, answer.json()["code"]) == (404, "path_not_found")
        assert "source_paths[9]" in answer.json()["message"]
        assert not tasks.flow.tasks

    async def test_a_full_line_names_the_source_that_found_it_full(self, client, tasks, line_full):
        tasks.refusals = [None, line_full]
        answer = await client.post("/api/v2/inference/batch", json=bodies.batch(3))
        assert answer.status_code == 429
        assert "source_paths[1]" in answer.json()["message"]
        assert not tasks.flow.tasks


class TestBatchAsAWhole:
    @pytest.fixture
    async def batch(self, client):
        return BatchResponse(**(await client.post("/api/v2/inference/batch", json=bodies.batch(4))).json())

    async def look(self, client, batch):
        return BatchStatusResponse(**(await client.get(f"/api/v2/batches/{batch.batch_id}")).json())

    async def test_it_tells_counts_progress_and_tasks_in_the_order_of_the_sources(self, client, tasks, batch):
        seen = await self.look(client, batch)
        assert (seen.status, seen.task_ids, seen.progress, seen.counts["pending"]) == ("pending", batch.task_ids, 0, 4)
        first, second, *_ = batch.task_ids
        tasks.grant(first, "cuda:0")
        tasks.finish(first)
        tasks.grant(second, "cuda:0")
        tasks.progress(second, Progress(50, "half"))
        seen = await self.look(client, batch)
        assert (seen.status, seen.progress, seen.message) == ("running", 37, "1 of 4 tasks have ended")
        assert {state.value: count for state, count in seen.counts.items() if count} == {"pending": 2, "running": 1, "completed": 1}

    @pytest.mark.parametrize(
        ("ends", "status"),
        [
            (["completed"] * 4, "completed"),
            (["completed", "failed", "completed", "stopped"], "failed"),
            (["stopped", *["completed"] * 3], "cancelled"),
        ],
    )
    async def test_once_all_have_ended_the_worst_end_counts(self, client, tasks, batch, ends, status):
        for task_id, outcome in zip(batch.task_ids, ends, strict=True):
            tasks.grant(task_id, "cuda:0")
            tasks.finish(task_id, outcome, fault=TaskFault("x", "y") if outcome == "failed" else None)
        seen = await self.look(client, batch)
        assert (seen.status, seen.progress) == (status, 100)

    async def test_cancelling_it_reaches_every_task_that_has_not_ended(self, client, tasks, batch):
        tasks.grant(batch.task_ids[0], "cuda:0")
        tasks.finish(batch.task_ids[0])
        tasks.grant(batch.task_ids[1], "cuda:0")
        reached = BatchActionResponse(**(await client.post(f"/api/v2/batches/{batch.batch_id}/cancel")).json())
        assert reached.task_ids == batch.task_ids[1:]
        assert tasks.flow.get(batch.task_ids[1]).ending is EndMode.CANCEL
        seen = await self.look(client, batch)
        assert (seen.counts["completed"], seen.counts["running"], seen.counts["cancelled"]) == (1, 1, 2)

    async def test_where_all_have_ended_there_is_nothing_to_cancel(self, client, batch):
        await client.post(f"/api/v2/batches/{batch.batch_id}/cancel")
        again = await client.post(f"/api/v2/batches/{batch.batch_id}/cancel")
        assert (again.status_code, again.json()["code"]) == (404, "batch_already_ended")

    async def test_deleted_tasks_are_left_out_and_without_any_there_is_no_batch(self, client, batch):
        await client.post(f"/api/v2/batches/{batch.batch_id}/cancel")
        await client.delete(f"/api/v2/tasks/{batch.task_ids[0]}")
        assert (await self.look(client, batch)).task_ids == batch.task_ids[1:]
        for task_id in batch.task_ids[1:]:
            await client.delete(f"/api/v2/tasks/{task_id}")
        answer = await client.get(f"/api/v2/batches/{batch.batch_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")
