"""A task that cannot come to its end on its disk is refused, one that takes much of it is warned of."""

import os
import shutil
from typing import NamedTuple

import pytest
from PIL import Image

from actors.admission import Admission
from actors.core.errors import SubmissionError
from actors.core.model import GIB, WorkKind
from actors.core.tasks import Submission
from actors.disk_check import check_training_room, decoded_bytes, training_need
from actors.learning.class_tree import ClassTree
from actors.learning.memory_costs import COSTS

PARAMETERS = COSTS["resnet18"].parameters
WEIGHTS = 4 * PARAMETERS
#: The best weights, and three states of weights and moments.
FIXED = WEIGHTS + 3 * 12 * PARAMETERS


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def free(monkeypatch):
    """Sets the free bytes of every disk."""
    return lambda size: monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 50, 0, size))


def request(**changes):
    return {"model": "resnet18", "num_epochs": 10, "image_size": 64, "keep_checkpoints": "all"} | changes


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [
        ({}, 10, 10),
        ({"keep_checkpoints": 3}, 3, 3),
        ({"keep_checkpoints": 300}, 10, 10),
        ({"early_stopping_patience": 4}, 5, 10),
        ({"early_stopping_patience": 4, "keep_checkpoints": 2}, 2, 2),
        ({"early_stopping_patience": 40}, 10, 10),
    ],
)
def test_a_training_writes_the_weights_it_keeps_the_best_again_and_three_states(changes, least, most):
    need = training_need(request(**changes))
    assert (need.least_bytes, need.most_bytes) == (FIXED + least * WEIGHTS, FIXED + most * WEIGHTS)


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [({"num_epochs": 1}, 1), ({"num_epochs": 2}, 2), ({"num_epochs": 3}, 3), ({"early_stopping_patience": 1}, 2)],
)
def test_a_training_needs_no_more_states_than_epochs_and_may_write_three(changes, epochs, free, tmp_path):
    asked = request(keep_checkpoints=1, **changes)
    need = training_need(asked)
    assert need.least_bytes == WEIGHTS + epochs * 12 * PARAMETERS + WEIGHTS
    assert need.most_bytes == FIXED + WEIGHTS
    free(need.least_bytes)
    assert "may take about" in check_training_room(asked, tmp_path)
    free(need.least_bytes - 1)
    with pytest.raises(SubmissionError, match="would take about"):
        check_training_room(asked, tmp_path)


def test_nobody_is_told_to_keep_as_many_checkpoints_as_asked_for_or_more(free, tmp_path):
    free(FIXED + 8 * WEIGHTS)
    assert "set keep_checkpoints to 8 or less" in check_training_room(request(early_stopping_patience=2), tmp_path)
    for keep in (7, 8):
        warning = check_training_room(request(keep_checkpoints=keep), tmp_path)
        assert warning.endswith("; free some space there, or choose another save_path")


def test_what_cannot_fit_is_refused_with_the_number_of_checkpoints_that_would(free, tmp_path):
    free(FIXED + 7 * WEIGHTS)
    with pytest.raises(SubmissionError) as caught:
        check_training_room(request(), tmp_path / "to/be/made")
    error = caught.value
    assert (error.code, error.field) == ("disk_need_exceeds_room", "save_path")
    assert "resnet18 for 10 epochs would take about 0.83 GiB, and 0.71 GiB are free at save_path /" in error.message
    assert error.hint.startswith("set keep_checkpoints to 7 or less, free some space there, or choose another save_path")
    assert check_training_room(request(keep_checkpoints=7), tmp_path)


def test_where_not_even_one_checkpoint_fits_none_is_proposed(free, tmp_path):
    free(FIXED)
    with pytest.raises(SubmissionError) as caught:
        check_training_room(request(), tmp_path)
    assert caught.value.hint == "free some space there, or choose another save_path"


def test_what_takes_over_half_of_the_room_is_warned_of(free, tmp_path):
    free(2 * (FIXED + 10 * WEIGHTS))
    assert check_training_room(request(), tmp_path) == ""
    free(2 * (FIXED + 10 * WEIGHTS) - 2)
    assert "may take about 0.83 GiB, and 1.67 GiB are free at save_path" in check_training_room(request(), tmp_path)


def test_what_may_end_early_is_warned_of_and_not_refused(free, tmp_path):
    free(FIXED + 7 * WEIGHTS)
    assert "may take about" in check_training_room(request(early_stopping_patience=5), tmp_path)


def test_files_of_an_earlier_training_make_room_where_they_are_replaced(free, tmp_path):
    for name in ("ResNet_epoch_3.pth", "ResNet_epoch_11.pth", "last.ckpt", "notes.txt"):
        with (tmp_path / name).open("wb") as file:
            os.truncate(file.fileno(), WEIGHTS)
    free(FIXED + 7 * WEIGHTS)
    assert check_training_room(request(num_epochs=9), tmp_path)
    with pytest.raises(SubmissionError):
        check_training_room(request(num_epochs=10), tmp_path)


def test_pictures_over_the_memory_budget_are_counted_once_per_device(tmp_path):
    train, val = (ClassTree(tmp_path, ("a",), (("a/1.png", 0),) * count) for count in (10, 4))
    each = 64 * 64 * 3
    assert decoded_bytes((train, val), request(), 14 * each) == 0
    assert decoded_bytes((train, val), request(), 13 * each) == 4 * each
    assert decoded_bytes((train, val), request(), 9 * each) == 14 * each
    assert decoded_bytes((train, val), request(num_gpus=2), 14 * each) == 2 * 14 * each
    recordings = ClassTree(tmp_path, ("a",), (("a/1.iq", 0),), "recordings")
    assert decoded_bytes((recordings, recordings), request(), 0) == 0


class TestAdmission:
    @pytest.fixture
    def root(self, tmp_path):
        for part in ("train", "valid"):
            for name in ("a", "b"):
                (tmp_path / part / name).mkdir(parents=True)
                Image.new("RGB", (8, 8)).save(tmp_path / part / name / "1.png")
        return tmp_path

    def training(self, **changes):
        asked = request(num_classes=2, train_path="train", val_path="valid", **changes)
        return Submission("t", WorkKind.TRAINING, "training", asked, "cpu", 5, output_path="out")

    def preprocessing(self, kind, **asked):
        return Submission("t", WorkKind.PREPROCESSING, kind, asked, "cpu", 5, output_path="out")

    def test_a_training_is_refused_or_remarked_on(self, root, free):
        free(2 * GIB)
        assert "disk_note" not in Admission([root]).check(self.training()).resolved
        free(GIB)
        assert "may take about 0.83 GiB" in Admission([root]).check(self.training()).resolved["disk_note"]
        free(1000)
        with pytest.raises(SubmissionError, match="save_path: resnet18 for 10 epochs would take"):
            Admission([root]).check(self.training())

    def test_decoded_pictures_that_memory_does_not_take_count(self, root, free):
        free(FIXED + 10 * WEIGHTS + 4 * 64 * 64 * 3)
        Admission([root]).check(self.training())
        free(FIXED + 10 * WEIGHTS + 4 * 64 * 64 * 3 - 1)
        Admission([root]).check(self.training())
        with pytest.raises(SubmissionError, match="save_path"):
            Admission([root], picture_cache_bytes=0).check(self.training())

    def test_copies_of_pictures_are_weighed_and_links_are_not(self, root, free):
        size = (root / "train/a/1.png").stat().st_size
        split = {"input_path": "train"}
        free(2 * size - 1)
        with pytest.raises(SubmissionError, match="output_path: the copies would take"):
            Admission([root]).check(self.preprocessing("dataset_split", **split))
        assert Admission([root]).check(self.preprocessing("dataset_split", **split, files="link"))
        free(4 * size)
        assert "disk_note" not in Admission([root]).check(self.preprocessing("dataset_split", **split)).resolved

    def test_what_augmentation_may_make_is_warned_of(self, root, free):
        (root / "set").mkdir()
        for part in ("train", "valid"):
            (root / part).rename(root / "set" / part)
        free(12 * (root / "set/train/a/1.png").stat().st_size)
        two, one = (self.preprocessing("data_augmentation", dataset_path="set", methods=["x"] * count) for count in (2, 0))
        assert "the copies may take" in Admission([root]).check(two).resolved["disk_note"]
        assert "disk_note" not in Admission([root]).check(one).resolved

    def test_a_run_that_goes_on_is_not_weighed_again(self, root, free):
        (root / "out").mkdir()
        (root / "out/manifest.json").write_text("{}")
        free(0)
        assert Admission([root]).check(self.preprocessing("dataset_split", input_path="train"))
