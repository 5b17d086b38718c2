"""What a preprocessing attempt makes of its order, and what it tells."""

import threading

import pytest
from PIL import Image

from actors.attempt_order import AttemptOrder
from actors.core.model import GIB, Device, DeviceKind, Lease, LeaseRequest, Portion, WorkKind
from actors.core.tasks import PreprocessingType, Progress
from actors.fence import FencedFolder
from actors.files.errors import WorkError
from actors.messages import GrantedLease, LeasePlace
from actors.signals.recipe_file import read_recipe_file
from actors.workers.gpu_memory import GpuMemory
from actors.workers.preprocessing import run_preprocessing
from actors.workers.tools import Tools
from configs.settings import Settings
from tests.http.test_http_imports import loaded_by
from tests.service.pictures import write_coloured

CPU = Device("cpu:0", DeviceKind.CPU, "node-a", 0, 16 * GIB, cores=2)
SPLIT = {"train_ratio": 0.5, "val_ratio": 0.25, "seed": 1, "group_by": "file"}
AUGMENT = {"methods": ["CLAHE"], "seed": 1}
SPECTROGRAM = {
    "recipe": {"pipeline": "native", "nfft": 64, "frame_duration_s": 0.01},
    "image_size": 48,
    "train_ratio": 0.5,
    "val_ratio": None,
    "seed": 1,
    "sample_rate": 1e5,
    "center_frequency": None,
    "format": None,
}
CROP = {"x": 2, "y": 3, "width": 8, "height": 4}


class FakeReporter:
    def __init__(self):
        self.lines = []
        self.progress = Progress()

    def line(self, level, message, **marks):
        self.lines.append((level, message, marks))

    def advance(self, percent, message):
        self.progress = Progress(percent, message)


@pytest.fixture
def data(tmp_path):
    return write_coloured(tmp_path / "data", train=8, valid=4)


@pytest.fixture
def reporter():
    return FakeReporter()


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def attempt(tmp_path, reporter, stop, monkeypatch):
    """Run an attempt of a kind as its process would."""
    monkeypatch.setattr(Tools, "settle_on_device", lambda _self: "cpu")

    def run(kind, request, field, source, token=1):
        wish = LeaseRequest("t.1", "t", WorkKind.PREPROCESSING, "cpu", 5, 1.0)
        lease = Lease(f"lease-{token}", token, wish, (Portion("cpu:0", 300, GIB),), 2.0)
        granted = GrantedLease(lease, (LeasePlace(CPU, ""),))
        folder = FencedFolder(tmp_path / "out", token)
        resolved = {field: str(source), "output": str(folder.folder)}
        order = AttemptOrder(f"t.{token}", "t", WorkKind.PREPROCESSING, kind, request, resolved, granted, resume=token > 1)
        tools = Tools(order, Settings(data_roots=(tmp_path,)), folder, reporter, 2, stop.is_set, GpuMemory())
        try:
            return run_preprocessing(tools)
        finally:
            folder.close()

    return run


def pictures(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_a_split_puts_every_picture_into_a_part_and_counts_them(attempt, data, tmp_path, reporter):
    result = attempt(PreprocessingType.SPLIT, SPLIT, "input_path", data / "train")
    assert (result.outcome, result.progress.percent) == ("completed", 100)
    assert {name: result.progress.stats[f"{name}_images"] for name in ("total", "train", "val", "test")} == {
        "total": 16,
        "train": 8,
        "val": 4,
        "test": 4,
    }
    assert sorted(name.partition("/")[2] for name in pictures(tmp_path / "out")) == pictures(data / "train")
    level, message, marks = reporter.lines[-1]
    assert (level, message, marks["status"], marks["progress"]) == ("INFO", result.message, "running", 100)


def test_an_augmentation_writes_each_picture_and_its_variants(attempt, data, tmp_path):
    result = attempt(PreprocessingType.AUGMENT, AUGMENT, "dataset_path", data)
    assert result.outcome == "completed"
    assert (result.progress.stats["original_images"], result.progress.stats["augmented_images"]) == (24, 24)
    assert len(pictures(tmp_path / "out")) == 48


def test_a_crop_cuts_the_box_of_the_request(attempt, data, tmp_path):
    result = attempt(PreprocessingType.CROP, CROP, "input_path", data / "valid")
    assert (result.progress.stats["success"], result.progress.stats["failed"]) == (8, 0)
    for name in pictures(tmp_path / "out"):
        with Image.open(tmp_path / "out" / name) as cut, Image.open(data / "valid" / name) as whole:
            assert cut.tobytes() == whole.crop((2, 3, 10, 7)).tobytes()


def test_recordings_become_pictures_by_the_recipe_of_the_request(attempt, tmp_path):
    for name in ("a/one", "a/two", "b/one", "b/two"):
        path = tmp_path / f"iq/{name}.cs8"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(range(256)) * 16)
    result = attempt(PreprocessingType.SPECTROGRAM, SPECTROGRAM, "input_path", tmp_path / "iq")
    assert (result.outcome, result.progress.stats["pictures"], result.progress.stats["train_images"]) == ("completed", 8, 4)
    with Image.open(tmp_path / "out" / pictures(tmp_path / "out")[0]) as picture:
        assert (picture.size, picture.mode) == ((48, 48), "RGB")
    assert read_recipe_file(tmp_path / "out/recipe.json").recipe.sample_rate == 1e5


def test_an_attempt_that_is_asked_to_stop_says_how_far_it_came_and_the_next_goes_on(attempt, data, tmp_path, stop):
    stop.set()
    result = attempt(PreprocessingType.AUGMENT, AUGMENT, "dataset_path", data)
    assert result.outcome == "stopped"
    assert result.progress.percent < 100
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in pictures(tmp_path / "out")}
    assert len(before) < 48
    stop.clear()
    assert attempt(PreprocessingType.AUGMENT, AUGMENT, "dataset_path", data, token=2).outcome == "completed"
    after = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in pictures(tmp_path / "out")}
    assert len(after) == 48
    assert {name: after[name] for name in before} == before


def test_the_same_request_again_changes_nothing_and_counts_the_same(attempt, data, tmp_path):
    first = attempt(PreprocessingType.CROP, CROP, "input_path", data)
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in pictures(tmp_path / "out")}
    again = attempt(PreprocessingType.CROP, CROP, "input_path", data, token=2)
    assert (again.outcome, again.progress.stats) == ("completed", first.progress.stats)
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in times} == times


def test_an_output_folder_of_another_run_is_the_users_mistake(attempt, data):
    attempt(PreprocessingType.AUGMENT, AUGMENT, "dataset_path", data)
    with pytest.raises(WorkError, match="seed"):
        attempt(PreprocessingType.AUGMENT, AUGMENT | {"seed": 2}, "dataset_path", data, token=2)


@pytest.mark.parametrize("job", ["split", "augment", "crop", "spectrogram"])
def test_no_job_loads_torch(job):
    assert (
        loaded_by(f"actors.workers.attempt, actors.workers.preprocessing, actors.preprocessing.{job}", "torch", "torchvision") == []
    )
