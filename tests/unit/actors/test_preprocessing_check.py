"""What is refused of a preprocessing task before it waits in line."""

from pathlib import Path

import pytest
from PIL import Image

from actors.admission import Admission
from actors.core.errors import SubmissionError
from actors.core.model import WorkKind
from actors.core.tasks import Submission


@pytest.fixture
def root(tmp_path):
    for part in ("train", "valid"):
        for name in ("a", "b"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "1.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def split(source, output="out"):
    return Submission("t", WorkKind.PREPROCESSING, "dataset_split", {"input_path": str(source)}, "cpu", 5, output_path=str(output))


def augment(dataset, output="out"):
    request = {"dataset_path": str(dataset)}
    return Submission("t", WorkKind.PREPROCESSING, "data_augmentation", request, "cpu", 5, output_path=str(output))


def crop(source, output="out"):
    return Submission("t", WorkKind.PREPROCESSING, "image_crop", {"input_path": str(source)}, "cpu", 5, output_path=str(output))


def refusal(root, submission):
    with pytest.raises(SubmissionError) as caught:
        Admission([root]).check(submission)
    return caught.value.code, caught.value.field


@pytest.mark.parametrize(
    ("submission", "resolved"),
    [
        (split("set/train"), {"input_path": "set/train", "output": "out"}),
        (augment("set/"), {"dataset_path": "set", "output": "out"}),
        (crop("set/train/a/1.png"), {"input_path": "set/train/a/1.png", "output": "out"}),
        (crop("set"), {"input_path": "set", "output": "out"}),
    ],
)
def test_a_sound_task_comes_back_with_its_paths_resolved(root, submission, resolved):
    assert Admission([root]).check(submission).resolved == {name: str(root / path) for name, path in resolved.items()}


@pytest.mark.parametrize("make", [split, augment, crop])
def test_paths_must_be_there_and_inside_the_roots(root, make):
    field = "dataset_path" if make is augment else "input_path"
    assert refusal(root, make("nowhere")) == ("path_not_found", field)
    assert refusal(root, make("/etc")) == ("path_forbidden", field)
    assert refusal(root, make("set", "../elsewhere")) == ("path_forbidden", "output_path")
    assert refusal(root, make("set/train" if make is split else "set", "notes.txt")) == ("invalid_path", "output_path")


def test_a_link_that_leads_out_of_the_roots_is_refused(root, tmp_path_factory):
    (root / "link").symlink_to(tmp_path_factory.mktemp("outside"))
    assert refusal(root, split("link")) == ("path_forbidden", "input_path")
    assert refusal(root, split("set/train", "link/out")) == ("path_forbidden", "output_path")


def test_what_holds_nothing_to_work_on_is_refused(root):
    assert refusal(root, split("set/train/a"))[1] == "input_path"
    assert refusal(root, augment("set/train")) == ("no_pictures_found", "dataset_path")
    assert refusal(root, crop("notes.txt")) == ("no_pictures_found", "input_path")


@pytest.mark.parametrize(
    "submission",
    [
        split("set/train", "set/train"),
        split("set/train", "set/train/out"),
        augment("set", "set"),
        augment("set", "set/aug"),
        crop("set", "set/cut"),
    ],
)
def test_no_task_may_write_into_what_it_reads(root, submission):
    assert refusal(root, submission) == ("config_invalid", "output_path")


def test_reading_beside_what_is_written_is_allowed(root):
    (root / "set/train").rename(root / "all")
    assert Admission([root]).check(split("all", ".")).resolved["output"] == str(root)


def test_an_input_that_is_the_root_itself_has_no_sibling_inside(root):
    (Path(root) / "train").symlink_to(root / "set/train")
    assert refusal(root, augment(root, f"{root}_aug")) == ("path_forbidden", "output_path")


def test_a_type_that_nobody_can_do_is_refused(root):
    assert refusal(root, Submission("t", WorkKind.PREPROCESSING, "repainting", {}, "cpu", 5))[0] == "unknown_work"
