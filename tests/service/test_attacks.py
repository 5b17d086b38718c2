"""Files made to do harm, given to real workers: the task fails with a clear code, nothing runs, nothing outside is written."""

import json
import os
import shutil

import httpx
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from tests import attack_files
from tests.service.http_client import Http
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.service

BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "attacked/data"))


@pytest.fixture(scope="module")
def root(http):
    """The folder inside the data root that these tests use."""
    return http.data.parent


@pytest.fixture(scope="module")
def model(http, root):
    """A finished small training."""
    task = http.wait(http.train("attacked-model")["task_id"])
    assert task["status"] == "completed", task
    return task["task_id"], root / "out/attacked-model"


@pytest.fixture
def outside(service):
    """A folder beside the data root, which must stay as it is. The service is healthy afterwards."""
    folder = service.data_root.parent / "outside"
    shutil.rmtree(folder, ignore_errors=True)
    write_coloured(folder, train=1, valid=1)
    before = attack_files.outline(folder)
    yield folder
    assert attack_files.outline(folder) == before
    assert Http(service.url, folder).client.get("/api/v1/health").json()["status"] == "healthy"


def fail(http, task_id):
    task = http.wait(task_id)
    assert task["status"] == "failed", task
    return task["error"]


@pytest.mark.usefixtures("root")
def test_weights_that_would_run_code_fail_their_tasks_and_run_nothing(http, root, outside):
    attack_files.pickle_that_runs(root / "runs.pth", outside / "canary")
    attack_files.safetensors_that_lie(root / "lies.safetensors")
    attack_files.safetensors_of_nothing(root / "nothing.safetensors")
    save_file({"a": np.zeros(1, np.float32)}, root / "other.safetensors")
    expected = {
        "runs.pth": "weights_unreadable",
        "lies.safetensors": "weights_unreadable",
        "nothing.safetensors": "weights_unreadable",
        "other.safetensors": "weights_mismatch",
    }
    tasks = {name: http.train(f"weights-{name}", weight_path=str(root / name))["task_id"] for name in expected}
    assert {name: fail(http, task_id)["code"] for name, task_id in tasks.items()} == expected


def test_pictures_made_to_do_harm_are_entries_with_an_error_and_the_others_are_predicted(http, root, outside, model):
    source = root / "hostile"
    source.mkdir()
    Image.new("RGB", (32, 32)).save(source / "sound.png")
    attack_files.huge_png_header(source / "huge.png")
    attack_files.zip_bomb_png(source / "bomb.png")
    attack_files.png_with_much_text(source / "text.png")
    attack_files.pickle_that_runs(source / "pickle.png", outside / "canary")
    frames = [Image.new("P", (32, 32), number) for number in range(3)]
    frames[0].save(source / "frames.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("RGB").save(source / "frames.tiff", save_all=True, append_images=[each.convert("RGB") for each in frames[1:]])
    (source / "link.png").symlink_to(outside / "valid/red/0.png")
    (source / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(source / "pipe.png")
    task = http.wait(http.infer("hostile", model[1], source_path=str(source))["task_id"])
    assert task["status"] == "completed", task
    answer = http.client.get(f"/api/v2/tasks/{task['task_id']}/files/predictions.json")
    assert answer.status_code == 200
    failed = {each["file"] for each in json.loads(answer.text) if each["error"]}
    predicted = {each["file"] for each in json.loads(answer.text) if not each["error"]}
    assert failed >= {"huge.png", "text.png", "pickle.png", "link.png"}
    assert predicted >= {"sound.png", "frames.gif", "frames.tiff"}
    assert not {"zero.png", "pipe.png"} & (failed | predicted), "they are no files"


def test_a_training_reads_no_picture_behind_a_link_out_of_the_roots(http, root, outside):
    data = write_coloured(root / "linked", train=2, valid=1)
    (data / "train/red/9.png").symlink_to(outside / "train/red/0.png")
    error = fail(http, http.train("linked", train_path=str(data / "train"), val_path=str(data / "valid"))["task_id"])
    assert error["code"] == "unreadable_picture"
    assert "red/9.png (it is a link out of the data roots)" in error["message"]


def test_an_output_folder_that_becomes_a_link_while_the_task_waits_is_not_written_through(http, root, outside):
    http.limit("cpu", training=0)
    try:
        task_id = http.train("swapped")["task_id"]
        (root / "out").mkdir(exist_ok=True)
        (root / "out/swapped").symlink_to(outside)
    finally:
        http.limit("cpu", training=2)
    assert fail(http, task_id)["code"] == "path_forbidden"


def test_an_uploaded_file_can_be_used_by_a_task_and_what_it_wrote_comes_back(http, root, model):
    picture = (http.data / "valid/red/0.png").read_bytes()
    where = {"path": str(root / "uploaded/new/a.png")}
    assert http.client.post("/api/v2/data", params=where, content=picture, headers=BYTES).status_code == 200
    assert http.client.post("/api/v2/data", params=where, content=picture, headers=BYTES).status_code == 409
    page = http.client.get("/api/v2/data", params={"path": str(root / "uploaded/new")}).json()
    assert [(each["name"], each["size_bytes"]) for each in page["entries"]] == [("a.png", len(picture))]
    task = http.wait(http.infer("uploaded", model[1], source_path=page["entries"][0]["path"])["task_id"])
    files = http.client.get(f"/api/v2/tasks/{task['task_id']}/files").json()["files"]
    assert [each["path"] for each in files] == ["a.jpg", "predictions.csv", "predictions.json"]
    weights = http.client.get(f"/api/v2/tasks/{model[0]}/files/best_model.pth", headers={"range": "bytes=0-1"})
    assert (weights.status_code, weights.content) == (206, b"PK")


def test_nothing_is_imported_from_the_folder_that_the_service_was_started_in(http, service, outside):
    """By default it is the data root, to which anybody may upload a module of such a name."""
    modules = [service.data_root.parent / name for name in ("torch.py", "cv2.py", "torchmetrics.py")]
    try:
        for module in modules:
            module.write_text(f"open({str(outside / 'canary')!r}, 'w').close()\n")
        assert http.wait(http.train("shadowed")["task_id"])["status"] == "completed"
    finally:
        for module in modules:
            module.unlink(missing_ok=True)


@pytest.mark.parametrize("value", [b"0.0000001", b"\xff"])
@pytest.mark.parametrize("name", [b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"x-request-id", b"x-session-id"])
def test_no_header_gives_orders_to_serve(service, name, value):
    assert httpx.get(f"{service.url}/api/v1/health", headers=[(name, value)]).status_code == 200


def test_the_state_of_the_service_is_no_data(http, service):
    (service.data_root / "state").symlink_to(service.state_dir)
    try:
        answer = http.client.get("/api/v2/data", params={"path": "state"})
        assert answer.status_code == 403
    finally:
        (service.data_root / "state").unlink()
