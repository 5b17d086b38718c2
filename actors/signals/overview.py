"""The spectrogram of a whole recording on a grid of bounded size, put together from frames as they pass.

Owns how frames that overlap, leave gaps or are shorter than a column share the grid. It knows nothing of networks, reads no
samples and must not import torch.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Columns of the grid: a screen's width.
WIDTH: Final = 1024


class Overview:
    """Mean power over time and frequency.

    Invariant: every column holds the mean over the parts of frames that lie in it, whatever the number of frames.
    """

    def __init__(self, duration_s: float, *, width: int = WIDTH) -> None:
        self._duration_s = duration_s
        self._width = width
        #: Made with the first frame: of a hundred thousand recordings that wait for their turn, none should take room.
        self._power: NDArray[np.float64] | None = None
        #: For each column, how much of it frames have covered; more than 1 where they overlap.
        self._covered = np.zeros(0)

    def add(self, decibels: NDArray[np.float32], start_s: float, duration_s: float) -> None:
        """Add one frame.

        Args:
            decibels: (height, columns) with the highest frequency on top, of equal height for all frames.
            start_s: Where its left edge lies in the recording.
            duration_s: Its length.
        """
        height, columns = decibels.shape
        if self._power is None:
            self._power, self._covered = np.zeros((height, self._width)), np.zeros(self._width)
        scale = self._width / self._duration_s
        left, right = start_s * scale, (start_s + duration_s) * scale
        first, last = max(0, math.floor(left)), min(self._width, math.ceil(right))
        edges = np.clip((np.arange(first, last + 1) - left) / (right - left), 0.0, 1.0) * columns
        covered = np.diff(edges) * (right - left) / columns
        self._power[:, first:last] += (
            _sums_between(np.power(10.0, decibels / 10.0, dtype=np.float64), edges) * (right - left) / columns
        )
        self._covered[first:last] += covered

    def decibels(self) -> NDArray[np.float32]:
        """Tell the levels: (height, width); minus infinity where no frame lies, and one row of that where there is no frame."""
        if self._power is None:
            return np.full((1, self._width), -np.inf, dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            levels = 10.0 * np.log10(self._power / self._covered)
        return np.where(self._covered > 0, levels, -np.inf).astype(np.float32)


def pool_rows(decibels: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Join neighbouring rows by their mean power, so that no more than ``most`` are left."""
    height = len(decibels)
    if height <= most:
        return decibels
    starts = np.linspace(0, height, most, endpoint=False).astype(np.int64)
    power = np.add.reduceat(np.power(10.0, decibels / 10.0, dtype=np.float64), starts, axis=0)
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float32] = (10.0 * np.log10(power / np.diff(starts, append=height)[:, None])).astype(np.float32)
    return levels


def _sums_between(power: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum columns between edges that may lie within a column: (height, columns) to (height, edges - 1)."""
    sums = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1, dtype=np.float64)], axis=1)
    below = np.minimum(edges.astype(np.int64), power.shape[1] - 1)
    part = edges - below
    at_edges = sums[:, below] * (1 - part) + sums[:, below + 1] * part
    # Rounding may leave less than nothing where there is silence beside a strong signal.
    found: NDArray[np.float64] = np.maximum(np.diff(at_edges, axis=1), 0.0)
    return found
