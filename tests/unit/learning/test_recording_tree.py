"""Recordings of a tree are opened, get one recipe, and number their frames; what cannot be used is counted and named."""

import numpy as np
import pytest

from actors.files.errors import DatasetError
from actors.learning.class_tree import scan_class_folders, scan_dataset
from actors.learning.errors import UnusableRecordingError
from actors.learning.plan import RecordingChoices
from actors.learning.recording_tree import lay_out_frames, open_recordings
from actors.signals.errors import RecipeError, SampleRateError
from actors.signals.frames import settle_recipe
from tests.unit.learning.recording_trees import FRAME, RATE, RECIPE, make_signal, write_recording, write_trees
from tests.unit.signals.recordings import encode, make_samples, write_sigmf

CHOICES = RecordingChoices(recipe=RECIPE)


def frames_of(tree, choices=CHOICES):
    recordings = open_recordings(tree, choices)
    return lay_out_frames(tree, recordings, settle_recipe(choices.recipe, [*recordings.values()]))


def test_a_tree_of_recordings_counts_every_recording_once(tmp_path):
    write_recording(tmp_path / "a/x_433.92M_16k.cu8", make_samples(600), "cu8")
    (tmp_path / "b/deep").mkdir(parents=True)
    write_sigmf(tmp_path / "b/deep", "y", encode(make_samples(600), "cf32_le"))
    tree = scan_class_folders(tmp_path)
    assert tree.kind == "recordings"
    assert tree.samples == (("a/x_433.92M_16k.cu8", 0), ("b/deep/y.sigmf-meta", 1))


def test_pictures_and_recordings_in_one_tree_are_refused_with_the_way_out(tmp_path):
    write_recording(tmp_path / "a/x.cf32", make_samples(600))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/1.png").touch()
    with pytest.raises(DatasetError, match=r"pictures \(b/1\.png\) and recordings \(a/x\.cf32\).*preprocessing/spectrogram"):
        scan_class_folders(tmp_path)


def test_both_trees_hold_the_same_kind(tmp_path):
    write_trees(tmp_path)
    for kind in ("bursts", "tones"):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        (tmp_path / "pictures" / kind / "1.png").touch()
    with pytest.raises(DatasetError, match="holds pictures, but the training tree recordings"):
        scan_dataset(tmp_path / "train", tmp_path / "pictures", 2)


def test_frames_are_numbered_through_all_recordings(tmp_path):
    signals = [make_signal("tones", count * FRAME + 7, count) for count in (2, 1, 3)]
    for name, signal in zip(("a/0", "a/1", "b/0"), signals, strict=True):
        write_recording(tmp_path / f"{name}_433.92M_16k.cf32", signal)
    frames = frames_of(scan_class_folders(tmp_path))
    assert (len(frames), frames.counts, frames.labels) == (6, (3, 3), [0, 0, 0, 1, 1, 1])
    assert [frames.recording_of(index) for index in range(6)] == [0, 0, 1, 2, 2, 2]
    np.testing.assert_allclose(frames.read(4), signals[2][FRAME : 2 * FRAME].astype(np.complex64))


def test_the_recipe_takes_the_rate_that_all_recordings_have(tmp_path):
    assert frames_of(scan_class_folders(write_trees(tmp_path) / "train")).recipe.sample_rate == RATE


def test_different_rates_without_one_in_the_recipe_are_refused_with_two_files(tmp_path):
    write_recording(tmp_path / "a/0_433.92M_16k.cf32", make_samples(600))
    write_recording(tmp_path / "a/1_433.92M_32k.cf32", make_samples(1200))
    tree = scan_class_folders(tmp_path)
    with pytest.raises(SampleRateError, match=r"0_433.92M_16k.cf32 has 16000 .*1_433.92M_32k.cf32 has 32000") as caught:
        frames_of(tree)
    assert "recipe.sample_rate" in caught.value.hint
    frames = frames_of(tree, RecordingChoices(recipe={**RECIPE, "sample_rate": RATE}))
    assert len(frames) == 2
    assert frames.remarks() == [f"1 recording below {tmp_path} brought from 32000 to 16000 S/s"]


def test_recordings_that_cannot_be_opened_are_counted_and_five_are_named(tmp_path):
    for index in range(7):
        write_recording(tmp_path / f"a/{index}_433.92M_16k.cf32", [])
    write_recording(tmp_path / "a/9_433.92M_16k.cf32", make_samples(600))
    with pytest.raises(UnusableRecordingError, match="and 2 more") as caught:
        frames_of(scan_class_folders(tmp_path))
    assert caught.value.message.startswith("7 recordings")
    assert "a/4_433" in caught.value.message
    assert "a/5_433" not in caught.value.message


def test_a_rate_that_nobody_tells_comes_with_its_remedy(tmp_path):
    write_recording(tmp_path / "a/x.cf32", make_samples(600))
    tree = scan_class_folders(tmp_path)
    with pytest.raises(UnusableRecordingError, match=r"x\.cf32") as caught:
        frames_of(tree)
    assert "sample_rate" in caught.value.hint
    assert len(frames_of(tree, RecordingChoices(recipe=RECIPE, sample_rate=RATE))) == 1


def test_a_recording_shorter_than_a_frame_is_refused_where_the_recipe_says_so(tmp_path):
    write_recording(tmp_path / "a/x_433.92M_16k.cf32", make_samples(FRAME - 1))
    tree = scan_class_folders(tmp_path)
    assert len(frames_of(tree)) == 1
    with pytest.raises(UnusableRecordingError, match=r"x_433.*a frame 512"):
        frames_of(tree, RecordingChoices(recipe={**RECIPE, "short": "refuse"}))


def test_a_wrong_recipe_is_its_own_error(tmp_path):
    with pytest.raises(RecipeError, match="nfft"):
        frames_of(scan_class_folders(write_trees(tmp_path) / "train"), RecordingChoices(recipe={**RECIPE, "nfft": 7}))


def test_a_bounded_number_of_recordings_is_looked_at_evenly_spread(tmp_path):
    for index in range(10):
        write_recording(tmp_path / f"a/{index}_433.92M_16k.cf32", make_samples(FRAME))
    tree = scan_class_folders(tmp_path)
    looked_at = open_recordings(tree, CHOICES, most=4)
    assert [name[2] for name in looked_at] == ["0", "3", "6", "9"]
    assert len(lay_out_frames(tree, looked_at, settle_recipe(CHOICES.recipe, [*looked_at.values()]))) == 4


def test_a_step_of_a_few_samples_by_mistake_is_refused_before_its_frames_are_counted_out(tmp_path):
    write_recording(tmp_path / "a/x_433.92M_16k.cf32", [])
    with (tmp_path / "a/x_433.92M_16k.cf32").open("wb") as file:
        file.truncate(8 * 1_000_600)
    choices = RecordingChoices(recipe={**RECIPE, "frame_step_s": 1 / RATE})
    with pytest.raises(
        RecipeError, match=r"1 recordings have 1000089 frames, more than the 1000000 of one task.*frame_step_s than"
    ):
        frames_of(scan_class_folders(tmp_path), choices)
