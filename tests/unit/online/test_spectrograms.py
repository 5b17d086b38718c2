"""Pictures of whole recordings that come with predictions."""

import asyncio
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from actors.core.errors import PredictionInputError
from actors.online.orders import Content
from actors.online.spectrograms import MOST_HEIGHT, MOST_RECORDINGS, MOST_WIDTH
from actors.signals.overview import pool_rows
from tests.unit.online.test_engine import recording
from tests.unit.online.versions import RATE, SIZE, order_of, picture
from tests.unit.signals.recordings import encode


def predict(engine, *args, **parts):
    return asyncio.run(engine.predict(order_of(*args, **parts)))


def tone(count, frequency):
    """A tone in the second half of a recording, over a little noise."""
    rng = np.random.default_rng(0)
    samples = 1e-3 * (rng.standard_normal(count) + 1j * rng.standard_normal(count))
    samples[count // 2 :] += np.exp(2j * np.pi * frequency / RATE * np.arange(count - count // 2))
    return samples.astype(np.complex64)


def brightness(png):
    """Where the jet's steps lie, as an array of (height, width)."""
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_recording_is_shown_whole_with_its_time_and_its_band(engines, model, tmp_path):
    path = tmp_path / "tone.cf32"
    path.write_bytes(encode(tone(23_000, RATE / 4), "cf32_le"))
    content = Content("tone.cf32", "recording", path=path, sample_rate=RATE, center_frequency=433e6)
    (found,) = predict(engines(), model, content, spectrogram=True).spectrograms
    shown = brightness(found.png)
    assert shown.shape == (found.height, found.width)
    assert found.width == MOST_WIDTH
    assert SIZE <= found.height <= MOST_HEIGHT
    assert (found.file, found.center_frequency, found.sample_rate) == ("tone.cf32", 433e6, RATE)
    assert found.duration_s == pytest.approx(23_000 / RATE)
    row = int(shown[:, found.width * 3 // 4].argmax())
    assert row / found.height == pytest.approx(0.25, abs=0.1)  # a quarter of the rate above the centre, the highest on top
    assert shown[row, : found.width // 3].mean() < shown[row, found.width * 2 // 3 :].mean() - 50


def test_the_answer_is_the_same_with_the_picture_and_without(engines, model, tmp_path):
    engine, file = engines(max_batch=1), recording(tmp_path)
    plain, drawn = predict(engine, model, file), predict(engine, model, file, spectrogram=True)
    assert plain.predictions == drawn.predictions
    assert (len(plain.spectrograms), len(drawn.spectrograms)) == (0, 1)


def test_pictures_and_what_cannot_be_read_have_none(engines, model, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF nothing")
    contents = picture(1), recording(tmp_path), Content("bad.wav", "recording", path=bad)
    answer = predict(engines(), model, *contents, spectrogram=True)
    assert [each.file for each in answer.spectrograms] == [contents[1].file]


def test_more_recordings_than_an_answer_can_carry_are_refused(engines, model, tmp_path):
    many = [recording(tmp_path, 2_000, name=f"r{number}.cf32") for number in range(MOST_RECORDINGS + 1)]
    with pytest.raises(PredictionInputError, match=f"may have {MOST_RECORDINGS}"):
        predict(engines(), model, *many, spectrogram=True)


def test_joined_rows_keep_the_mean_power():
    levels = np.array([[0.0], [10.0], [-np.inf], [0.0], [20.0]], dtype=np.float32)
    joined = pool_rows(levels, 2)
    assert joined[:, 0] == pytest.approx([10 * np.log10(11 / 2), 10 * np.log10(101 / 3)], abs=1e-4)
    assert pool_rows(levels, 5) is levels


def test_drawing_needs_no_matplotlib():
    code = "import sys; import actors.online.engine; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
