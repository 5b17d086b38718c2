"""Changes frames of IQ as a radio might have: another offset, moment, gain or noise.

Owns the four changes and how they are drawn. Pure: all chance comes from the generator given. It knows nothing of
recipes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

#: Keeps a frame's noise apart from its other draws.
_NOISE_STREAM: Final = 0x5EED
#: Samples of a shift's oscillation that are computed; the others are these times one factor a block, which is ten times as fast.
_RAMP_BLOCK: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class RadioAugmentation:
    """How far frames may be changed; the defaults change nothing.

    Invariant: ranges are in order.
    """

    #: The greatest roll of the frequency axis, as a part of the band to either side; 0.5 is every roll there is.
    frequency_roll: float = 0.0
    #: The greatest circular shift in time, as a part of the frame to either side.
    time_shift: float = 0.0
    #: The least and the greatest gain.
    gain_db: tuple[float, float] = (0.0, 0.0)
    #: The least and the greatest ratio of the frame's mean power to the noise added; None adds none.
    snr_db: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of order or out of bounds; the message names it.
        """
        for name in ("frequency_roll", "time_shift"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise ValueError(f"{name} is {getattr(self, name)!r}: use a number from 0 to 0.5")
        for name in ("gain_db", "snr_db"):
            span = getattr(self, name)
            if span is not None and not -200 <= span[0] <= span[1] <= 200:
                raise ValueError(f"{name} is {span!r}: use the least and the greatest value, within 200 dB")

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Change every frame by amounts of its own: (frames, samples) complex64 to the same shape.

        Args:
            frames: Left as they are.
            generator: On the frames' device. Each call draws the same amount for the same shape, whatever the ranges.
        """
        draws = torch.rand(4, len(frames), generator=generator, device=frames.device)
        return self._change(frames, draws, white_noise(frames.shape, generator))

    def each(self, frames: Tensor, seeds: Sequence[int]) -> Tensor:
        """Change every frame by amounts that its own seed decides, whichever frames it comes with.

        Only the noise depends on the kind of device, too: drawn on a CPU, it would take a GPU's time several times over.
        """
        draws = [torch.rand(4, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        noise = None
        if self.snr_db is not None:
            generators = [torch.Generator(frames.device).manual_seed(seed ^ _NOISE_STREAM) for seed in seeds]
            noise = torch.stack([white_noise(frames.shape[1:], generator) for generator in generators])
        return self._change(frames, torch.stack(draws, dim=1).to(frames.device), noise)

    def _change(self, frames: Tensor, draws: Tensor, noise: Tensor | None) -> Tensor:
        """Apply drawn amounts: ``draws`` are in 0..1 of shape (4, frames), ``noise`` is as the frames, of power 1."""
        shifts = ((draws[1] * 2 - 1) * self.time_shift * frames.shape[1]).round().long()
        changed = roll_time(frames, shifts) if self.time_shift else frames
        if self.frequency_roll:
            changed = roll_frequency(changed, (draws[0] * 2 - 1) * self.frequency_roll)
        if self.snr_db is not None and noise is not None:
            changed = add_noise_at(changed, noise, _between(self.snr_db, draws[3]))
        return changed * 10 ** (_between(self.gain_db, draws[2])[:, None] / 20)


def roll_frequency(frames: Tensor, turns: Tensor) -> Tensor:
    """Shift every frame's spectrum up by a part of the band; what leaves at the top comes in from below.

    Args:
        frames: (frames, samples).
        turns: (frames,): 0.25 is a quarter of the sample rate.
    """
    samples = frames.shape[1]
    blocks = -(-samples // _RAMP_BLOCK)
    within = _oscillation(turns, torch.arange(_RAMP_BLOCK, device=frames.device))
    starts = _oscillation(turns, torch.arange(blocks, device=frames.device) * _RAMP_BLOCK)
    return frames * (starts[:, :, None] * within[:, None, :]).flatten(1)[:, :samples]


def _oscillation(turns: Tensor, places: Tensor) -> Tensor:
    """Give a complex oscillation of each frequency at some places: complex64 of shape (frames, places)."""
    # In double precision: the phase of the last of ten million samples must still be right.
    phases = (turns[:, None].double() * places).remainder(1.0) * (2 * math.pi)
    return torch.polar(torch.ones_like(phases), phases).to(torch.complex64)


def roll_time(frames: Tensor, shifts: Tensor) -> Tensor:
    """Delay every frame by its number of samples; what leaves at the end comes in at the start."""
    return torch.stack([frame.roll(int(shift)) for frame, shift in zip(frames, shifts, strict=True)])


def add_noise_at(frames: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise of power 1, scaled to each frame's ratio of mean power to noise; silence stays silent.

    Args:
        frames: (frames, samples).
        noise: The same shape.
        snr_db: (frames,).
    """
    power = torch.view_as_real(frames).square().sum(-1).mean(dim=1)
    return frames + noise * (power / 10 ** (snr_db / 10)).sqrt()[:, None]


def white_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw complex white Gaussian noise of power 1."""
    parts = torch.randn(*shape, 2, generator=generator, device=generator.device) * math.sqrt(0.5)
    return torch.view_as_complex(parts)


def _between(span: tuple[float, float], draw: Tensor) -> Tensor:
    return span[0] + (span[1] - span[0]) * draw
