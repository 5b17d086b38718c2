"""A recording's overview holds mean power wherever frames lie, whether they overlap, leave gaps, or are narrower than a column."""

import tracemalloc

import numpy as np
import pytest

from actors.signals.overview import Overview


def frame(levels, height=3):
    return np.tile(np.asarray(levels, dtype=np.float32), (height, 1))


def test_one_frame_is_shown_whole():
    overview = Overview(1.0, width=8)
    overview.add(frame([0, 10, 20, 30]), 0.0, 1.0)
    np.testing.assert_allclose(overview.decibels(), frame([0, 0, 10, 10, 20, 20, 30, 30]), atol=1e-4)


def test_many_frames_in_a_column_give_their_mean_power():
    overview = Overview(1.0, width=2)
    for number in range(100):
        overview.add(frame([10.0 * (number % 2)] * 5), number / 100, 0.01)
    np.testing.assert_allclose(overview.decibels(), frame([10 * np.log10(5.5)] * 2), atol=1e-3)


def test_overlapping_frames_are_averaged_not_added():
    overview = Overview(1.0, width=4)
    for start in (0.0, 0.25, 0.5):
        overview.add(frame([7.0] * 4), start, 0.5)
    np.testing.assert_allclose(overview.decibels(), frame([7.0] * 4), atol=1e-4)


def test_gaps_have_no_level_and_a_padded_frame_ends_with_the_recording():
    overview = Overview(1.0, width=4)
    overview.add(frame([3.0, 3.0]), 0.0, 0.25)
    overview.add(frame([5.0, -300.0]), 0.75, 0.5)
    levels = overview.decibels()[0]
    assert levels[[0, 3]] == pytest.approx([3.0, 5.0], abs=1e-4)
    assert np.isneginf(levels[1:3]).all()


def test_silence_beside_a_strong_signal_is_never_no_number():
    overview = Overview(1.0, width=64)
    levels = np.full((224, 224), -370.0, dtype=np.float32)
    levels[:, :100] = np.random.default_rng(1).uniform(-50, 60, (224, 100))
    overview.add(levels, 0.0, 1.0)
    assert not np.isnan(overview.decibels()).any()


def test_without_a_frame_there_is_nothing_to_see():
    assert np.isneginf(Overview(1.0).decibels()).all()


def test_overviews_that_wait_for_their_first_frame_take_no_room():
    tracemalloc.start()
    waiting = [Overview(1.0) for _ in range(100)]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 100 * 1000, f"{len(waiting)} take {taken} bytes"
