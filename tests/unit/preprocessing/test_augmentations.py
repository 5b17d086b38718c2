"""The formulas do what their names say, within the ranges."""

import cv2
import numpy as np
import pytest

from actors.preprocessing.augmentations import (
    _filtered,
    advanced_blur,
    augment,
    clahe,
    colour_jitter,
    gauss_noise,
    generator_for,
    iso_noise,
    sharpen,
)
from actors.preprocessing.plan import METHODS

FLAT = np.full((300, 400, 3), (90, 120, 160), np.uint8)
MIXED = np.random.default_rng(5).integers(40, 200, (300, 400, 3), dtype=np.uint8)


def draws(method, colours, number=12):
    return [method(colours, generator_for(seed, "x", "m")) for seed in range(number)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("colours", [FLAT, MIXED, MIXED[..., 0].copy()], ids=["flat", "mixed", "grey"])
def test_the_given_picture_is_left_alone_and_the_result_is_of_its_kind(method, colours):
    before = colours.copy()
    changed = augment(colours, method, generator_for(1, "x", method))
    assert (changed.shape, changed.dtype) == (colours.shape, colours.dtype)
    assert (colours == before).all()


def test_brightness_is_scaled_by_a_half_to_one_and_a_half_as_torchvision_does():
    ratios = [changed.mean() / FLAT.mean() for changed in draws(colour_jitter, FLAT, 40)]
    assert 0.5 <= min(ratios) < 0.7
    assert 1.3 < max(ratios) <= 1.5
    assert colour_jitter(np.full((2, 2, 3), 250, np.uint8), generator_for(8, "x", "m")).max() <= 255


def test_gaussian_noise_has_the_variance_asked_for_and_no_mean():
    noises = [changed.astype(float) - FLAT for changed in draws(gauss_noise, FLAT, 30)]
    variances = [noise.var() for noise in noises]
    assert all(95 < variance < 510 for variance in variances)
    assert max(variances) - min(variances) > 200
    assert all(abs(noise.mean()) < 0.3 for noise in noises)
    noise = noises[0]
    assert abs(np.mean(np.abs(noise) > 2 * noise.std()) - 0.0455) < 0.006


def test_a_blur_smooths_and_keeps_the_brightness():
    for changed in draws(advanced_blur, MIXED):
        assert changed.std() < 0.4 * MIXED.std()
        assert abs(changed.mean() - MIXED.mean()) < 2
    assert len({changed.tobytes() for changed in draws(advanced_blur, MIXED)}) == 12


def test_iso_noise_lightens_by_grain_and_turns_hues_a_little():
    for changed in draws(iso_noise, MIXED):
        assert MIXED.mean() < changed.mean() < MIXED.mean() + 40
    half = np.full((300, 400, 3), (200, 60, 60), np.uint8)
    half[:, 200:] = (60, 20, 20)
    turned = iso_noise(half, generator_for(2, "x", "m"))
    hues = cv2.cvtColor(turned.astype(np.float32) / 255, cv2.COLOR_RGB2HLS)[..., 0]
    away = np.minimum(hues, 360 - hues)
    assert 0.3 < away.std() + away.mean() < 20


def test_iso_noise_of_a_flat_picture_turns_hues_alone():
    grey = np.full((50, 60), 100, np.uint8)
    assert (iso_noise(grey, generator_for(1, "x", "m")) == grey).all()


def test_sharpening_steepens_an_edge():
    edge = np.full((20, 20), 100, np.uint8)
    edge[:, 10:] = 140
    for changed in draws(sharpen, edge):
        assert changed[10, 10].astype(int) - changed[10, 9] > 40


def test_clahe_spreads_a_narrow_range():
    narrow = np.random.default_rng(1).integers(100, 120, (260, 260, 3), dtype=np.uint8)
    assert clahe(narrow, generator_for(1, "x", "m")).std() > 1.5 * narrow.std()


@pytest.mark.parametrize("shape", [(40, 57, 3), (40, 57), (7, 9, 3)])
def test_a_large_kernel_in_two_halves_filters_as_one_does(shape):
    rng = np.random.default_rng(0)
    colours, kernel = rng.integers(0, 256, shape, dtype=np.uint8), rng.random((13, 13))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    difference = np.abs(_filtered(colours, kernel).astype(int) - cv2.filter2D(colours, -1, kernel))
    assert difference.max() <= 1  # of rounding
    assert (difference > 0).mean() < 0.05
