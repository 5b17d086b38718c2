"""What is wrong with an evaluation is known before it waits, and the field that is to blame is named."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from actors.admission import Admission
from actors.core.errors import SubmissionError
from actors.core.model import WorkKind
from actors.core.tasks import EVALUATE, Submission
from actors.learning.model_card import sha256_of
from tests.http.test_http_imports import loaded_by

RECIPE = {"pipeline": "native", "nfft": 64, "frame_duration_s": 1e-3}


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "recordings" / name).mkdir(parents=True)
        np.ones(4_000, np.complex64).tofile(tmp_path / "recordings" / name / "1.cf32")
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / name / "1.png")
    (tmp_path / "w.pth").write_bytes(b"weights")
    config = {"model": "resnet18", "num_classes": 3, "class_names": {"a": 0, "b": 1, "c": 2}, "image_size": 64}
    (tmp_path / "cfg.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def check(root, *, output="out", **changes):
    request = {"cfg_path": "cfg.yaml", "weight_path": "w.pth", "data_path": "recordings", "sample_rate": 1e6, "recipe": RECIPE}
    request |= {"center_frequency": None, "format": None} | changes
    return Admission([root]).check(Submission("t", WorkKind.INFERENCE, EVALUATE, request, "cpu", 3, output_path=output)).resolved


def test_a_sound_one_comes_back_with_its_paths_resolved(root):
    assert check(root) == {
        "cfg_path": str(root / "cfg.yaml"),
        "weight_path": str(root / "w.pth"),
        "data_path": str(root / "recordings"),
        "output": str(root / "out"),
    }
    assert check(root, data_path="pictures", recipe=None)["data_path"] == str(root / "pictures")


def test_the_recipe_may_be_the_model_cards(root):
    card = {"format_version": 1, "architecture": "resnet18", "classes": ["a"], "num_classes": 3, "image_size": 64, "recipe": RECIPE}
    card["weights_sha256"] = sha256_of(root / "w.pth")
    (root / "model_card.json").write_text(json.dumps(card))
    assert check(root, recipe=None)


def test_one_bad_recording_is_no_reason_to_refuse_the_others(root):
    (root / "recordings/a/0.cf32").write_bytes(b"12345")
    assert check(root)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cfg_path": "none.yaml"}, ("path_not_found", "cfg_path")),
        ({"cfg_path": "w.pth"}, ("config_invalid", "cfg_path")),
        ({"weight_path": "recordings"}, ("invalid_path", "weight_path")),
        ({"data_path": "/etc"}, ("path_forbidden", "data_path")),
        ({"data_path": "recordings/a"}, ("dataset_invalid", "data_path")),
        ({"data_path": "pictures", "snr_db": [0]}, ("noise_not_possible", "snr_db")),
        ({"recipe": None}, ("recipe_missing", "recipe")),
        ({"recipe": RECIPE | {"nfft": 4096}}, ("recipe_invalid", "recipe")),
        ({"sample_rate": None}, ("sample_rate", "sample_rate")),
        ({"format": "ci8"}, ("recording_metadata", "data_path")),
        ({"output": "recordings/a/out"}, ("invalid_path", "save_path")),
        ({"output": "/tmp/elsewhere"}, ("path_forbidden", "save_path")),
    ],
)
def test_what_can_be_known_to_be_wrong_is_refused(root, changes, expected):
    with pytest.raises(SubmissionError) as caught:
        check(root, **changes)
    assert (caught.value.code, caught.value.field) == expected


def test_folders_that_are_no_classes_are_named_and_so_are_the_classes(root):
    (root / "recordings/a").rename(root / "recordings/drone")
    with pytest.raises(SubmissionError, match=r"data_path: .*no classes of the model: drone .*a, b, c"):
        check(root)


def test_an_empty_class_folder_is_refused_by_name(root):
    (root / "recordings/c").mkdir()
    with pytest.raises(SubmissionError, match=r"data_path: .*/c holds no picture"):
        check(root)


def test_a_class_folder_that_leads_out_of_the_roots_is_refused(root, tmp_path_factory):
    (root / "recordings/c").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(SubmissionError, match=r"data_path: .*link out of the data roots"):
        check(root)


def test_the_check_needs_no_torch():
    assert loaded_by("actors.evaluation_check", "torch", "torchvision", "scipy") == []
