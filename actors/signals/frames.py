"""Cuts samples in memory into a recipe's frames.

Owns what happens at a recording's end. It must not import torch, and knows nothing of files.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from actors.signals.recipe import Recipe


def cut_frames(samples: NDArray[np.complex64], recipe: Recipe) -> NDArray[np.complex64]:
    """Cut a recording at the recipe's rate into frames, which share its memory where no zeros have to be added.

    Returns:
        (frames, ``recipe.frame_samples``), read-only. An incomplete last frame is left out; a recording shorter than one
        frame is filled up with zeros where the recipe pads.

    Raises:
        RecordingTooShortError: As ``Recipe.frame_starts``.
    """
    starts = recipe.frame_starts(len(samples))
    missing = recipe.frame_samples - len(samples)
    whole = np.pad(samples, (0, missing)) if missing > 0 else samples
    return sliding_window_view(whole, recipe.frame_samples)[:: starts.step]
