"""Resampling keeps what is in band, gives each part as the whole has it, and refuses what makes no sense."""

import numpy as np
import pytest
from scipy import signal

from actors.signals.errors import ResamplingError
from actors.signals.recipe import RATE_TOLERANCE, Recipe
from actors.signals.resample import _filter, plan_resampling, resample_part


def plan(source, target, **choices):
    return plan_resampling(source, Recipe.native(target, nfft=8, **choices))


def part_of(samples, change, first, count):
    return resample_part(lambda at, n: samples[at : at + n], len(samples), change, first=first, count=count)


def resampled(samples, change):
    return part_of(samples, change, 0, change.output_length(len(samples)))


def noise(samples):
    return np.random.default_rng(3).normal(size=(samples, 2)).astype(np.float32).view(np.complex64)[:, 0]


@pytest.mark.parametrize(("source", "target"), [(250e3, 100e3), (50e6, 15.36e6), (1e6, 3e6), (2.4e6, 250e3)])
@pytest.mark.parametrize("chunk", [777, 130_000])
def test_a_part_is_that_of_the_whole(source, target, chunk):
    samples, change = noise(700_001), plan(source, target)

    whole = signal.resample_poly(samples, change.up, change.down, window=_filter(change))
    assert len(whole) == change.output_length(len(samples))
    for first in (0, 1, chunk, len(whole) - chunk, len(whole) - 1):
        part = part_of(samples, change, first, min(chunk, len(whole) - first))
        np.testing.assert_allclose(part, whole[first : first + chunk], atol=1e-6)
        assert part.dtype == np.complex64


def test_a_tone_keeps_its_frequency_and_strength():
    tone = np.exp(2j * np.pi * 10e3 * np.arange(250_000) / 250e3).astype(np.complex64)
    heard = resampled(tone, plan(250e3, 100e3))
    expected = np.exp(2j * np.pi * 10e3 * np.arange(100_000) / 100e3)
    assert np.abs(heard[1000:-1000] - expected[1000:-1000]).max() < 0.01
    assert heard.dtype == np.complex64


def test_what_is_beyond_the_new_band_is_gone():
    tone = np.exp(2j * np.pi * 90e3 * np.arange(250_000) / 250e3).astype(np.complex64)
    assert np.abs(resampled(tone, plan(250e3, 100e3)))[1000:-1000].max() < 0.01


def test_equal_rates_change_nothing():
    samples = noise(10)
    change = plan(1e6, 1e6 + 0.01)
    assert not change.is_needed
    assert np.array_equal(resampled(samples, change), samples)


def test_rates_that_count_as_the_same_can_be_brought_to_each_other():
    nearly = 20e6 * (1 + 0.9 * RATE_TOLERANCE)
    assert not plan(nearly, 20e6).is_needed
    assert (plan(nearly, 10e6).up, plan(nearly, 10e6).down) == (1, 2)


@pytest.mark.parametrize(
    ("source", "target", "choices", "told"),
    [
        (50e6, 100e6, {"allow_resampling": False}, "5e\\+07 S/s, the recipe 1e\\+08 .*allow_resampling"),
        (1e6, 100e6, {}, "more than 64 times apart"),
        (1e6, 1e6 * 2**0.5, {}, "no ratio of small whole numbers"),
        (0, 1e6, {}, "sample rate is 0"),
        (float("nan"), 1e6, {}, "sample rate is nan"),
    ],
)
def test_what_makes_no_sense_is_refused(source, target, choices, told):
    with pytest.raises(ResamplingError, match=told):
        plan(source, target, **choices)
