"""How a line of values is brought to another length: the weights of matplotlib's and of Pillow's resampling.

Owns the two families of weights and their cutting into dense blocks, which matrix products work through in cache. It
knows nothing of spectrograms.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Agg, which draws for matplotlib, works with positions in 1/256 of a pixel.
_SUBPIXELS: Final = 256


@dataclass(frozen=True, slots=True)
class LineWeights:
    """Sparse weights from ``length`` values to ``len(first)`` values.

    Output ``i`` is the sum of ``weights[i, k] * value[indices[i, k]]``; weights of a row sum to 1. ``reached`` marks entries
    that count as touched even where their weight is 0: a value that is missing there makes the output missing.
    """

    length: int
    indices: NDArray[np.int64]
    weights: NDArray[np.float64]
    reached: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Block:
    """A dense part of the weights: inputs ``source`` give (part of) outputs ``target``."""

    source: slice
    target: slice
    #: (outputs, inputs)
    matrix: Tensor
    #: The same shape, 1 where an output touches an input.
    reach: Tensor


def antialiased_is_nearest(source: tuple[int, int], target: tuple[int, int]) -> bool:
    """Tell whether matplotlib's default interpolation repeats pixels instead of blending them, for sizes of both axes."""
    return all(new > 3 * old or new in (old, 2 * old) for old, new in zip(source, target, strict=True))


def nearest_weights(length: int, target: int, *, earlier: bool) -> LineWeights:
    """Take the nearest value, on a tie the earlier or the later one: matplotlib has one rule for columns, one for rows."""
    # In whole numbers, since ties must be exact.
    doubled = (2 * np.arange(target) + 1) * length
    indices = ((doubled - 1 if earlier else doubled) // (2 * target))[:, None]
    return LineWeights(length, indices, np.ones(indices.shape), np.ones(indices.shape, dtype=bool))


def hanning_weights(length: int, target: int) -> LineWeights:
    """Blend with a raised cosine as wide as two outputs (or two inputs, where there are fewer), as Agg does.

    Agg's rounding to subpixels is followed: where ten columns make one, it shifts the kernel visibly.
    """
    scale = max(length / target, 1.0)
    radius, inverse = round(scale * _SUBPIXELS), round(_SUBPIXELS / scale)
    centres = np.rint((np.arange(target) + 0.5) * length / target * _SUBPIXELS).astype(np.int64)
    starts = centres + _SUBPIXELS // 2 - radius
    first = ((_SUBPIXELS - 1 - starts % _SUBPIXELS) * inverse) // _SUBPIXELS
    taps = np.arange(2 * _SUBPIXELS // inverse + 2)
    places = first[:, None] + taps * inverse
    reached = places < 2 * _SUBPIXELS
    weights = np.where(reached, 0.5 + 0.5 * np.cos(np.pi * (places / _SUBPIXELS - 1)), 0.0)
    indices = _reflected(starts[:, None] // _SUBPIXELS + taps, length)
    return LineWeights(length, indices, weights / weights.sum(axis=1, keepdims=True), reached)


def triangle_weights(length: int, target: int) -> LineWeights:
    """Blend with a triangle as wide as two outputs (or two inputs), as Pillow's bilinear resizing does."""
    scale = length / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    lowest = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    highest = np.minimum((centres + support + 0.5).astype(np.int64), length)
    taps = np.arange(int((highest - lowest).max()))
    indices = lowest[:, None] + taps
    reached = indices < highest[:, None]
    distances = np.abs(indices + 0.5 - centres[:, None]) / support
    weights = np.where(reached, np.maximum(1.0 - distances, 0.0), 0.0)
    return LineWeights(length, np.minimum(indices, length - 1), weights / weights.sum(axis=1, keepdims=True), reached)


def blocks_by_source(line: LineWeights, size: int, device: torch.device) -> tuple[Block, ...]:
    """Cut the inputs into runs of ``size``; an output that reaches two runs gets a part from each."""
    return tuple(
        _block(line, source, _outputs_of(line, source), device)
        for source in (slice(at, min(at + size, line.length)) for at in range(0, line.length, size))
    )


def blocks_by_target(line: LineWeights, size: int, device: torch.device) -> tuple[Block, ...]:
    """Cut the outputs into runs of ``size``, each whole in its block."""
    outputs = len(line.indices)
    blocks = []
    for at in range(0, outputs, size):
        target = slice(at, min(at + size, outputs))
        touched = line.indices[target][line.reached[target]]
        blocks.append(_block(line, slice(int(touched.min()), int(touched.max()) + 1), target, device))
    return tuple(blocks)


def apply_rows(blocks: tuple[Block, ...], values: Tensor) -> Tensor:
    """Resample the last axis but one, by blocks of outputs: (..., inputs, n) to (..., outputs, n)."""
    return torch.cat([block.matrix @ values[..., block.source, :] for block in blocks], dim=-2)


def apply_columns(blocks: tuple[Block, ...], values: Tensor) -> Tensor:
    """Resample the last axis, by blocks of outputs: (..., n, inputs) to (..., n, outputs)."""
    return torch.cat([values[..., block.source] @ block.matrix.T for block in blocks], dim=-1)


@lru_cache(maxsize=16)
def picture_blocks(length: int, target: int, size: int, device: torch.device) -> tuple[Block, ...]:
    """Make the blocks of Pillow's bilinear resizing, once for every pair of lengths."""
    return blocks_by_target(triangle_weights(length, target), size, device)


def _reflected(indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Bring indices outside the line back as in a mirror that stands at its ends."""
    folded = indices % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)


def _outputs_of(line: LineWeights, source: slice) -> slice:
    """Find the run of outputs that reach any input of a run."""
    touching = (line.reached & (line.indices >= source.start) & (line.indices < source.stop)).any(axis=1)
    places = np.flatnonzero(touching)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _block(line: LineWeights, source: slice, target: slice, device: torch.device) -> Block:
    """Spread the sparse weights of a part over a dense matrix."""
    indices, reached = line.indices[target], line.reached[target]
    inside = reached & (indices >= source.start) & (indices < source.stop)
    rows = np.broadcast_to(np.arange(len(indices))[:, None], indices.shape)[inside]
    shape = (len(indices), source.stop - source.start)
    matrix, reach = np.zeros(shape), np.zeros(shape)
    np.add.at(matrix, (rows, indices[inside] - source.start), line.weights[target][inside])
    reach[rows, indices[inside] - source.start] = 1.0
    return Block(source, target, _tensor(matrix, device), _tensor(reach, device))


def _tensor(matrix: NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(matrix.astype(np.float32)).to(device)
