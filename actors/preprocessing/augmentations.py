"""The six ways to change a picture, in the origin's ranges.

Owns the formulas. All work on colours of shape (height, width) or (height, width, 3) in RGB order, uint8 or uint16, and
draw from the generator they are given: the same generator state gives the same picture. OpenCV's own random numbers are
not used, since their state belongs to a thread, and torchvision is not, although it has brightness and Gaussian noise: its
brightness is one multiplication, here as there, and its noise is drawn from a state that threads share.

Noise is drawn by the quantiles of its distribution at 65,536 evenly spaced probabilities: one look-up per value instead of
an evaluation. The tails end at 4.3 standard deviations, beyond which one value in 60,000 lies.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from statistics import NormalDist
from typing import Any, Final

import cv2
import numpy as np
from numpy.random import SFC64, Generator
from numpy.typing import NDArray

from actors.preprocessing.pixels import Pixels

_QUANTILES: Final = 1 << 16
#: Values worked on at a time where temporary copies are several times the picture: they then fit into the caches.
_BLOCK_PIXELS: Final = 1 << 18
#: Elements of a kernel from which OpenCV filters 8 bits by way of the Fourier transform.
_FOURIER_ELEMENTS: Final = 130
#: Steps between two values of 8 bits while the halves of a filter are summed; 255 of them fit 16 bits with a sign.
_FINE: Final = 100
#: Scales the ranges, which are meant for 8 bits, to 16.
_DEEP: Final = 257


def generator_for(seed: int, name: str, method: str) -> Generator:
    """Make the generator of one picture and method: what it gives depends on neither order nor threads."""
    key = f"{seed}\0{method}\0".encode() + name.encode("utf-8", "surrogateescape")
    return Generator(SFC64(int.from_bytes(hashlib.sha256(key).digest())))


def augment(colours: Pixels, method: str, rng: Generator) -> Pixels:
    """Change a picture by one of ``plan.METHODS``; the given array is left alone."""
    return _METHODS[method](colours, rng)


def advanced_blur(colours: Pixels, rng: Generator) -> Pixels:
    """Blur with a noisy generalised Gaussian kernel of 7 to 13 pixels.

    The kernel's shape is exp(-1/2 (x^T S^-1 x)^beta), the "generalized Gaussian" blur of X. Wang et al., "Real-ESRGAN:
    Training Real-World Blind Super-Resolution with Pure Synthetic Data" (2021), section 3.1; S has standard deviations of
    7 to 13 pixels along axes turned by any angle. As often as not beta lies below 1 (peaked) or above (flat).
    """
    size = 2 * int(rng.integers(3, 7)) + 1
    sigma = rng.uniform(7, 13, size=2)
    angle = rng.uniform(-np.pi / 2, np.pi / 2)
    beta = rng.uniform(0.5, 1) if rng.random() < 0.5 else rng.uniform(1, 8)
    kernel = _generalised_gaussian(size, sigma, angle, beta) * rng.uniform(2, 10, size=(size, size))
    return _filtered(colours, (kernel / kernel.sum()).astype(np.float32))


def clahe(colours: Pixels, rng: Generator) -> Pixels:  # noqa: ARG001 - all methods are called alike
    """Equalise the lightness adaptively, with clip limit 3 on a grid of 13 x 13.

    Lightness is the luma of YCrCb: it serves 8 and 16 bits alike, and costs far less than the way to L*a*b* and back.
    """
    equaliser = cv2.createCLAHE(clipLimit=3, tileGridSize=(13, 13))
    if colours.ndim == 2:
        return equaliser.apply(colours)
    lightness, *colour = cv2.split(cv2.cvtColor(colours, cv2.COLOR_RGB2YCrCb))
    return cv2.cvtColor(cv2.merge([equaliser.apply(lightness), *colour]), cv2.COLOR_YCrCb2RGB)


def colour_jitter(colours: Pixels, rng: Generator) -> Pixels:
    """Scale the brightness by 0.5 to 1.5."""
    return _scaled(colours, rng.uniform(0.5, 1.5), _depth(colours))


def gauss_noise(colours: Pixels, rng: Generator) -> Pixels:
    """Add Gaussian noise of variance 100 to 500 on the scale of 8 bits, to each value on its own."""
    deviation = math.sqrt(rng.uniform(100, 500)) * (1 if colours.dtype == np.uint8 else _DEEP)
    noise = np.rint(_normal_quantiles() * deviation).astype(np.int16 if colours.dtype == np.uint8 else np.int32)
    noisy = np.empty_like(colours)
    for rows in _blocks(colours):
        noisy[rows] = cv2.add(colours[rows], noise[_draw(rng, colours[rows].shape)], dtype=_depth(colours))
    return noisy


def iso_noise(colours: Pixels, rng: Generator) -> Pixels:
    """Add what a sensor adds at a high ISO setting: Poisson noise to the luminance, Gaussian noise to the hue.

    The model is that of the ISONoise transform of the library Albumentations (A. Buslaev et al., "Albumentations: Fast and
    Flexible Image Augmentations", 2020) before its version 2: in hue, luminance and saturation, the noise n of
    the luminance is Poisson with mean std(luminance) * intensity on the scale of 8 bits and raises it by n * (1 -
    luminance); the hue turns by a Gaussian angle of standard deviation 360 degrees * colour shift * intensity. Intensity
    is 0.2 to 0.5, colour shift 0.01 to 0.05. Greys have no hue.
    """
    colour_shift, intensity = rng.uniform(0.01, 0.05), rng.uniform(0.2, 0.5)
    scale = float(np.iinfo(colours.dtype).max)
    grain = _poisson_quantiles(_luminance_deviation(colours) / scale * intensity * 255) / np.float32(255)
    turn = _normal_quantiles() * np.float32(360 * colour_shift * intensity)
    noisy = np.empty_like(colours)
    for rows in _blocks(colours):
        block = _scaled(colours[rows], 1 / scale, cv2.CV_32F)
        changed = _grained(block, grain, rng) if colours.ndim == 2 else _grained_and_turned(block, grain, turn, rng)
        noisy[rows] = _scaled(changed, scale, _depth(colours))
    return noisy


def sharpen(colours: Pixels, rng: Generator) -> Pixels:
    """Mix 0.2 to 0.5 of a sharpened copy in; its kernel has 8 + lightness of 0.5 to 1 in the middle and -1 around."""
    alpha, lightness = rng.uniform(0.2, 0.5), rng.uniform(0.5, 1)
    sharp = np.full((3, 3), -1.0)
    sharp[1, 1] = 8 + lightness
    plain = np.zeros((3, 3))
    plain[1, 1] = 1
    return cv2.filter2D(colours, -1, ((1 - alpha) * plain + alpha * sharp).astype(np.float32))


_METHODS: Final[Mapping[str, Callable[[Pixels, Generator], Pixels]]] = {
    "AdvancedBlur": advanced_blur,
    "CLAHE": clahe,
    "ColorJitter": colour_jitter,
    "GaussNoise": gauss_noise,
    "ISONoise": iso_noise,
    "Sharpen": sharpen,
}


def _filtered(colours: Pixels, kernel: NDArray[np.float32]) -> Pixels:
    """Filter with a square kernel whose sum is 1.

    From 130 elements on, OpenCV filters 8 bits by way of the Fourier transform, which for kernels of 13 pixels took 2.7 times
    as long as two halves in its direct way; so these are applied in halves, on a finer scale that their sum rounds from.
    """
    if kernel.size < _FOURIER_ELEMENTS or colours.dtype != np.uint8:
        return cv2.filter2D(colours, -1, kernel)
    reach = kernel.shape[0] // 2
    height, width = colours.shape[:2]
    framed = cv2.copyMakeBorder(colours, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    upper = cv2.filter2D(framed, cv2.CV_16S, kernel[: reach + 1] * _FINE, anchor=(reach, reach))
    lower = cv2.filter2D(framed, cv2.CV_16S, kernel[reach + 1 :] * _FINE, anchor=(reach, 0))
    columns = slice(reach, reach + width)
    above, below = upper[reach : reach + height, columns], lower[reach + 1 : reach + 1 + height, columns]
    return cv2.addWeighted(above, 1 / _FINE, below, 1 / _FINE, 0, dtype=cv2.CV_8U)


def _generalised_gaussian(size: int, sigma: NDArray[Any], angle: float, beta: float) -> NDArray[np.float64]:
    """Evaluate exp(-1/2 (x^T S^-1 x)^beta) on a square grid around 0."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(sigma**2) @ turn.T)
    axis = np.arange(size) - size // 2
    points = np.stack(np.meshgrid(axis, axis), axis=-1).astype(np.float64)
    squared_distance = np.einsum("...i,ij,...j->...", points, inverse, points)
    kernel: NDArray[np.float64] = np.exp(-0.5 * squared_distance**beta)
    return kernel


def _grained(luminance: Pixels, grain: NDArray[np.float32], rng: Generator) -> Pixels:
    """Raise the luminance, of 0 to 1, by grain."""
    grained: Pixels = luminance + grain[_draw(rng, luminance.shape)] * (1 - luminance)
    return np.minimum(grained, 1, out=grained)


def _grained_and_turned(rgb: Pixels, grain: NDArray[np.float32], turn: NDArray[np.float32], rng: Generator) -> Pixels:
    """Raise the luminance by grain and turn the hue, of colours of 0 to 1."""
    hue, luminance, saturation = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HLS))
    hue += turn[_draw(rng, hue.shape)]
    # Sums with truth values: whole rows at once, where picking out the places goes value by value.
    hue += np.float32(360) * (hue < 0)
    hue -= np.float32(360) * (hue >= 360)
    return cv2.cvtColor(cv2.merge([hue, _grained(luminance, grain, rng), saturation]), cv2.COLOR_HLS2RGB)


def _luminance_deviation(colours: Pixels) -> float:
    """Measure the standard deviation of the luminance, (largest + smallest colour) / 2, in the picture's own scale."""
    if colours.ndim == 2:
        return float(cv2.meanStdDev(colours)[1][0, 0])
    red, green, blue = cv2.split(colours)
    largest, smallest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    doubled = cv2.add(largest, smallest, dtype=cv2.CV_32F)
    return float(cv2.meanStdDev(doubled)[1][0, 0]) / 2


def _scaled(values: Pixels, factor: float, depth: int) -> Pixels:
    """Multiply by a number, rounded to and kept within the type of the result."""
    # OpenCV's multiply takes a tuple for numbers of channels or for rows, as the shape happens to be; this is plain.
    return cv2.addWeighted(values, factor, values, 0, 0, dtype=depth)


def _blocks(colours: Pixels) -> Iterator[slice]:
    """Divide a picture into blocks of rows."""
    rows = max(1, _BLOCK_PIXELS // max(1, colours.shape[1]))
    return (slice(start, start + rows) for start in range(0, colours.shape[0], rows))


def _depth(colours: Pixels) -> int:
    """Name the type of the pixels as OpenCV does."""
    return cv2.CV_8U if colours.dtype == np.uint8 else cv2.CV_16U


def _draw(rng: Generator, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Draw uniform numbers of 16 bits, four at once."""
    count = math.prod(shape)
    words = rng.integers(0, 2**64 - 1, (count + 3) // 4, dtype=np.uint64, endpoint=True)
    return words.view(np.uint16)[:count].reshape(shape)


@cache
def _normal_quantiles() -> NDArray[np.float32]:
    """Tabulate the standard normal distribution; read-only, since all callers share it."""
    middles = [(place + 0.5) / _QUANTILES for place in range(_QUANTILES)]
    quantiles = np.array([NormalDist().inv_cdf(middle) for middle in middles], dtype=np.float32)
    quantiles.setflags(write=False)
    return quantiles


def _poisson_quantiles(mean: float) -> NDArray[np.float32]:
    """Tabulate the Poisson distribution of a mean of up to about 70."""
    if mean <= 0:
        return np.zeros(_QUANTILES, dtype=np.float32)
    counts = np.arange(int(mean + 12 * math.sqrt(mean)) + 20)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    cumulated = np.cumsum(np.exp(counts * math.log(mean) - mean - log_factorials))
    # Each count takes as many of the 65,536 places as its probability says; the last one what rounding leaves.
    ends = np.rint(np.minimum(cumulated, 1) * _QUANTILES).astype(np.int64)
    ends[-1] = _QUANTILES
    return np.repeat(counts, np.diff(ends, prepend=0)).astype(np.float32)
