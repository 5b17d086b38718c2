"""Estimated ratios are true ones, and added noise reaches its target."""

import numpy as np
import pytest
from scipy import signal

from actors.signals.errors import SnrError
from actors.signals.noise import SeededNoise, estimate_snr, noise_power_for
from tests.unit.signals.reference import dji


def white(samples, power, seed):
    return np.random.default_rng(seed).normal(size=(samples, 2), scale=np.sqrt(power / 2)).view(complex)[:, 0]


def recording(snr_db, rate=100e6, band=18e6, centre=11e6, samples=1_000_000):
    """Noise of density 1 per hertz, and over a band a signal of a known ratio to it."""
    wide = white(samples, rate * 10 ** (snr_db / 10), 1)
    shaped = signal.fftconvolve(wide, signal.firwin(2049, band / 2, fs=rate), mode="same")
    shifted = shaped * np.exp(2j * np.pi * centre / rate * np.arange(samples))
    return (shifted + white(samples, rate, 2)).astype(np.complex64)


@pytest.mark.parametrize("snr_db", [-5, 0, 10, 25])
def test_the_estimate_is_the_true_ratio(snr_db):
    found = estimate_snr(recording(snr_db), 100e6)
    assert found.snr_db == pytest.approx(snr_db, abs=0.7)
    assert (found.lower_hz + found.upper_hz) / 2 == pytest.approx(11e6, abs=1e6)
    assert found.upper_hz - found.lower_hz == pytest.approx(18e6, rel=0.01)


def test_narrow_recordings_are_measured_in_proportion():
    found = estimate_snr(recording(10, rate=1e6, band=0.18e6, centre=0.1e6), 1e6)
    assert found.snr_db == pytest.approx(10, abs=0.7)


def test_a_real_drone_is_loud():
    assert 5 < estimate_snr(dji(), 50e6, band_hz=10e6).snr_db < 45


@pytest.mark.parametrize("target_db", [-5, 0, 6])
def test_added_noise_brings_a_recording_to_its_target(target_db):
    samples = recording(12)
    before = estimate_snr(samples, 100e6)
    power = noise_power_for(before, target_db, 100e6)
    after = estimate_snr(SeededNoise.of(power, 1, "x").add_to(0, samples.copy()), 100e6)
    assert after.snr_db == pytest.approx(target_db, abs=0.3)


def test_the_noise_of_a_sample_depends_on_seed_and_place_alone():
    noise = SeededNoise.of(2.0, 7, "a/b.iq", -4.0)
    whole = noise.add_to(0, np.zeros(300_000, np.complex64))
    for first, count in ((0, 10), (65_530, 10), (65_536, 1), (1_000, 200_000), (299_999, 1)):
        assert np.array_equal(noise.add_to(first, np.zeros(count, np.complex64)), whole[first : first + count])
    assert np.square(np.abs(whole)).mean() == pytest.approx(2.0, rel=0.02)
    assert abs(np.mean(whole[:-1] * whole[1:].conj())) < 0.02
    for other in (
        SeededNoise.of(2.0, 8, "a/b.iq", -4.0),
        SeededNoise.of(2.0, 7, "a/c.iq", -4.0),
        SeededNoise.of(2.0, 7, "a/b.iq", -2.0),
    ):
        assert not np.array_equal(other.add_to(0, np.zeros(100, np.complex64)), whole[:100])


def test_what_cannot_be_measured_or_reached_is_refused():
    with pytest.raises(SnrError, match="1999 samples are too few"):
        estimate_snr(np.ones(1999, np.complex64), 1e6)
    with pytest.raises(SnrError, match="band_hz is 500000 at 1e"):
        estimate_snr(np.ones(9999, np.complex64), 1e6, band_hz=5e5)
    with pytest.raises(SnrError, match="no band stands out"):
        estimate_snr(np.zeros(9999, np.complex64), 1e6)
    with pytest.raises(SnrError, match="the target is 30 dB, the recording has"):
        noise_power_for(estimate_snr(recording(12), 100e6), 30, 100e6)
