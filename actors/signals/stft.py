"""Short-time Fourier transforms, block by block: frames of IQ to the magnitudes of a run of columns.

Owns windows, how many columns a frame gives, and the transform of a run of them. A whole spectrogram of 0.1 s at
100 MS/s takes 80 MB and more for every step of work on it; runs that stay in cache are several times as fast.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from actors.signals.recipe import Recipe

#: Values that a block may hold: 1 MB as complex64 stays in a core's cache; a GPU wants enough to do.
_CPU_BLOCK: Final = 2**17
_GPU_BLOCK: Final = 2**25


class Transform:
    """The transform of one recipe on one device.

    Immutable. Frequencies come out in rising order: the window carries a sign that alternates, which moves zero
    frequency to the middle at no cost.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self._nfft, self._hop = recipe.nfft, recipe.hop
        window = _WINDOWS[recipe.window](recipe.nfft)
        #: RFUAV's STFT starts half a window before the samples and goes on until they are used up.
        self._lead = recipe.nfft // 2 if recipe.pipeline == "P1" else 0
        #: The greatest level of a tone of amplitude 1, in dB.
        self.gain_db = 20 * float(np.log10(window.sum()))
        #: The power of white noise of power 1, per transform.
        self.window_energy = float(np.square(window).sum())
        signs = 1 - 2 * (np.arange(recipe.nfft) % 2)
        # Complex already: else it is converted anew with every block.
        self._window = torch.from_numpy((window * signs).astype(np.complex64)).to(device)
        self.block_columns = max(1, (_CPU_BLOCK if device.type == "cpu" else _GPU_BLOCK) // recipe.nfft)

    def columns(self, samples: int) -> int:
        """Tell how many columns a frame of so many samples gives."""
        if self._lead:
            # Half a window of zeros at both ends, and as many more as fill the last hop.
            return -(-samples // self._hop) + 1
        return (samples - self._nfft) // self._hop + 1

    def magnitudes(self, frames: Tensor, columns: slice) -> Tensor:
        """Transform a run of columns of some frames: (frames, samples) to (frames, columns, nfft), not normalised."""
        first = columns.start * self._hop - self._lead
        last = (columns.stop - 1) * self._hop - self._lead + self._nfft
        length = frames.shape[-1]
        part = frames[..., max(first, 0) : min(last, length)]
        if first < 0 or last > length:
            part = functional.pad(part, (max(-first, 0), max(last - length, 0)))
        spectra: Tensor = torch.fft.fft(part.unfold(-1, self._nfft, self._hop) * self._window)
        if spectra.device.type == "cpu":
            # Several times as fast as torch's, even against two threads.
            return torch.from_numpy(np.abs(spectra.numpy()))
        return spectra.abs()

    def groups(self, frames: int, samples: int) -> Iterator[slice]:
        """Cut a batch into groups of frames that together make about one block."""
        size = max(1, self.block_columns // self.columns(samples))
        for start in range(0, frames, size):
            yield slice(start, min(start + size, frames))


def _periodic_hann(points: int) -> np.ndarray:
    """Make the window whose copies add up evenly."""
    return np.hanning(points + 1)[:-1]


_WINDOWS: Final = {"hamming": np.hamming, "hanning": np.hanning, "hann": _periodic_hann}
