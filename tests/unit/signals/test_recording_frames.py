"""Frames read from a file one by one equal those of the whole recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.signals.errors import RecordingTooShortError, ResamplingError
from actors.signals.frames import RecordingFrames
from actors.signals.recipe import Recipe
from actors.signals.recording import open_recording
from actors.signals.resample import plan_resampling, resample_part
from tests.unit.signals.recordings import cut, encode, make_samples, write_sigmf

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
    expected = cut(samples, recipe)
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
    change = plan_resampling(RATE, recipe)
    whole = resample_part(lambda at, n: samples[at : at + n], 90_000, change, first=0, count=change.output_length(90_000))
    expected = cut(whole, recipe)
    assert len(frames) == len(expected)
    for index, place in enumerate(frames):
        np.testing.assert_allclose(frames.read(index), expected[index], atol=2e-6)
        assert abs(place.start_s - index * 0.03) < 1 / min(rate, RATE)
        assert place.first + place.count <= 90_000


@pytest.mark.parametrize("rate", [RATE, 300e3])
def test_samples_are_changed_where_they_lie_in_the_recording_before_any_resampling(tmp_path, rate):
    samples = make_samples(70_000)
    captures = [{"core:sample_start": 0}, {"core:sample_start": 30_000}]
    frames = RecordingFrames(
        open_recording(write_sigmf(tmp_path, "a", encode(samples, "cf32_le"), rate=RATE, captures=captures)), Recipe.native(rate)
    )
    ramp = np.arange(70_000, dtype=np.complex64)
    path = write_sigmf(tmp_path, "b", encode(samples + ramp, "cf32_le"), rate=RATE, captures=captures)
    expected = RecordingFrames(open_recording(path), Recipe.native(rate))
    for index in range(2):
        found = frames.read(index, change=lambda first, part: part + ramp[first : first + len(part)])
        np.testing.assert_allclose(found, expected.read(index), rtol=1e-5)


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


@settings(deadline=None, max_examples=100)
@given(count=st.integers(1, 200), length=st.integers(8, 70), step=st.integers(1, 70), short=st.sampled_from(["pad", "refuse"]))
def test_frames_cover_what_they_promise(tmp_path_factory, count, length, step, short):
    samples = make_samples(count)
    path = tmp_path_factory.mktemp("x") / "a.cf32"
    path.write_bytes(encode(samples, "cf32_le"))
    recipe = Recipe.native(1e3, nfft=8, frame_duration_s=length / 1e3, frame_step_s=step / 1e3, short=short)
    recording = open_recording(path, sample_rate=1e3)
    if count < length and short == "refuse":
        with pytest.raises(RecordingTooShortError, match=r"a\.cf32 has"):
            RecordingFrames(recording, recipe)
        return
    frames = RecordingFrames(recording, recipe)
    assert [place.first for place in frames] == [step * number for number in range(len(frames))]
    assert frames[-1].first + step + length > count, "there is room for one more"
    for index, place in enumerate(frames):
        frame = frames.read(index)
        assert len(frame) == length
        assert np.array_equal(frame[: place.count], samples[place.first : place.first + place.count])
        assert not frame[place.count :].any()


def test_frames_of_many_captures_are_found_by_their_number(tmp_path):
    samples = make_samples(30_000)
    captures = [{"core:sample_start": start} for start in range(0, 30_000, 100)]
    recording = open_recording(write_sigmf(tmp_path, "hop", encode(samples, "cf32_le"), rate=RATE, captures=captures))
    recipe = Recipe.native(RATE, nfft=8, frame_duration_s=40 / RATE)
    frames = RecordingFrames(recording, recipe)
    assert [place.first for place in frames] == [100 * number + start for number in range(300) for start in (0, 40)]
