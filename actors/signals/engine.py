"""The spectrogram engine: frames of IQ to a network's input, on a device, without picture files or matplotlib.

Owns the order of work of every pipeline. RFUAV's pictures are matplotlib's, made smaller by Pillow; here each step of
theirs is a product with the same weights, and steps that are linear are taken before values are many: columns are blended
into the picture's while the block that holds them is still in cache. Colouring is not linear, so the picture does come
into being at its full size, a strip at a time.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.signals.colours import MISSING, STEPS, jet_with_white
from actors.signals.recipe import Recipe
from actors.signals.stft import Transform
from actors.signals.weights import (
    Block,
    LineWeights,
    antialiased_is_nearest,
    apply_columns,
    apply_rows,
    blocks_by_source,
    blocks_by_target,
    hanning_weights,
    nearest_weights,
    picture_blocks,
    triangle_weights,
)

#: Rows of the full-size picture in one strip; on a GPU all of them.
_CPU_STRIP: Final = 32
_GPU_STRIP: Final = 8192
#: Outputs of one product: few enough that most of a block of banded weights is not zero.
_RUN: Final = 28
#: Below any power that float32 samples can have, so that the logarithm of nothing stays finite.
_LEAST_POWER: Final = 1e-37


@dataclass(slots=True)
class _Levels:
    """Log magnitudes of some frames, columns already blended to the picture's width."""

    #: (frames, width, nfft)
    values: Tensor
    #: Of each frame's own values before blending; missing ones apart.
    low: Tensor
    high: Tensor
    #: Greater than 0 where a value is missing; None where none is.
    missing: Tensor | None = None


class SpectrogramEngine:
    """Turns frames of one recipe into pictures for one network on one device.

    Immutable after construction, so threads may share it. On a CPU that others use too, give torch one thread and call the
    engine from several: torch's own threads meet after every small step, and one that is late holds up all.
    """

    def __init__(self, recipe: Recipe, *, image_size: int = 224, device: str | torch.device = "cpu") -> None:
        self.recipe, self.image_size, self.device = recipe, image_size, torch.device(device)
        self._transform = Transform(recipe, self.device)
        self._columns = self._transform.columns(recipe.frame_samples)
        self._colours = torch.from_numpy(jet_with_white().T.astype(np.float32)).contiguous().to(self.device)
        width, height = recipe.picture_size or (image_size, image_size)
        time_line, frequency_line = self._lines(width, height)
        self._time_blocks = blocks_by_source(time_line, self._transform.block_columns, self.device)
        self._range_db = recipe.dynamic_range_db or torch.inf
        strip = _CPU_STRIP if self.device.type == "cpu" else _GPU_STRIP
        self._frequency_blocks = blocks_by_target(frequency_line, strip, self.device)

    @torch.no_grad()
    def __call__(self, frames: Tensor | NDArray[np.complex64]) -> Tensor:
        """Make the network's input of some frames.

        Args:
            frames: complex64 of shape (frames, ``recipe.frame_samples``), or fewer samples where the recipe pads.

        Returns:
            float32 in 0..1 of shape (frames, 3, image_size, image_size) on the engine's device; the top is the highest
            frequency, the left the earliest time.

        Raises:
            RecordingTooShortError: Frames have fewer samples, and the recipe refuses to pad.
        """
        whole = self._whole(frames)
        make = self._native if self.recipe.pipeline == "native" else self._pictures
        return torch.cat([make(whole[group]) for group in self._transform.groups(*whole.shape)])

    def pixels(self, frames: Tensor | NDArray[np.complex64]) -> Tensor:
        """Make the same pictures in whole steps of 1/255, as picture files and the caches of training hold them.

        Those of P1 and P2 are in such steps already; of native ones, each value moves by half a step at most.

        Returns:
            uint8 of shape (frames, image_size, image_size, 3) on the engine's device.

        Raises:
            RecordingTooShortError: As calling the engine.
        """
        return self(frames).mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)

    @torch.no_grad()
    def with_decibels(self, frames: Tensor | NDArray[np.complex64]) -> tuple[Tensor, Tensor]:
        """Make the network's input of some frames, and tell the levels on its grid, which come out of the same transforms.

        Levels of the native pipeline are those of ``decibels``. P1 and P2 blend logarithms, so theirs are means of decibels,
        which lie 2.5 dB below for noise.

        Returns:
            What calling the engine returns, and dB as float32 of shape (frames, image_size, image_size), laid out alike.

        Raises:
            RecordingTooShortError: As calling the engine.
        """
        whole = self._whole(frames)
        measure = self._native_with_decibels if self.recipe.pipeline == "native" else self._pictures_with_decibels
        inputs, levels = zip(*(measure(whole[group]) for group in self._transform.groups(*whole.shape)), strict=True)
        return torch.cat(inputs), torch.cat(levels) - self._transform.gain_db

    @torch.no_grad()
    def decibels(self, frames: Tensor | NDArray[np.complex64], size: tuple[int, int]) -> Tensor:
        """Measure mean power in dB on a grid of a width and a height; a tone of amplitude 1 that fills a cell has 0 dB.

        Returns:
            float32 of shape (frames, height, width), laid out as pictures are.

        Raises:
            RecordingTooShortError: As calling the engine.
        """
        whole = self._whole(frames)
        blocks = blocks_by_source(triangle_weights(self._columns, size[0]), self._transform.block_columns, self.device)
        grids = [self._power_grid(whole[group], blocks, size) for group in self._transform.groups(*whole.shape)]
        return _decibels(torch.cat(grids)) - self._transform.gain_db

    def _lines(self, width: int, height: int) -> tuple[LineWeights, LineWeights]:
        """Choose how columns become the picture's width, and frequencies its height."""
        columns, rows = self._columns, self.recipe.nfft
        if self.recipe.pipeline == "native":
            return triangle_weights(columns, width), triangle_weights(rows, height)
        if antialiased_is_nearest((columns, rows), (width, height)):
            return nearest_weights(columns, width, earlier=True), nearest_weights(rows, height, earlier=False)
        return hanning_weights(columns, width), hanning_weights(rows, height)

    def _whole(self, frames: Tensor | NDArray[np.complex64]) -> Tensor:
        """Bring frames to the device, filled up to their full length."""
        given = torch.from_numpy(np.require(frames, np.complex64, "W")) if isinstance(frames, np.ndarray) else frames
        samples = self.recipe.frame_samples
        if given.ndim != 2 or given.dtype != torch.complex64 or given.shape[1] > samples:
            raise ValueError(f"frames are complex64 of shape (frames, {samples}), not {given.dtype} of {tuple(given.shape)}")
        self.recipe.frame_starts(given.shape[1])
        moved = given.to(self.device, non_blocking=True)
        return torch.nn.functional.pad(moved, (0, samples - given.shape[1])) if given.shape[1] < samples else moved

    def _native(self, frames: Tensor) -> Tensor:
        """Make native pictures."""
        return self._native_with_decibels(frames)[0]

    def _native_with_decibels(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Show power over the noise floor, which is the median of what is not silent; one channel, three times."""
        levels = _decibels(self._power_grid(frames, self._time_blocks, (self.image_size, self.image_size)))
        heard = torch.where(levels > 10 * np.log10(_LEAST_POWER) + 1, levels, torch.nan)
        floor = heard.flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)
        grey = ((levels - floor[:, None, None]) / self._range_db).clamp_(0.0, 1.0)
        return grey[:, None].expand(-1, 3, -1, -1).contiguous(), levels

    def _power_grid(self, frames: Tensor, blocks: tuple[Block, ...], size: tuple[int, int]) -> Tensor:
        """Blend power to (frames, height, width)."""
        width, height = size
        power = torch.zeros(len(frames), width, self.recipe.nfft, device=self.device)
        for block in blocks:
            power[:, block.target] += block.matrix @ self._transform.magnitudes(frames, block.source).square_()
        grid = apply_columns(picture_blocks(self.recipe.nfft, height, _RUN, self.device), power)
        return grid.transpose(1, 2).flip(1)

    def _pictures(self, frames: Tensor) -> Tensor:
        """Make matplotlib's pictures as Pillow resizes them."""
        levels = self._levels(frames)
        return torch.stack([self._picture(levels, index) for index in range(len(frames))])

    def _pictures_with_decibels(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Make pictures, and bring their values to the network's grid; silence has the least level there is."""
        levels = self._levels(frames)
        inputs = torch.stack([self._picture(levels, index) for index in range(len(frames))])
        values = levels.values.mul_(20)
        if levels.missing is not None:
            values = values.masked_fill_(levels.missing > 0, 10 * float(np.log10(_LEAST_POWER)))
        narrow, low = (picture_blocks(length, self.image_size, _RUN, self.device) for length in values.shape[1:])
        return inputs, apply_rows(narrow, apply_columns(low, values)).transpose(1, 2).flip(1)

    def _levels(self, frames: Tensor) -> _Levels:
        """Blend the log magnitudes of frames to the picture's width, block by block."""
        number, (width, _) = len(frames), self.recipe.picture_size or (0, 0)
        values = torch.zeros(number, width, self.recipe.nfft, device=self.device)
        levels = _Levels(values, values.new_full((number,), torch.inf), values.new_full((number,), -torch.inf))
        for block in self._time_blocks:
            part = self._transform.magnitudes(frames, block.source).log10_()
            low, high = part.amin((1, 2)), part.amax((1, 2))
            if not (low.isfinite() & high.isfinite()).all():
                low, high = _mark_missing(levels, part, block)
            levels.low, levels.high = torch.minimum(levels.low, low), torch.maximum(levels.high, high)
            values[:, block.target] += block.matrix @ part
        return levels

    def _picture(self, levels: _Levels, index: int) -> Tensor:
        """Colour one frame strip by strip, and make each strip narrow before the next: (3, image_size, image_size)."""
        values = levels.values[index]
        missing = None if levels.missing is None else levels.missing[index]
        low, spread = levels.low[index], levels.high[index] - levels.low[index]
        factor = torch.where(spread > 0, STEPS / spread, 0.0)
        narrow = picture_blocks(len(values), self.image_size, _RUN, self.device)
        strips = []
        for block in self._frequency_blocks:
            blended = values[:, block.source] @ block.matrix.T
            steps = blended.sub_(low).mul_(factor).clamp_(0, STEPS - 1).long()
            if missing is not None:
                steps[missing[:, block.source] @ block.reach.T > 0] = MISSING
            strips.append(_to_bytes(apply_rows(narrow, self._coloured(steps))))
        tall = torch.cat(strips, dim=2)
        small = apply_columns(picture_blocks(tall.shape[2], self.image_size, _RUN, self.device), tall)
        # From (time, rising frequency) to what pictures show: the highest frequency on top, time to the right.
        return _to_bytes(small).transpose(1, 2).flip(1).div_(255)

    def _coloured(self, steps: Tensor) -> Tensor:
        """Look up colours: (columns, rows) to (3, columns, rows)."""
        return self._colours.gather(1, steps.flatten().expand(3, -1)).view(3, *steps.shape)


def _mark_missing(levels: _Levels, part: Tensor, block: Block) -> tuple[Tensor, Tensor]:
    """Note where a block has no value (silence has no logarithm), put 0 there, and return the extremes of the rest."""
    holes = ~part.isfinite()
    if levels.missing is None:
        levels.missing = torch.zeros_like(levels.values)
    levels.missing[:, block.target] += block.reach @ holes.to(part.dtype)
    low = part.masked_fill(holes, torch.inf).amin((1, 2))
    high = part.masked_fill_(holes, -torch.inf).amax((1, 2))
    part.masked_fill_(holes, 0.0)
    return low, high


def _to_bytes(values: Tensor) -> Tensor:
    """Round as Pillow does after each of its two passes, but stay with floating point."""
    return values.add_(0.5).floor_()


def _decibels(power: Tensor) -> Tensor:
    return power.clamp(min=_LEAST_POWER).log10_().mul_(10)
