"""Split, augment, crop and spectrogram over HTTP on a service that was really started, with real spectrograms where they are at hand."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actors.preprocessing.plan import METHODS
from tests.service.driving import attempt_processes, is_alive
from tests.service.http_client import Http
from tests.service.test_main_job import wait_through_a_restart

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, service.data_root)


@pytest.fixture(scope="module")
def pictures(service):
    """Class folders of real spectrograms, several of each recording."""
    if service.test_data is None:
        pytest.skip("no test data: set RFUAV_TEST_DATA")
    return service.test_data / "ism_spectrograms" / "train"


@pytest.fixture(scope="module")
def dataset(http, service, pictures):
    """The pictures, split into train, valid and test."""
    body = {"input_path": str(pictures), "output_path": "sets/ism", "train_ratio": 0.6, "val_ratio": 0.2, "seed": 7}
    task = finish(http, "split", body)
    assert task["status"] == "completed", task
    return service.data_root / "sets/ism"


def start(http, kind, body):
    return http.post(f"/api/v2/preprocessing/{kind}", body)["task_id"]


def finish(http, kind, body):
    """Run a task to its end; returns it as the preprocessing routes show it."""
    task_id = start(http, kind, body)
    http.wait(task_id)
    return shown(http, task_id)


def shown(http, task_id):
    answer = http.client.get(f"/api/v2/preprocessing/{task_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def files(folder):
    """Every picture below a folder that is in its place, by its path in it."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    return {path for path in found if not path.startswith(".")}


def recordings(names):
    return {name.rpartition("/")[2].rpartition("_")[0] for name in names}


class TestSplit:
    def test_it_is_a_partition_in_which_recordings_stay_whole(self, dataset, pictures):
        parts = {name: files(dataset / name) for name in ("train", "valid", "test")}
        assert set.union(*parts.values()) == files(pictures)
        assert sum(map(len, parts.values())) == 320
        held = {name: recordings(found) for name, found in parts.items()}
        assert not held["train"] & held["valid"] | held["train"] & held["test"] | held["valid"] & held["test"]

    def test_its_stats_are_what_lies_on_the_disk_and_outlive_the_supervisor(self, http, service, dataset):
        page = http.client.get("/api/v2/tasks").json()
        (task_id,) = [task["task_id"] for task in page["preprocessing_tasks"] if task["output_path"] == "sets/ism"]
        note = json.loads((service.state_dir / "run/supervisor.json").read_text())
        os.kill(note["pid"], signal.SIGKILL)
        wait_through_a_restart(http, task_id)
        stats = shown(http, task_id)["stats"]
        counted = {part: len(files(dataset / folder)) for part, folder in (("train", "train"), ("val", "valid"), ("test", "test"))}
        assert {part: stats[f"{part}_images"] for part in counted} == counted
        assert stats["total_images"] == 320

    def test_the_same_seed_into_another_folder_gives_the_same_split(self, http, service, dataset, pictures):
        body = {"input_path": str(pictures), "output_path": "sets/again", "train_ratio": 0.6, "val_ratio": 0.2, "seed": 7}
        assert finish(http, "split", body)["status"] == "completed"
        assert files(service.data_root / "sets/again") == files(dataset)


class TestAugment:
    def test_a_split_set_is_enlarged_beside_itself(self, http, service, dataset):
        task = finish(http, "augment", {"dataset_path": "sets/ism", "methods": ["CLAHE", "ISONoise"]})
        assert (task["status"], task["output_path"], task["progress"]) == ("completed", "sets/ism_aug", 100)
        originals = len(files(dataset / "train"))
        written = files(service.data_root / "sets/ism_aug" / "train")
        assert len([name for name in written if "_origin." in name]) == originals
        assert len([name for name in written if "_AugM" in name]) == 2 * originals
        assert task["stats"]["original_images"] >= originals

    def test_a_cancelled_one_leaves_whole_pictures_and_nothing_running(self, http, service, dataset):
        task_id = start(http, "augment", {"dataset_path": "sets/ism", "output_path": "sets/cancelled"})
        wait_for_files(http, task_id, service.data_root / "sets/cancelled", 20)
        http.post(f"/api/v2/preprocessing/{task_id}/cancel")
        assert http.wait(task_id)["status"] == "cancelled"
        http.wait_until_free("cpu:0", 10)
        assert attempt_processes(service) == []
        folder = service.data_root / "sets/cancelled"
        left = files(folder)
        assert 20 <= len(left) < (1 + len(METHODS)) * len(files(dataset / "train") | files(dataset / "valid"))
        assert not list(folder.glob(".attempt-*"))
        for name in left:
            with Image.open(folder / name) as picture:
                picture.load()
        assert http.log(task_id)[-1]["status"] == "cancelled"

    def test_a_killed_one_goes_on_at_the_next_file(self, http, service, dataset):
        folder = service.data_root / "sets/killed"
        task_id = start(http, "augment", {"dataset_path": "sets/ism", "output_path": "sets/killed"})
        wait_for_files(http, task_id, folder, 20)
        (process,) = attempt_processes(service)
        assert "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text(), (
            "torch takes seconds to load, and nothing here needs it"
        )
        os.kill(process.pid, signal.SIGKILL)
        before = {name: (folder / name).stat().st_mtime_ns for name in files(folder)}
        task = http.wait(task_id)
        assert (task["status"], task["attempts"]) == ("completed", 2)
        assert not is_alive(process)
        after = {name: (folder / name).stat().st_mtime_ns for name in files(folder)}
        kept = [name for name in before if after[name] == before[name]]
        assert len(kept) >= len(before) - 2 * (1 + len(METHODS)), "only pictures in work when it died are made again"
        sources = len(files(dataset / "train")) + len(files(dataset / "valid"))
        assert len([name for name in after if name.startswith(("train/", "valid/"))]) == (1 + len(METHODS)) * sources


class TestCrop:
    def test_every_picture_is_cut_to_the_box(self, http, service, dataset):
        body = {"input_path": "sets/ism/valid", "output_path": "sets/cut", "x": 16, "y": 32, "width": 100, "height": 50}
        task = finish(http, "crop", body)
        assert (task["status"], task["stats"]["success"], task["stats"]["failed"]) == (
            "completed",
            len(files(dataset / "valid")),
            0,
        )
        folder = service.data_root / "sets/cut"
        assert files(folder) == files(dataset / "valid")
        for name in files(folder):
            with Image.open(folder / name) as picture:
                assert picture.size == (100, 50)


@pytest.fixture(scope="module")
def flights(service):
    """Class folders of a few recordings, real ones where they are at hand."""
    for class_name in ("dsc_contact", "silvercrest_rc"):
        folder = service.data_root / "iq" / class_name
        folder.mkdir(parents=True)
        for number, content in enumerate(some_samples(service, class_name)):
            (folder / f"flight{number}_433.92M_250k.cu8").write_bytes(content)
    return service.data_root / "iq"


def some_samples(service, class_name):
    """The bytes of four recordings."""
    if service.test_data is None:
        noise = np.random.default_rng(len(class_name))
        return [noise.integers(100, 150, 200_000, dtype=np.uint8).tobytes() for _ in range(4)]
    return [path.read_bytes() for path in sorted((service.test_data / "ism" / class_name).glob("*.cu8"))[:4]]


class TestSpectrogram:
    def test_it_makes_pictures_a_recipe_and_a_manifest(self, http, service, flights):
        recipe = {"pipeline": "native", "nfft": 256, "frame_duration_s": 0.131}
        body = {
            "input_path": str(flights),
            "output_path": "sets/iq",
            "recipe": recipe,
            "image_size": 64,
            "train_ratio": 0.5,
            "seed": 3,
        }
        task = finish(http, "spectrogram", body)
        assert (task["status"], task["task_type"], task["progress"]) == ("completed", "spectrogram", 100), task
        folder = service.data_root / "sets/iq"
        written = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
        assert task["stats"]["recordings"] == 8
        assert task["stats"]["pictures"] == task["stats"]["train_images"] + task["stats"]["val_images"] == len(written) >= 8
        held = {part: {name.rpartition("_")[0] for name in written if name.startswith(part)} for part in ("train", "valid")}
        assert not {name.removeprefix("train/") for name in held["train"]} & {name.removeprefix("valid/") for name in held["valid"]}
        with Image.open(folder / min(written)) as picture:
            assert picture.size == (64, 64)
        made = json.loads((folder / "recipe.json").read_text())
        assert (made["image_size"], made["recipe"]["sample_rate"]) == (64, 250e3)
        assert {row["file"] for row in csv.DictReader((folder / "manifest.csv").open())} == written
        paths = {"train_path": "sets/iq/train", "val_path": "sets/iq/valid", "save_path": "out"}
        training = {"model": "resnet18", "num_classes": 2, "image_size": 64, "pretrained": False, **paths}
        answer = http.post("/api/v2/tasks/explain", {"task_type": "training", "request": training})
        assert "would_start" in answer, "a training takes it as it is"

    def test_a_broken_recording_is_refused_at_once_by_its_name(self, http, service):
        (service.data_root / "broken").mkdir()
        (service.data_root / "broken/cut_433.92M_250k.cu8").write_bytes(bytes(401))
        body = {"input_path": "broken", "output_path": "sets/broken", "recipe": {"pipeline": "native"}}
        refused = http.post("/api/v2/preprocessing/spectrogram", body, expect=422)
        assert refused["code"] == "unreadable_recording"
        assert "cut_433.92M_250k.cu8" in refused["message"]


def test_it_waits_for_a_lease_of_its_own_limit_which_can_be_raised(http, pictures):
    body = {"input_path": str(pictures), "output_path": "sets/waited", "x": 0, "y": 0, "width": 8, "height": 8}
    draft = {"task_type": "image_crop", "request": body}
    http.limit("cpu", preprocessing=0)
    try:
        assert http.post("/api/v2/tasks/explain", draft)["would_start"] is False
        waits, leaves = start(http, "crop", body), start(http, "crop", body)
        http.wait(waits, "queued")
        assert http.why(waits)["missing"] == "limit"
        http.post(f"/api/v2/preprocessing/{leaves}/cancel")
        assert http.wait(leaves)["status"] == "cancelled"
    finally:
        http.limit("cpu", preprocessing=2)
    assert http.wait(waits)["status"] == "completed"
    assert http.post("/api/v2/tasks/explain", draft)["would_start"] is True


def test_wrong_paths_are_told_at_once(http, pictures):
    box = {"x": 0, "y": 0, "width": 1, "height": 1}
    nowhere = {"input_path": "nowhere", "output_path": "o"}
    assert http.post("/api/v2/preprocessing/split", nowhere, expect=404)["code"] == "path_not_found"
    assert http.post("/api/v2/preprocessing/crop", {**nowhere, "input_path": "/etc", **box}, expect=403)["code"] == "path_forbidden"
    within = {"input_path": str(pictures), "output_path": str(pictures / "out")}
    assert http.post("/api/v2/preprocessing/split", within, expect=422)["code"] == "config_invalid"
    assert http.post("/api/v2/preprocessing/augment", {"dataset_path": str(pictures)}, expect=422)["code"] == "no_pictures_found"


def wait_for_files(http, task_id, folder, count):
    """Return once a running task has put so many files in place."""
    http.wait(task_id, "running")
    while len(files(folder) if folder.is_dir() else ()) < count:
        assert http.task(task_id)["status"] == "running"
