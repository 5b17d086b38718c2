"""The main job over HTTP, on a service that was really started: train, watch, stop, die, infer, and who holds what."""

import json
import os
import shutil
import signal

import pytest
import sigmf
import torch

from tests.service.driving import attempt_processes, is_alive
from tests.service.http_client import Http
from tests.service.pictures import write_coloured
from tests.small_disk import fill_up, small_disk

pytestmark = pytest.mark.service

LONG = {"num_epochs": 10_000, "keep_checkpoints": 1}


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "coloured"))


@pytest.fixture(scope="module")
def model(http, service):
    """The output folder of a finished small training."""
    task = http.wait(http.train("model", num_epochs=3)["task_id"])
    assert task["status"] == "completed", task
    return service.data_root / "out" / "model"


class TestTraining:
    def test_it_writes_every_file_of_the_contract_and_nothing_else(self, model):
        names = {path.name for path in model.iterdir() if not path.name.startswith(".")}
        epochs = {f"MobileNetV3_epoch_{epoch}.pth" for epoch in (1, 2, 3)}
        fixed = {
            "best_model.pth",
            "last.ckpt",
            "previous.ckpt",
            "checkpoints.json",
            "config.yaml",
            "metrics.csv",
            "confusion_matrix.json",
            "confusion_matrix.png",
            "train.log",
            "model_card.json",
        }
        assert names == fixed | epochs
        assert not list(model.glob(".attempt-*"))

    @pytest.mark.usefixtures("model")
    def test_its_log_streams_every_stage_with_all_metrics_and_ends_with_the_state(self, http):
        (task,) = [each for each in http.client.get("/api/v2/tasks").json()["training_tasks"] if each["name"] == "model"]
        log = http.log(task["task_id"])
        stages = [record.get("stage") for record in log if record.get("stage")]
        assert stages.count("epoch_end") == stages.count("epoch_start") == 3
        assert stages[-1] == "completed"
        assert (log[-1]["status"], log[0]["message"]) == ("completed", "training task accepted")
        wanted = {
            "train_loss",
            "val_acc",
            "macro_f1",
            "micro_f1",
            "mAP",
            "top1_acc",
            "top3_acc",
            "top5_acc",
            "best_acc",
            "f1_score",
        }
        assert wanted <= set(task["latest_metrics"])
        assert task["latest_metrics"]["top5_acc"] == 100
        ended = next(record for record in log if record.get("stage") == "epoch_end")
        assert wanted <= set(ended["metrics"])

    def test_work_on_a_pinned_gpu_sits_there_in_rays_own_books(self, http):
        task = http.wait(http.train("pinned", device="cuda:1")["task_id"])
        assert (task["status"], task["device"]) == ("completed", "cuda:1")
        said = [record["message"] for record in http.log(task["task_id"])]
        assert any("cuda:1 (simulated GPU, simulated: it computes on the CPU, GPU 1 in Ray's books)" in line for line in said)

    @pytest.mark.parametrize("count", [3, pytest.param(6, marks=pytest.mark.long)])
    def test_many_at_once_never_run_more_than_two_and_all_complete(self, http, count):
        ids = [http.train(f"{count}-at-once-{number}")["task_id"] for number in range(count)]
        seen_running, seen_queued = watch_together(http, ids)
        assert seen_running == 2
        assert seen_queued == count - 2
        http.wait_until_free("cpu:0", 10)


def watch_together(http, ids):
    """Follow tasks to their end; returns the most seen running and the most seen queued at one moment."""
    most_running = most_queued = 0
    while True:
        page = http.client.get("/api/v2/tasks", params={"limit": 1000}).json()
        tasks = [task for task in page["training_tasks"] + page["inference_tasks"] if task["task_id"] in ids]
        states = [task["status"] for task in tasks]
        most_running = max(most_running, states.count("running"))
        most_queued = max(most_queued, states.count("queued"))
        positions = [task["queue_position"] for task in tasks if task["status"] == "queued" and task["queue_position"]]
        assert len(positions) == len(set(positions))
        if set(states) <= {"completed", "failed", "cancelled"}:
            assert states == ["completed"] * len(ids), [task["error"] for task in tasks]
            return most_running, most_queued


class TestInference:
    def test_trained_weights_predict_pictures_in_a_job_of_their_own(self, http, model, service):
        task = http.wait(http.infer("one", model)["task_id"])
        assert task["status"] == "completed", task
        folder = service.data_root / "inferred/one"
        predictions = json.loads((folder / "predictions.json").read_text())
        assert len(predictions) == 8
        right = sum(each["class"] == each["file"].split("/")[0] for each in predictions)
        card = json.loads((model / "model_card.json").read_text())
        assert 100 * right / 8 == pytest.approx(card["metrics"]["val_acc"])
        assert (folder / "predictions.csv").read_text().count("\n") == 9
        assert len(list(folder.rglob("*.jpg"))) == 8

    def test_recordings_are_predicted_frame_by_frame_with_annotations_that_open(self, http, model, service):
        if service.test_data is None:
            pytest.skip("no test data here")
        source = service.test_data / "dji_droneid/mavic_air_2.sigmf-meta"
        recipe = {"pipeline": "native", "frame_duration_s": 0.001}
        task = http.wait(http.infer("drone", model, source_path=str(source), recipe=recipe)["task_id"])
        assert task["status"] == "completed", task
        rows = http.client.get(f"/api/v2/inference/{task['task_id']}/results").json()
        assert (rows["total"], [row["segment"] for row in rows["predictions"]]) == (4, [0, 1, 2, 3])
        assert [row["start_s"] for row in rows["predictions"]] == [0.0, 0.001, 0.002, 0.003]
        (summary,) = http.client.get(f"/api/v2/inference/{task['task_id']}/results", params={"level": "file"}).json()["files"]
        assert (summary["file"], summary["frames"]) == (source.name, 4)
        folder = service.data_root / "inferred/drone"
        recording = sigmf.fromfile(folder / "mavic_air_2.sigmf-meta")
        recording.validate()
        assert [each["core:label"] for each in recording.get_annotations()] == [row["class"] for row in rows["predictions"]]
        assert len(recording.read_samples()) == 225_280
        assert (folder / "mavic_air_2.png").read_bytes().startswith(b"\x89PNG")

    def test_recordings_without_a_recipe_are_refused_with_the_field_that_is_missing(self, http, model, service):
        (service.data_root / "x_433.92M_250k.cu8").write_bytes(bytes(1000))
        with pytest.raises(AssertionError, match="recipe_missing"):
            http.infer("no-recipe", model, source_path="x_433.92M_250k.cu8")

    @pytest.mark.parametrize("count", [4, pytest.param(10, marks=pytest.mark.long)])
    def test_many_on_one_gpu_never_run_more_than_three(self, http, model, count):
        ids = [http.infer(f"{count}-on-one-{number}", model, device="cuda:0")["task_id"] for number in range(count)]
        seen_running, _ = watch_together(http, ids)
        assert seen_running == 3
        http.wait_until_free("cuda:0", 10)

    def test_weights_of_another_head_fail_the_task_with_both_widths(self, http, model, service):
        text = (model / "config.yaml").read_text().replace("num_classes: 2", "num_classes: 3")
        other = service.data_root / "other.yaml"
        other.write_text(text.replace("class_names:", "class_names:\n  green: 2"))
        task = http.wait(http.infer("head", model, cfg_path=str(other))["task_id"])
        assert (task["status"], task["error"]["code"]) == ("failed", "weights_mismatch")
        assert "2" in task["error"]["message"]
        assert "3" in task["error"]["message"]
        assert task["attempts"] == 1

    def test_one_unreadable_picture_is_an_entry_and_all_unreadable_a_failure(self, http, model, service):
        folder = service.data_root / "damaged"
        folder.mkdir()
        (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        task = http.wait(http.infer("damaged-all", model, source_path=str(folder))["task_id"])
        assert (task["status"], task["error"]["code"]) == ("failed", "all_pictures_unreadable")
        shutil.copy(service.data_root / "coloured/valid/red/0.png", folder / "good.png")
        task = http.wait(http.infer("damaged-one", model, source_path=str(folder))["task_id"])
        assert task["status"] == "completed"
        predictions = json.loads((service.data_root / "inferred/damaged-one/predictions.json").read_text())
        assert [(each["file"], bool(each["error"])) for each in predictions] == [("bad.png", True), ("good.png", False)]


class TestEnds:
    def test_stop_writes_a_checkpoint_and_frees_the_device(self, http, service):
        task_id = http.train("stopped", **LONG)["task_id"]
        http.wait_for_epoch(task_id, 2)
        http.post(f"/api/v2/training/{task_id}/stop")
        task = http.wait(task_id)
        assert task["status"] == "cancelled"
        assert "last.ckpt" in task["message"]
        assert (service.data_root / "out/stopped/last.ckpt").is_file()
        http.wait_until_free("cpu:0", 10)

    def test_a_stopped_training_can_be_continued_by_a_new_one(self, http):
        task_id = http.train("first-half", **LONG)["task_id"]
        http.wait_for_epoch(task_id, 2)
        http.post(f"/api/v2/training/{task_id}/stop")
        reached = http.wait(task_id)["current_epoch"]
        task = http.wait(http.train("second-half", num_epochs=reached + 1, resume_from=task_id)["task_id"], "completed")
        first = next(each for each in http.log(task["task_id"]) if each.get("stage") == "epoch_end")
        assert first["metrics"]["epoch"] >= reached - 1
        with pytest.raises(AssertionError, match="is no training"):
            http.train("third", resume_from="nobody")

    def test_cancel_takes_a_waiting_task_out_of_the_line_and_stops_a_running_one(self, http, service):
        first, second, third = (http.train(f"cancel-{number}", device="cuda:0", **LONG)["task_id"] for number in range(3))
        http.wait_for_epoch(first, 1)
        assert http.task(second)["status"] == "queued"
        http.post(f"/api/v2/tasks/{second}/cancel")
        assert http.task(second)["status"] == "cancelled"
        http.post(f"/api/v2/tasks/{first}/cancel")
        assert http.wait(first)["status"] == "cancelled"
        http.wait(third, "running")
        assert http.task(second)["attempts"] == 1
        http.post(f"/api/v2/tasks/{third}/cancel")
        assert http.wait(third)["status"] == "cancelled"
        http.wait_until_free("cuda:0", 10)
        assert attempt_processes(service) == []

    def test_a_killed_process_without_retries_fails_clearly_and_its_lease_is_back_in_five_seconds(self, http, service):
        task_id = http.train("killed", device="cuda:0", max_retries=0, **LONG)["task_id"]
        http.wait_for_epoch(task_id, 1)
        (process,) = attempt_processes(service)
        os.kill(process.pid, signal.SIGKILL)
        http.wait_until_free("cuda:0", 5)
        task = http.wait(task_id)
        assert (task["status"], task["error"]["code"]) == ("failed", "attempt_died")
        assert task["error"]["hint"]

    def test_a_killed_process_is_repeated_from_its_checkpoint(self, http, service):
        task_id = http.train("repeated", device="cuda:0", num_epochs=6, max_retries=1)["task_id"]
        http.wait_for_epoch(task_id, 3)
        (process,) = attempt_processes(service)
        os.kill(process.pid, signal.SIGKILL)
        task = http.wait(task_id, "completed")
        assert task["attempts"] == 2
        log = http.log(task_id)
        assert any("going on from last.ckpt" in record["message"] for record in log)
        ends = [record["metrics"]["epoch"] for record in log if record.get("stage") == "epoch_end"]
        assert sorted(set(ends)) == list(range(1, 7))
        assert len(ends) <= 8, "it began again instead of going on"

    def test_a_supervisor_that_is_killed_comes_back_and_adopts_what_runs(self, http, service):
        task_id = http.train("adopted", device="cuda:0", num_epochs=5)["task_id"]
        http.wait_for_epoch(task_id, 2)
        (process,) = attempt_processes(service)
        note = json.loads((service.state_dir / "run/supervisor.json").read_text())
        os.kill(note["pid"], signal.SIGKILL)
        task = wait_through_a_restart(http, task_id)
        assert (task["status"], task["attempts"]) == ("completed", 1)
        http.wait_until_free("cuda:0", 10)
        assert not is_alive(process)


def wait_through_a_restart(http, task_id):
    """Wait for the end of a task; 503 is the only other answer that is allowed."""
    while True:
        answer = http.client.get(f"/api/v2/tasks/{task_id}")
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200 and answer.json()["status"] in ("completed", "failed", "cancelled"):
            return answer.json()


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "status", "word"),
        [
            ({"model": "resnet19"}, 422, "resnet18"),
            ({"device": "banana"}, 422, "cuda:N"),
            ({"device": "cuda:9"}, 409, "cuda:0"),
            ({"train_path": "nowhere"}, 404, "nowhere"),
            ({"train_path": "/etc"}, 403, "data root"),
            ({"num_classes": 1}, 422, "2 class folders"),
            ({"model": "vit_b_16"}, 422, "224"),
        ],
    )
    def test_what_can_be_known_at_submission_is_refused_then(self, http, changes, status, word):
        body = {"model": "resnet18", "num_classes": 2, "train_path": str(http.data / "train"), "val_path": str(http.data / "valid")}
        body |= {"save_path": "bad", "pretrained": False, "image_size": 32, "device": "cpu"} | changes
        answer = http.client.post("/api/v2/training/start", json=body)
        assert answer.status_code == status, answer.text
        assert word in json.dumps(answer.json())

    def test_an_empty_class_folder_is_named(self, http, service):
        root = shutil.copytree(http.data / "train", service.data_root / "hollow")
        (root / "empty").mkdir()
        body = {"train_path": str(root), "num_classes": 3}
        with pytest.raises(AssertionError, match="empty"):
            http.train("hollow", **body)

    def test_an_unreadable_picture_fails_the_training_with_its_name(self, http, service):
        root = shutil.copytree(http.data / "train", service.data_root / "spoilt")
        (root / "red/broken.png").write_bytes(b"no picture")
        task = http.wait(http.train("spoilt", train_path=str(root))["task_id"])
        assert (task["status"], task["error"]["code"]) == ("failed", "unreadable_picture")
        assert "broken.png" in task["error"]["message"]
        http.wait_until_free("cpu:0", 10)

    def test_a_disk_that_gets_full_fails_the_training_and_leaves_no_half_file(self, http, service):
        with small_disk(service.data_root / "small-disk", megabytes=300) as target:
            task_id = http.train("x", save_path=str(target), num_epochs=200, keep_checkpoints=1)["task_id"]
            http.wait_for_epoch(task_id, 1)
            fill_up(target)
            task = http.wait(task_id)
            assert (task["status"], task["error"]["code"]) == ("failed", "disk_full")
            left = [path for path in (target / "x").rglob("*") if path.is_file() and path.name != ".fence"]
            assert not [path.name for path in left if path.name.endswith(".tmp") or ".attempt-" in str(path)]
            for path in left:
                if path.suffix in (".pth", ".ckpt"):
                    torch.load(path, weights_only=True)
            http.wait_until_free("cpu:0", 10)
