"""Rendered spectrograms are pictures with room for axes, and show what is where."""

import io

import numpy as np
import pytest
from PIL import Image

from actors.signals.rendering import Axes, _ticks, render_png

AXES = Axes(start_s=0.2, duration_s=0.1, centre_hz=2.44e9, sample_rate=100e6, title="pack1")


def render(decibels, **choices):
    return np.asarray(Image.open(io.BytesIO(render_png(decibels, AXES, **choices))).convert("RGB")).astype(int)


def test_the_spectrogram_stands_unscaled_within_its_axes():
    decibels = np.full((200, 300), -60, np.float32)
    decibels[:20] = -10
    picture = render(decibels, span_db=(-60, -10))
    assert picture.shape == (200 + 80, 300 + 190, 3)
    inside = picture[34:234, 80:380]
    assert (inside[:20, :, 0] > 100).all()  # The top is loud: red.
    assert (inside[20:, :, 2] > 100).all()
    assert (inside[20:, :, 0] == 0).all()


def test_axes_titles_and_numbers_are_drawn():
    blank = render(np.zeros((200, 300), np.float32))
    assert (blank[240:, 80:380] < 128).any()
    assert (blank[34:234, :74] < 128).any()
    assert (blank[34:234, 412:] < 128).any()
    assert (blank[:30, 80:380] < 128).any()


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_silence_can_be_drawn(value):
    assert render(np.full((50, 60), value, np.float32)).shape == (130, 250, 3)


def test_ticks_are_round_numbers_within_the_span():
    assert _ticks(2390, 100, 5) == [("2400", 0.1), ("2420", 0.3), ("2440", 0.5), ("2460", 0.7), ("2480", 0.9)]
    assert [text for text, _ in _ticks(0.2, 0.1, 4)] == ["0.20", "0.25", "0.30"]
