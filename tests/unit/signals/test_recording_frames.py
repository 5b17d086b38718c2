"""Frames read from a file one by one equal those of the whole recording."""

import numpy as np
import pytest

from actors.signals.errors import RecordingTooShortError, ResamplingError
from actors.signals.frames import RecordingFrames, cut_frames
from actors.signals.recipe import Recipe
from actors.signals.recording import open_recording
from actors.signals.resample import plan_resampling, resample
from tests.unit.signals.recordings import encode, make_samples, write_sigmf

RATE = 250e3


def write(folder, count, name="x_433.92M_250k"):
    samples = make_samples(count)
    path = folder / f"{name}.cf32"
    path.write_bytes(encode(samples, "cf32_le"))
    return open_recording(path), samples


def test_frames_are_those_of_the_samples_in_memory(tmp_path):
    recording, samples = write(tmp_path, 100_000)
    recipe = Recipe.p1(RATE)
    frames = RecordingFrames(recording, recipe)
    expected = cut_frames(samples, recipe)
    assert len(frames) == len(expected) == 7
    for index in range(7):
        np.testing.assert_array_equal(frames.read(index), expected[index])
    place = frames[2]
    assert (place.first, place.count, place.start_s, place.duration_s) == (25_000, 25_000, 0.1, 0.1)
    assert place.center_frequency == 433.92e6
    assert frames[-1].first == frames[6].first == [*frames][6].first
    with pytest.raises(IndexError):
        frames.read(7)


@pytest.mark.parametrize("rate", [200e3, 1e6, 44.1e3, 300e3])
def test_a_frame_resampled_alone_is_that_of_the_whole_recording_resampled(tmp_path, rate):
    recording, samples = write(tmp_path, 90_000)
    recipe = Recipe.native(rate, nfft=256, frame_duration_s=0.05, frame_step_s=0.03)
    frames = RecordingFrames(recording, recipe)
    expected = cut_frames(resample(samples, plan_resampling(RATE, recipe)), recipe)
    assert len(frames) == len(expected)
    for index, place in enumerate(frames):
        np.testing.assert_allclose(frames.read(index), expected[index], atol=2e-6)
        assert abs(place.start_s - index * 0.03) < 1 / min(rate, RATE)
        assert place.first + place.count <= 90_000


def test_a_frame_lies_within_one_capture(tmp_path):
    samples = make_samples(70_000)
    captures = [{"core:sample_start": start, "core:frequency": frequency} for start, frequency in ((0, 1e9), (30_000, 2e9))]
    path = write_sigmf(tmp_path, "hop", encode(samples, "cf32_le"), rate=RATE, captures=captures)
    frames = RecordingFrames(open_recording(path), Recipe.native(RATE, frame_duration_s=0.1))
    assert [(place.first, place.center_frequency) for place in frames] == [(0, 1e9), (30_000, 2e9)]
    np.testing.assert_allclose(frames.read(1), samples[30_000:55_000])


def test_short_captures_are_padded_or_counted(tmp_path):
    samples = make_samples(40_000)
    captures = [{"core:sample_start": 0}, {"core:sample_start": 35_000}]
    recording = open_recording(write_sigmf(tmp_path, "hop", encode(samples, "cf32_le"), rate=RATE, captures=captures))
    refusing = RecordingFrames(recording, Recipe.native(RATE, frame_duration_s=0.1, short="refuse"))
    assert (len(refusing), refusing.short_captures) == (1, 1)
    padding = RecordingFrames(recording, Recipe.native(RATE, frame_duration_s=0.1))
    assert (len(padding), padding[1].count, padding.short_captures) == (2, 5_000, 0)
    frame = padding.read(1)
    np.testing.assert_allclose(frame[:5_000], samples[35_000:])
    assert not frame[5_000:].any()


def test_a_recording_without_a_frame_is_refused_with_its_name(tmp_path):
    recording, _ = write(tmp_path, 10_000)
    with pytest.raises(RecordingTooShortError, match=r"x_433\.92M_250k\.cf32 has 10000 samples in one piece, a frame 25000"):
        RecordingFrames(recording, Recipe.p1(RATE))
    with pytest.raises(ResamplingError):
        RecordingFrames(recording, Recipe.native(1e6, short="pad", allow_resampling=False))
