"""Makes a small labelled set of drone-like spectrogram pictures, so that the service can be tried without any data.

Owns the synthesis: complex baseband signals with noise, their spectrograms, and the pictures in a data set tree. It
knows nothing of networks, of HTTP or of Ray.

Every recording is 10 ms of a 15.36 MHz wide band. The four classes and what varies within each:

- ``hopping_controller``: a remote control's link. Smoothed 2-FSK bursts at 500 kbit/s (deviation 250 kHz) of 0.35
  to 0.7 ms, one every 0.8 to 1.3 ms, each on another of 24 channels 500 kHz apart.
- ``wideband_video``: a video downlink. OFDM blocks of 600 carriers 15 kHz apart (9 MHz) with QPSK and a short cyclic
  prefix, centred within 2 MHz of the middle, in a time-division frame of 2 to 4 ms of which 60 to 85 % are sent.
- ``fsk_telemetry``: a narrow two-way link. Smoothed 2-FSK at 125 kbit/s (deviation 90 kHz) on one frequency, in
  packets of 1.5 to 3 ms with pauses of 0.3 to 0.8 ms.
- ``noise``: nothing but the receiver, in a quarter of the pictures with one or two of the weak constant carriers that
  receivers make themselves.

Signals lie 3 to 20 dB above the noise within their own bandwidth and start at any moment. The floor of the noise is
uneven by up to 4 dB in every class, so that none can be told by its background.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAMPLE_RATE_HZ: Final = 15.36e6
DURATION_S: Final = 0.01
SNR_RANGE_DB: Final = (3.0, 20.0)

_SAMPLES: Final = round(SAMPLE_RATE_HZ * DURATION_S)
_OFDM_LENGTH: Final = 1024
_OFDM_CARRIERS: Final = 600
_CYCLIC_PREFIX: Final = 72
_JPEG_QUALITY: Final = 92

Signal = NDArray[np.complex64]
Reals = NDArray[np.floating[Any]]
Synthesis = Callable[[np.random.Generator], tuple[Signal, float]]


@dataclass(frozen=True, slots=True)
class DemoDataset:
    """What was written."""

    root: Path
    class_names: tuple[str, ...]
    train_pictures: int
    valid_pictures: int


def write_demo_dataset(root: Path, *, per_class_train: int, per_class_valid: int, size: int = 128, seed: int = 0) -> DemoDataset:
    """Write ``train/<class>/*.jpg`` and ``valid/<class>/*.jpg`` below a folder.

    The same arguments give the same pictures, and a picture does not depend on how many others there are.

    Args:
        root: The folder; made where it is missing.
        per_class_train: Pictures per class to train on.
        per_class_valid: Pictures per class to validate with.
        size: Side of the square pictures, in pixels; an even number from 32 to 512.
        seed: Any non-negative number.

    Raises:
        ValueError: The size is out of range.
        OSError: A file cannot be written.
    """
    if not 32 <= size <= 512 or size % 2:
        raise ValueError(f"size is {size}; give an even number from 32 to 512")
    counts = {"train": per_class_train, "valid": per_class_valid}
    for split_index, (split, count) in enumerate(counts.items()):
        for class_index, (class_name, synthesise) in enumerate(SIGNALS.items()):
            folder = root / split / class_name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                rng = np.random.default_rng([seed, split_index, class_index, number])
                picture = render(synthesise_recording(synthesise, rng), size)
                picture.save(folder / f"{class_name}_{number:04d}.jpg", quality=_JPEG_QUALITY)
    return DemoDataset(root, tuple(SIGNALS), per_class_train * len(SIGNALS), per_class_valid * len(SIGNALS))


def synthesise_recording(synthesise: Synthesis, rng: np.random.Generator) -> Signal:
    """Make one recording: a signal at a random level above the receiver's noise.

    Returns:
        Complex samples at ``SAMPLE_RATE_HZ``, ``DURATION_S`` long.
    """
    signal, bandwidth_hz = synthesise(rng)
    snr = 10.0 ** (rng.uniform(*SNR_RANGE_DB) / 10.0)
    # White noise of power 1 spreads over the whole band; a signal's noise is what falls into its own bandwidth.
    amplitude = np.sqrt(snr * bandwidth_hz / SAMPLE_RATE_HZ)
    return (signal * np.float32(amplitude) + _receiver_noise(rng)).astype(np.complex64)


def render(recording: Signal, size: int) -> Image.Image:
    """Draw the spectrogram: time to the right, frequency upwards, levels in dB from blue to red.

    Frames of ``size`` samples under a Hamming window overlap by half; neighbouring ones are averaged into ``size``
    columns. Each picture spans its own range of levels, as RFUAV's do.
    """
    frames = np.lib.stride_tricks.sliding_window_view(recording, size)[:: size // 2]
    frames = frames[: len(frames) // size * size]
    spectra = np.fft.fft(frames * np.hamming(size).astype(np.float32), axis=1)
    power = spectra.real**2 + spectra.imag**2
    columns = power.reshape(size, -1, size).mean(axis=1)
    levels = 10.0 * np.log10(np.fft.fftshift(columns, axes=1) + 1e-12)
    return Image.fromarray(_colour(levels.T[::-1]))


def _hopping_controller(rng: np.random.Generator) -> tuple[Signal, float]:
    """Synthesise short bursts that change their channel each time."""
    signal = np.zeros(_SAMPLES, np.complex64)
    burst_s, period_s = rng.uniform(0.35e-3, 0.7e-3), rng.uniform(0.8e-3, 1.3e-3)
    for start_s in np.arange(-rng.uniform(0.0, period_s), DURATION_S, period_s):
        channel_hz = (rng.integers(24) - 11.5) * 500e3
        burst = _fsk(rng, burst_s, bit_rate=500e3, deviation_hz=250e3)
        _add(signal, _shift(burst, channel_hz), start_s)
    return signal, 1e6


def _wideband_video(rng: np.random.Generator) -> tuple[Signal, float]:
    """Synthesise wide blocks with the pauses of a time-division frame."""
    signal = np.zeros(_SAMPLES, np.complex64)
    period_s, duty = rng.uniform(2e-3, 4e-3), rng.uniform(0.6, 0.85)
    symbols = round(period_s * duty * SAMPLE_RATE_HZ / (_OFDM_LENGTH + _CYCLIC_PREFIX))
    centre_hz = rng.uniform(-2e6, 2e6)
    for start_s in np.arange(-rng.uniform(0.0, period_s), DURATION_S, period_s):
        _add(signal, _shift(_ofdm(rng, symbols), centre_hz), start_s)
    return signal, 9e6


def _fsk_telemetry(rng: np.random.Generator) -> tuple[Signal, float]:
    """Synthesise long packets on one frequency."""
    signal = np.zeros(_SAMPLES, np.complex64)
    centre_hz = rng.uniform(-6.5e6, 6.5e6)
    start_s = -rng.uniform(0.0, 3e-3)
    while start_s < DURATION_S:
        packet_s = rng.uniform(1.5e-3, 3e-3)
        packet = _fsk(rng, packet_s, bit_rate=125e3, deviation_hz=90e3)
        _add(signal, _shift(packet, centre_hz), start_s)
        start_s += packet_s + rng.uniform(0.3e-3, 0.8e-3)
    return signal, 300e3


def _only_noise(rng: np.random.Generator) -> tuple[Signal, float]:
    """Synthesise silence, or the weak constant carriers that receivers make themselves."""
    signal = np.zeros(_SAMPLES, np.complex64)
    for _ in range(rng.integers(1, 3) if rng.random() < 0.25 else 0):
        signal += _shift(np.ones(_SAMPLES, np.complex64), rng.uniform(-7e6, 7e6))
    return signal, 8e3


#: How each class is made: its name, and a function that gives samples and the bandwidth they take in Hz. While a signal is
#: on air its power is 1. The names are in the order of their indices.
SIGNALS: Final[Mapping[str, Synthesis]] = MappingProxyType(
    {
        "fsk_telemetry": _fsk_telemetry,
        "hopping_controller": _hopping_controller,
        "noise": _only_noise,
        "wideband_video": _wideband_video,
    }
)


def _receiver_noise(rng: np.random.Generator) -> Signal:
    """Make complex noise of power 1 whose floor is uneven over the band by up to 4 dB."""
    white: Signal = rng.standard_normal((_SAMPLES + 1, 2), np.float32).view(np.complex64)[:, 0]
    # Two taps are filter enough: with a turned echo of 0.226, levels go up by 1.8 dB on one side and down by 2.2 on the other.
    echo = rng.uniform(-0.226, 0.226)
    uneven = white[1:] + np.complex64(1j * echo) * white[:-1]
    uneven *= np.float32(np.sqrt(0.5 / (1.0 + echo**2)))
    return uneven


def _fsk(rng: np.random.Generator, length_s: float, *, bit_rate: float, deviation_hz: float) -> Signal:
    """Make random bits of 2-FSK of constant power 1, smoothed over a bit so that its spectrum stays narrow."""
    samples, per_bit = round(length_s * SAMPLE_RATE_HZ), round(SAMPLE_RATE_HZ / bit_rate)
    bits = rng.choice([-1.0, 1.0], samples // per_bit + 2)
    shape = np.hanning(per_bit)
    levels = np.convolve(np.repeat(bits, per_bit), shape / shape.sum(), mode="same")[:samples]
    return _rotation(np.cumsum(levels) * (deviation_hz / SAMPLE_RATE_HZ))


def _ofdm(rng: np.random.Generator, symbols: int) -> Signal:
    """Make OFDM symbols of mean power 1: QPSK on the carriers around an empty middle one, and cyclic prefixes."""
    half = _OFDM_CARRIERS // 2
    carriers = np.zeros((symbols, _OFDM_LENGTH), np.complex64)
    quarters = rng.integers(4, size=(symbols, _OFDM_CARRIERS))
    values = np.exp(0.5j * np.pi * (quarters + 0.5))
    carriers[:, 1 : half + 1], carriers[:, -half:] = values[:, :half], values[:, half:]
    waves = np.fft.ifft(carriers, axis=1) * (_OFDM_LENGTH / np.sqrt(_OFDM_CARRIERS))
    return np.hstack([waves[:, -_CYCLIC_PREFIX:], waves]).ravel().astype(np.complex64)


def _shift(signal: Signal, frequency_hz: float) -> Signal:
    """Move a signal in frequency."""
    shifted: Signal = np.multiply(signal, _rotation(np.arange(len(signal)) * (frequency_hz / SAMPLE_RATE_HZ)))
    return shifted


def _rotation(turns: Reals) -> Signal:
    """Make the unit circle's points after so many turns; whole turns go first, since 32 bits hold few digits."""
    angle = (2.0 * np.pi * (turns % 1.0)).astype(np.float32)
    points = np.empty(len(angle), np.complex64)
    points.real, points.imag = np.cos(angle), np.sin(angle)
    return points


def _add(signal: Signal, part: Signal, start_s: float) -> None:
    """Add a part in place where it begins, cutting off what lies outside the recording."""
    start = round(start_s * SAMPLE_RATE_HZ)
    first, end = max(start, 0), min(start + len(part), len(signal))
    if first < end:
        signal[first:end] += part[first - start : end - start]


def _colour(levels: Reals) -> NDArray[np.uint8]:
    """Map levels to colours from blue over green to red; the lowest is dark blue, the highest dark red."""
    scaled = (levels - levels.min()) / max(float(np.ptp(levels)), 1e-9)
    centres = np.array([3.0, 2.0, 1.0])
    channels = np.clip(1.5 - np.abs(4.0 * scaled[..., None] - centres), 0.0, 1.0)
    pixels: NDArray[np.uint8] = (255.0 * channels).round().astype(np.uint8)
    return pixels
