"""A recipe comes with recordings and with nothing else, and recordings that cannot be used are refused at the door."""

from dataclasses import replace

import pytest

from actors.admission import Admission
from actors.core.errors import SubmissionError
from tests.unit.actors.test_admission import training
from tests.unit.learning.recording_trees import RECIPE, write_recording, write_trees
from tests.unit.signals.recordings import make_samples


@pytest.fixture
def root(tmp_path):
    write_trees(tmp_path / "data")
    for part in ("train", "valid"):
        for name in ("bursts", "tones"):
            (tmp_path / "pictures" / part / name).mkdir(parents=True)
            (tmp_path / "pictures" / part / name / "1.png").touch()
    return tmp_path


def on_recordings(**changes):
    return training(recipe=RECIPE, **changes)


def refusal(root, submission):
    with pytest.raises(SubmissionError) as caught:
        Admission([root]).check(submission)
    return caught.value


def test_recordings_with_a_recipe_are_accepted(root):
    checked = Admission([root]).check(on_recordings(augmentation={"frequency_roll": 0.5}))
    assert checked.resolved["train_path"] == str(root / "data/train")


def test_recordings_without_a_recipe_are_refused_with_an_example(root):
    error = refusal(root, training())
    assert (error.code, error.field) == ("recipe_missing", "recipe")
    assert '"recipe": {"pipeline": "native"' in error.hint


@pytest.mark.parametrize("field", ["recipe", "augmentation"])
def test_what_is_for_recordings_is_refused_for_pictures(root, field):
    error = refusal(root, training(train_path="pictures/train", val_path="pictures/valid", **{field: {"pipeline": "native"}}))
    assert (error.code, error.field) == ("recordings_expected", field)


def test_both_paths_hold_the_same_kind(root):
    assert refusal(root, on_recordings(val_path="pictures/valid")).field == "val_path"


def test_too_few_classes_are_refused_as_for_pictures(root):
    assert refusal(root, on_recordings(num_classes=1)).code == "too_few_classes"


@pytest.mark.parametrize(("tree", "field"), [("train", "train_path"), ("valid", "val_path")])
@pytest.mark.parametrize(
    ("name", "samples", "told"),
    [
        ("empty_433.92M_16k.cf32", [], "empty_433"),
        ("unknown.cf32", make_samples(600), "nobody tells the sample rate"),
        ("far_433.92M_9000k.cf32", make_samples(600), "times apart"),
    ],
)
def test_a_bad_recording_is_named_under_its_field(root, tree, field, name, samples, told):
    write_recording(root / "data" / tree / "bursts" / name, samples)
    error = refusal(root, training(recipe={**RECIPE, "sample_rate": 16e3}))
    assert error.field == field
    assert name in error.message
    assert told in error.message


def test_rates_that_differ_are_refused_unless_the_recipe_has_one(root):
    write_recording(root / "data/valid/tones/z_433.92M_32k.cf32", make_samples(2000))
    error = refusal(root, on_recordings())
    assert (error.code, error.field) == ("sample_rate", "recipe")
    assert "32000" in error.message
    assert "recipe.sample_rate" in error.hint
    Admission([root]).check(training(recipe={**RECIPE, "sample_rate": 16e3}))


def test_a_recipe_that_does_not_fit_the_recordings_rate_is_the_recipes_fault(root):
    error = refusal(root, training(recipe={**RECIPE, "frame_duration_s": 1e-6}))
    assert (error.code, error.field) == ("recipe_invalid", "recipe")


def test_the_request_tells_what_recordings_do_not(root):
    write_recording(root / "data/valid/tones/plain.iq", make_samples(2000), "ci16_le")
    submission = on_recordings(sample_rate=16e3, format="ci16_le", center_frequency=433.92e6)
    for path in (root / "data").rglob("*.cf32"):
        path.rename(path.with_name(path.name.replace("_433.92M_16k.cf32", ".dat")))
    assert Admission([root]).check(submission).resolved["train_path"]
    assert (
        refusal(root, replace(submission, request={**submission.request, "format": None, "sample_rate": None})).field
        == "train_path"
    )
