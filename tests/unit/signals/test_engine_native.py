"""The native pictures, the grid of decibels, and what the engine asks of its input."""

import json

import numpy as np
import pytest
import torch

from actors.signals import stft
from actors.signals.engine import SpectrogramEngine
from actors.signals.errors import RecordingTooShortError
from actors.signals.recipe import Recipe
from tests.unit.signals.recordings import cut
from tests.unit.signals.reference import data_folder, dji, synthetic

NATIVE = Recipe.native(1e6, nfft=256, frame_duration_s=0.05)


def noise(samples, power=1.0, seed=1):
    parts = np.random.default_rng(seed).normal(size=(samples, 2), scale=np.sqrt(power / 2))
    return parts.astype(np.float32).view(np.complex64)[:, 0]


def boxes():
    meta = json.loads((data_folder() / "dji_droneid" / "mavic_air_2.sigmf-meta").read_text(encoding="utf-8"))
    centre, rate = meta["captures"][0]["core:frequency"], meta["global"]["core:sample_rate"]
    for box in meta["annotations"]:
        first = box["core:sample_start"]
        edges = ((box[f"core:freq_{side}_edge"] - centre) / rate + 0.5 for side in ("lower", "upper"))
        yield slice(first, first + box["core:sample_count"]), *edges


def test_a_drones_bursts_stand_25_db_over_the_median():
    samples, size = dji(), 512
    recipe = Recipe.native(50e6, frame_duration_s=len(samples) / 50e6)
    decibels = SpectrogramEngine(recipe).decibels(samples[None], (size, size))[0]
    found = 0
    for times, lower, upper in boxes():
        columns = slice(round(times.start / len(samples) * size), round(times.stop / len(samples) * size))
        inside = decibels[round((1 - upper) * size) : round((1 - lower) * size), columns]
        energy = 10 * torch.log10((10 ** (inside / 10)).mean())
        assert energy - decibels.median() > 25
        found += 1
    assert found == 4


def test_a_tone_of_amplitude_1_has_0_db_at_its_place():
    tone = np.exp(2j * np.pi * 0.25 * np.arange(50_000)).astype(np.complex64)
    decibels = SpectrogramEngine(NATIVE).decibels(tone[None], (10, 256))[0]
    row = int(decibels[:, 5].argmax())
    assert row == pytest.approx((0.5 - 0.25) * 256, abs=1)
    assert float(decibels[row, 5]) == pytest.approx(0.0, abs=0.01)


def test_brightness_tells_decibels_over_the_noise_whatever_the_gain():
    times = np.arange(50_000)
    quiet = noise(50_000, 1e-4)
    weak = quiet + 0.01 * np.exp(2j * np.pi * 0.2 * times).astype(np.complex64)
    strong = quiet + 0.1 * np.exp(2j * np.pi * 0.2 * times).astype(np.complex64)
    pictures = SpectrogramEngine(NATIVE)(np.stack([weak, strong, weak * 10]))
    assert float(pictures[1].max() - pictures[0].max()) * 50 == pytest.approx(20, abs=1)
    torch.testing.assert_close(pictures[0], pictures[2], atol=1e-4, rtol=0)


def test_pictures_have_three_equal_channels_of_float32():
    pictures = SpectrogramEngine(NATIVE, image_size=96)(noise(100_000).reshape(2, -1))
    assert (pictures.shape, pictures.dtype, pictures.device.type) == ((2, 3, 96, 96), torch.float32, "cpu")
    assert torch.equal(pictures[:, 0], pictures[:, 1])
    assert torch.equal(pictures[:, 0], pictures[:, 2])
    assert float(pictures.min()) >= 0
    assert float(pictures.max()) <= 1


def test_time_runs_to_the_right_and_frequency_upwards():
    tone = noise(50_000, 1e-6)
    tone[25_000:] += np.exp(2j * np.pi * 0.25 * np.arange(25_000)).astype(np.complex64)
    grey = SpectrogramEngine(NATIVE)(tone[None])[0, 0]
    assert float(grey[50:60, 130:].max()) > 0.9
    assert float(grey[:, :100].max()) < 0.5
    assert float(grey[112:, 130:].mean()) < 0.5


def test_added_zeros_are_black_and_do_not_move_the_floor():
    whole = noise(50_000)
    engine = SpectrogramEngine(NATIVE)
    padded = engine(whole[None, :15_000])[0, 0]
    assert float(padded[:, 80:].max()) == 0
    assert float(padded[:, :60].mean()) == pytest.approx(float(engine(whole[None])[0, 0, :, :60].mean()), abs=0.01)


def test_silence_is_black():
    assert not SpectrogramEngine(NATIVE)(torch.zeros(1, 50_000, dtype=torch.complex64)).any()


def test_how_columns_are_cut_into_blocks_changes_nothing(monkeypatch):
    samples = synthetic(50_000)[None]
    for recipe in (NATIVE, Recipe.p1(1e6, frame_duration_s=0.05)):
        monkeypatch.setattr(stft, "_CPU_BLOCK", 2**17)
        usual = SpectrogramEngine(recipe)(samples)
        monkeypatch.setattr(stft, "_CPU_BLOCK", 7 * recipe.nfft)
        assert float((SpectrogramEngine(recipe)(samples) - usual).abs().mean()) < 1e-4


def test_short_frames_are_refused_where_the_recipe_says_so():
    engine = SpectrogramEngine(Recipe.p1(1e6))
    with pytest.raises(RecordingTooShortError, match=r"99999 samples are fewer than the 100000 of a frame .* short=\"pad\""):
        engine(noise(99_999)[None])


def test_short_frames_are_filled_with_silence_where_the_recipe_says_so():
    engine = SpectrogramEngine(Recipe.p1(1e6, short="pad"))
    short = noise(60_000)
    assert torch.equal(engine(short[None]), engine(np.pad(short, (0, 40_000))[None]))
    assert torch.all(engine(short[None])[0, :, :, 140:] == 1)


@pytest.mark.parametrize("frames", [np.zeros((1, 50_000)), np.zeros(50_000, np.complex64), np.zeros((1, 50_001), np.complex64)])
def test_frames_of_another_kind_are_refused(frames):
    given = torch.from_numpy(frames)
    with pytest.raises(ValueError, match=r"frames are complex64 of shape \(frames, 50000\)"):
        SpectrogramEngine(NATIVE)(given)


def test_a_recording_cut_frame_by_frame_gives_the_pictures_of_the_whole():
    engine, samples = SpectrogramEngine(NATIVE), noise(200_000)
    whole = engine(cut(samples, NATIVE))
    pieces = torch.cat([engine(samples[None, start : start + 50_000]) for start in NATIVE.frame_starts(200_000)])
    torch.testing.assert_close(whole, pieces, atol=1e-5, rtol=0)
