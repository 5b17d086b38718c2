"""Augmentation changes what it says, by amounts that follow from the generator alone."""

import pytest
import torch

from actors.signals.augmentation import RadioAugmentation, roll_frequency, roll_time


def frames(number=3, samples=4096):
    return torch.randn(number, samples, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


def generator(seed=7):
    return torch.Generator().manual_seed(seed)


def test_nothing_changes_by_default():
    given = frames()
    torch.testing.assert_close(RadioAugmentation()(given, generator()), given)


def test_rolling_frequency_moves_a_tone_around_the_band():
    places = torch.arange(4096)
    tone = torch.polar(torch.ones(4096), 2 * torch.pi * 0.375 * places)[None]
    spectrum = torch.fft.fft(roll_frequency(tone, torch.tensor([0.25]))).abs()[0]
    assert int(spectrum.argmax()) == round((0.375 + 0.25) * 4096)


def test_rolling_time_delays():
    given = frames(2)
    rolled = roll_time(given, torch.tensor([5, -3]))
    assert torch.equal(rolled[0, 5:], given[0, :-5])
    assert torch.equal(rolled[1, :-3], given[1, 3:])


def test_noise_has_the_ratio_drawn_and_gain_the_decibels():
    given = frames(2, 100_000)
    noisy = RadioAugmentation(snr_db=(10, 10))(given, generator())
    ratio = given.abs().square().mean(1) / (noisy - given).abs().square().mean(1)
    torch.testing.assert_close(10 * torch.log10(ratio), torch.full((2,), 10.0), atol=0.1, rtol=0)
    torch.testing.assert_close(RadioAugmentation(gain_db=(6, 6))(given, generator()), given * 10**0.3)


def test_equal_seeds_change_alike_and_frames_differ():
    policy = RadioAugmentation(frequency_roll=0.5, time_shift=0.5, gain_db=(-6, 6), snr_db=(0, 20))
    same = frames(1).repeat(2, 1)
    first, again, other = (policy(same, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_silence_stays_silent():
    assert not RadioAugmentation(snr_db=(0, 0))(torch.zeros(1, 64, dtype=torch.complex64), generator()).any()


@pytest.mark.parametrize("wrong", [{"frequency_roll": 0.6}, {"time_shift": -1}, {"gain_db": (3, -3)}, {"snr_db": (0, 999)}])
def test_ranges_out_of_order_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RadioAugmentation(**wrong)
