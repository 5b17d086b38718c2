"""Draws frames with the spectrogram engine, for tasks that must not import torch themselves."""

import numpy as np
import torch
from numpy.typing import NDArray

from actors.preprocessing.spectrogram import Draw
from actors.signals.engine import SpectrogramEngine
from actors.signals.recipe import Recipe


def drawing_for(recipe: Recipe, image_size: int) -> Draw:
    """Make what turns the samples of one frame into a picture, on the CPU and in the thread that calls.

    Torch gets one thread for each that calls: frames side by side leave no core idle, while threads within a frame would meet
    after every small step.
    """
    torch.set_num_threads(1)
    engine = SpectrogramEngine(recipe, image_size=image_size)

    def draw(samples: NDArray[np.complex64]) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = engine.pixels(samples[None])[0].contiguous().numpy()
        return pixels

    return draw
