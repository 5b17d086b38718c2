"""The demo's pictures are labelled, repeatable, different from each other, and show the signals that they claim to."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from cluster.demo_data import (
    DURATION_S,
    SAMPLE_RATE_HZ,
    SIGNALS,
    render,
    synthesise_recording,
    write_demo_dataset,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A small data set."""
    return write_demo_dataset(tmp_path_factory.mktemp("demo"), per_class_train=3, per_class_valid=2, size=64, seed=4)


def shares_of_time(name: str, number: int) -> np.ndarray:
    """How long a signal, without noise, takes each of 128 frequencies: 0 to 1. Weaker than its peak by 20 dB counts as none."""
    signal, _ = SIGNALS[name](np.random.default_rng(number))
    power = np.abs(np.fft.fft(signal.reshape(-1, 128) * np.hamming(128), axis=1)) ** 2
    return (power > 0.01 * power.max()).mean(axis=0)


def test_both_splits_have_a_folder_per_class(dataset):
    assert dataset.class_names == tuple(sorted(SIGNALS))
    assert (dataset.train_pictures, dataset.valid_pictures) == (12, 8)
    for split, count in (("train", 3), ("valid", 2)):
        for name in dataset.class_names:
            assert len(list((dataset.root / split / name).glob("*.jpg"))) == count


def test_pictures_are_square_rgb_jpegs_of_the_size_asked_for(dataset):
    for path in dataset.root.rglob("*.jpg"):
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))


def test_the_same_seed_gives_the_same_pictures_however_many_there_are(dataset, tmp_path):
    again = write_demo_dataset(tmp_path, per_class_train=1, per_class_valid=1, size=64, seed=4)
    for path in again.root.rglob("*.jpg"):
        assert path.read_bytes() == (dataset.root / path.relative_to(again.root)).read_bytes()


def test_another_seed_gives_other_pictures(dataset, tmp_path):
    other = write_demo_dataset(tmp_path, per_class_train=1, per_class_valid=1, size=64, seed=5)
    for path in other.root.rglob("*.jpg"):
        assert path.read_bytes() != (dataset.root / path.relative_to(other.root)).read_bytes()


def test_no_picture_occurs_twice(dataset):
    contents = [path.read_bytes() for path in dataset.root.rglob("*.jpg")]
    assert all(one != other for one, other in combinations(contents, 2))


@pytest.mark.parametrize("size", [0, 30, 33, 514])
def test_a_size_that_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path, size):
    with pytest.raises(ValueError, match=str(size)):
        write_demo_dataset(tmp_path / "demo", per_class_train=1, per_class_valid=1, size=size)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("size", [32, 100, 512])
def test_every_size_is_filled_by_one_recording(size):
    recording = synthesise_recording(SIGNALS["noise"], np.random.default_rng(0))
    assert render(recording, size).size == (size, size)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_recording_is_ten_milliseconds_of_noise_of_power_one_and_a_signal(name):
    recording = synthesise_recording(SIGNALS[name], np.random.default_rng(2))
    assert recording.dtype == np.complex64
    assert len(recording) == round(SAMPLE_RATE_HZ * DURATION_S)
    assert 0.95 < np.mean(np.abs(recording) ** 2) < 60


@pytest.mark.parametrize("name", [name for name in SIGNALS if name != "noise"])
def test_a_signal_has_power_one_while_it_is_on_air_and_keeps_to_its_bandwidth(name):
    signal, bandwidth_hz = SIGNALS[name](np.random.default_rng(1))
    on_air = signal[np.abs(signal) > 0]
    assert np.mean(np.abs(on_air) ** 2) == pytest.approx(1.0, rel=0.05)
    spectrum = np.sort(np.abs(np.fft.fft(on_air[:4096])) ** 2)[::-1]
    assert spectrum[: round(4096 * bandwidth_hz / SAMPLE_RATE_HZ)].sum() > 0.9 * spectrum.sum()


@pytest.mark.parametrize("number", range(5))
def test_video_fills_nine_megahertz_and_pauses(number):
    shares = shares_of_time("wideband_video", number)
    assert 70 <= (shares > 0.4).sum() <= 85
    assert shares.max() < 0.95


@pytest.mark.parametrize("number", range(5))
def test_a_controller_hops_over_many_channels_and_holds_none(number):
    shares = shares_of_time("hopping_controller", number)
    assert (shares > 0.01).sum() > 25
    assert shares.max() < 0.4


@pytest.mark.parametrize("number", range(5))
def test_telemetry_keeps_to_one_narrow_frequency_with_pauses(number):
    shares = shares_of_time("fsk_telemetry", number)
    assert 1 <= (shares > 0.1).sum() <= 6
    assert 0.4 < shares.max() < 0.95


@pytest.mark.parametrize("number", range(5))
def test_noise_holds_at_most_two_steady_carriers(number):
    shares = shares_of_time("noise", number)
    assert set(np.unique(shares)) <= {0.0, 1.0}
    assert shares.sum() <= 10
