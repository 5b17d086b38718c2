"""Signal-to-noise ratio: measuring a recording's, and adding noise until it has another one.

Owns the definition: the densities of power in the loudest band and just below it; and the noise that is the same whichever
part of a recording it is made for. It must not import torch, and knows nothing of files.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from actors.signals.errors import SnrError

Samples = NDArray[np.complex64]
Densities = NDArray[np.float64]

#: The width that a drone's video link is looked for in.
WIDEST_BAND_HZ: Final = 20e6
#: Samples that are looked at, from a recording's first on.
MEASURED_SAMPLES: Final = 1_500_000
#: Points of the spectrum, and how many parts the samples are cut into.
_POINTS: Final = 409_600
_PARTS: Final = 10
#: Of the band's width: what is searched for, the gap below it, and the noise below that. For 20 MHz the gap is 0.75 MHz,
#: the noise 1 MHz.
_SEARCHED: Final = 0.9
_GAP: Final = 0.0375
_NOISE: Final = 0.05
#: The fewest samples that leave a spectrum worth reading.
_FEWEST_SAMPLES: Final = 2_000
#: Samples whose noise is drawn together: their own and the noise fit a core's cache.
_NOISE_BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class SnrEstimate:
    """What was measured; densities are power per hertz."""

    snr_db: float
    #: Edges of the signal's band, relative to the recording's centre.
    lower_hz: float
    upper_hz: float
    signal_and_noise_density: float
    noise_density: float


def estimate_snr(samples: Samples, sample_rate: float, *, band_hz: float | None = None) -> SnrEstimate:
    """Estimate the ratio of signal to noise within the loudest band.

    The band found is shifted to the middle and the rate halved, which brings the noise beside it into view undisturbed by
    the receiver's edges.

    Args:
        samples: A recording; its first 1.5 million samples count.
        sample_rate: Samples per second.
        band_hz: The signal's width as far as known; by default 20 MHz, in narrow recordings a fifth of the rate.

    Raises:
        SnrError: Too few samples, a band that does not fit, or nothing stands out of the noise.
    """
    width = min(WIDEST_BAND_HZ, sample_rate / 5) if band_hz is None else band_hz
    if not 0 < width <= sample_rate / 2.5:
        raise SnrError(f"band_hz is {width:g} at {sample_rate:g} S/s", "Use a band of at most 40 % of the sample rate.")
    if len(samples) < _FEWEST_SAMPLES:
        raise SnrError(f"{len(samples)} samples are too few", f"Use a recording of at least {_FEWEST_SAMPLES}.")
    head = samples[:MEASURED_SAMPLES]
    lower, upper = _loudest_band(head, sample_rate, _SEARCHED * width)
    shift = np.exp(-2j * np.pi * (lower + upper) / 2 / sample_rate * np.arange(len(head)))
    halved = signal.resample_poly(head * shift, 1, 2)
    frequencies, densities = _welch(halved, sample_rate / 2)
    half = (upper - lower) / 2
    loud = densities[np.abs(frequencies) <= half].mean()
    noise_top = -half - _GAP * width
    quiet = densities[(frequencies >= noise_top - _NOISE * width) & (frequencies <= noise_top)].mean()
    if not loud > quiet > 0:
        raise SnrError("no band stands out of the noise below it", "Use a recording with a signal, or give band_hz.")
    return SnrEstimate(10 * math.log10((loud - quiet) / quiet), lower, upper, float(loud), float(quiet))


def noise_power_for(estimate: SnrEstimate, target_db: float, sample_rate: float) -> float:
    """Compute the power of the white noise that brings a recording down to a ratio.

    Raises:
        SnrError: The recording is noisier than that already.
    """
    clean = estimate.signal_and_noise_density - estimate.noise_density
    density = clean / 10 ** (target_db / 10) - estimate.noise_density
    if density < 0:
        told = f"the target is {target_db:g} dB, the recording has {estimate.snr_db:.1f} dB"
        raise SnrError(told, "Noise can be added, not taken away: use a lower target.")
    return density * sample_rate


@dataclass(frozen=True, slots=True)
class SeededNoise:
    """White noise over a whole recording of any length.

    Each sample's noise is settled by the seed and its place alone, so that parts may be made in any order, overlapping, and
    by any number of threads.
    """

    power: float
    seed: int

    @classmethod
    def of(cls, power: float, *names: str | float) -> Self:
        """Make noise whose seed follows from names, such as a number, a file and a ratio."""
        digest = hashlib.sha256("\0".join(map(str, names)).encode("utf-8", "surrogateescape")).digest()
        return cls(power, int.from_bytes(digest[:16], "big"))

    def add_to(self, first: int, samples: Samples) -> Samples:
        """Add the noise of a stretch, block by block, to the samples themselves, and return them.

        Args:
            first: The place of the first sample in its recording.
            samples: The caller's own, which change.
        """
        at = 0
        while at < len(samples):
            block, offset = divmod(first + at, _NOISE_BLOCK)
            part = samples[at : at + _NOISE_BLOCK - offset]
            part += self._block(block, offset + len(part))[offset:]
            at += len(part)
        return samples

    def _block(self, number: int, length: int) -> Samples:
        """Draw a block's first samples."""
        # The fastest of numpy's generators: noise costs more than the spectrograms that it goes into.
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.seed, number])))
        drawn = rng.standard_normal(2 * length, dtype=np.float32)
        drawn *= np.float32(math.sqrt(self.power / 2))
        return drawn.view(np.complex64)


def _loudest_band(samples: Samples, sample_rate: float, width: float) -> tuple[float, float]:
    """Slide a band over the spectrum and return the edges where it holds most energy."""
    frequencies, densities = _welch(samples, sample_rate)
    bins = max(1, round(width / sample_rate * len(densities)))
    sums = np.cumsum(np.concatenate([[0.0], densities]))
    first = int(np.argmax(sums[bins:] - sums[:-bins]))
    return float(frequencies[first]), float(frequencies[first + bins - 1])


def _welch(samples: NDArray[np.complexfloating], sample_rate: float) -> tuple[NDArray[np.float64], Densities]:
    """Estimate densities over rising frequency from half-overlapping parts, each a tenth of the samples."""
    part = max(len(samples) // _PARTS, 8)
    points = min(_POINTS, 2 ** math.ceil(math.log2(part) + 1))
    window = np.hamming(part)
    powers = np.zeros(points)
    starts = range(0, len(samples) - part + 1, part // 2)
    for start in starts:
        powers += np.square(np.abs(np.fft.fft(samples[start : start + part] * window, points)))
    densities = np.fft.fftshift(powers) / (len(starts) * sample_rate * np.square(window).sum())
    return np.fft.fftshift(np.fft.fftfreq(points, 1 / sample_rate)), densities
