"""Makes network inputs of frames of recordings, in any thread.

Owns the streams on which threads work beside each other on a GPU, and what it takes to hand their results over.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.learning.engines import Engines
from actors.signals.engine import SpectrogramEngine
from actors.signals.recipe import Recipe

Samples = NDArray[np.complex64]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class FramePicture:
    """A frame as the network takes it, and its levels in dB on the same grid."""

    inputs: Tensor
    decibels: NDArray[np.float32]


class FrameRenderer:
    """Makes frames into inputs of one size. On a GPU each thread has a stream, so that copies and work overlap."""

    def __init__(self, *, image_size: int, device: torch.device) -> None:
        self._device = device
        self._engines = Engines(image_size=image_size, device=device)
        self._own = threading.local()

    def inputs(self, recipe: Recipe, samples: Samples) -> Tensor:
        """Make the network's input of one frame: values in 0..1 of shape (3, image_size, image_size), on the device.

        Raises:
            GpuOutOfMemoryError: It does not fit into the device's memory.
        """
        return self._use(recipe, lambda engine: engine(samples[None])[0])

    def with_decibels(self, recipe: Recipe, samples: Samples) -> FramePicture:
        """Make the same, and measure the frame's levels.

        Raises:
            GpuOutOfMemoryError: It does not fit into the device's memory.
        """

        def make(engine: SpectrogramEngine) -> FramePicture:
            inputs, decibels = engine.with_decibels(samples[None])
            return FramePicture(inputs[0], decibels[0].cpu().numpy())

        return self._use(recipe, make)

    def _use(self, recipe: Recipe, make: Callable[[SpectrogramEngine], Made]) -> Made:
        """Work on this thread's stream, and return once all of it is done."""

        def work(engine: SpectrogramEngine) -> Made:
            with self._stream():
                made = make(engine)
                if self._device.type == "cuda":
                    torch.cuda.current_stream(self._device).synchronize()
            return made

        return self._engines.use(recipe, work)

    def _stream(self) -> AbstractContextManager[object]:
        """Choose this thread's stream, where there are streams."""
        if self._device.type != "cuda":
            return contextlib.nullcontext()
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._own.stream)


def join_inputs(inputs: Sequence[Tensor]) -> Tensor:
    """Make a batch of inputs that other threads have made."""
    for each in inputs:
        if each.is_cuda:
            # Else its memory may be given away by the stream that made it while this one still reads.
            each.record_stream(torch.cuda.current_stream(each.device))
    return torch.stack(list(inputs))
