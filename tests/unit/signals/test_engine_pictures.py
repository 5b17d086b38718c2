"""The engine's pictures are RFUAV's: those of scipy, matplotlib and Pillow, made in the test."""

import numpy as np
import pytest
import torch

from actors.signals.colours import jet
from actors.signals.engine import SpectrogramEngine
from actors.signals.recipe import Recipe
from tests.unit.signals import reference
from tests.unit.signals.reference import dji, ism, synthetic


def with_silence():
    samples = synthetic(100_000)
    samples[30_000:60_000] = 0
    return samples


def assert_same_picture(ours, theirs):
    difference = np.abs(ours - theirs) * 255
    # Ten times closer than a model would notice; a shift by a single column or colour step shows.
    assert difference.mean() < 0.2, difference.mean()
    assert np.percentile(difference, 99) <= 2, np.percentile(difference, 99)


@pytest.mark.parametrize(
    ("make", "rate", "points"),
    [
        (lambda: synthetic(600_000), 1e6, 1024),
        (lambda: synthetic(200_000), 1e6, 2048),
        (lambda: synthetic(10_240), 1e6, 64),  # Both axes grow more than threefold: matplotlib then repeats pixels.
        (lambda: ism("brennstuhl_rcs2044"), 250e3, 1024),
        (lambda: ism("brennstuhl_rcs2044"), 250e3, 256),
        (lambda: ism("ec3k_energy"), 250e3, 1024),
        (lambda: ism("rubicson_temp"), 250e3, 512),
        (dji, 50e6, 1024),
        (with_silence, 1e6, 1024),
    ],
    ids=["synthetic", "2048", "grown", "remote", "remote-256", "meter", "sensor", "drone", "silence"],
)
def test_p1_equals_the_picture_of_matplotlib(make, rate, points):
    samples = make()
    recipe = Recipe.p1(rate, stft_point=points, frame_duration_s=len(samples) / rate)
    ours = SpectrogramEngine(recipe)(samples[None])[0].numpy()
    assert_same_picture(ours, reference.network_input(reference.picture(reference.stft_levels(samples, points))))


@pytest.mark.parametrize("size", [(3000, 1800), (1920, 1440)])
def test_p2_equals_the_picture_of_matplotlib(size):
    samples = dji()
    recipe = Recipe.p2(rows=880, picture_size=size)
    ours = SpectrogramEngine(recipe)(samples[None, : recipe.frame_samples])[0].numpy()
    assert_same_picture(ours, reference.network_input(reference.picture(reference.waterfall_levels(samples), size)))


def test_another_size_of_input_is_made_of_the_same_picture():
    samples = synthetic(100_000)
    ours = SpectrogramEngine(Recipe.p1(1e6), image_size=640)(samples[None])[0].numpy()
    assert_same_picture(ours, reference.network_input(reference.picture(reference.stft_levels(samples)), 640))


def test_silence_is_white_and_hides_nothing_else():
    picture = SpectrogramEngine(Recipe.p1(1e6))(with_silence()[None])[0]
    assert torch.all(picture[:, :, 75:125] == 1)
    assert not torch.any((picture[:, :, :60] == 1).all(dim=0))


def test_nothing_but_silence_is_white_all_over():
    assert torch.all(SpectrogramEngine(Recipe.p1(1e6))(torch.zeros(1, 100_000, dtype=torch.complex64)) == 1)


def test_colours_are_matplotlibs():
    theirs = reference.mpl.colormaps["jet"](np.arange(256), bytes=True)[:, :3]
    assert np.array_equal(jet(), theirs)


def test_a_batch_gives_what_its_frames_give_alone():
    recipe = Recipe.p1(1e6, stft_point=256, frame_duration_s=0.01)
    frames = with_silence().reshape(10, 10_000)
    engine = SpectrogramEngine(recipe)
    together = engine(frames)
    assert together.shape == (10, 3, 224, 224)
    assert together.dtype == torch.float32
    # The order of sums may differ with the batch, so a value may round to the next colour.
    assert max(float((together[i] - engine(frames[i : i + 1])[0]).abs().max()) for i in range(10)) < 3 / 255
