"""The spectrogram engines of one run: one for each recipe, made when a frame first needs it.

Owns that an engine is made once, whichever of several threads asks for it first: on a GPU its weights take hundreds of megabytes
there, and more on the host while they are made.
"""

from functools import lru_cache, partial
from threading import Lock
from typing import Final

import torch

from actors.signals.engine import SpectrogramEngine
from actors.signals.recipe import Recipe

#: Recordings of as many rates may follow each other without an engine being made anew.
_ENGINES_KEPT: Final = 4


class Engines:
    """Engines for one network on one device. Threads may share it."""

    def __init__(self, *, image_size: int, device: str | torch.device) -> None:
        self._make = lru_cache(_ENGINES_KEPT)(partial(SpectrogramEngine, image_size=image_size, device=device))
        self._lock = Lock()

    def __call__(self, recipe: Recipe) -> SpectrogramEngine:
        """Give the engine of a recipe, which all threads share; who asks while it is being made waits."""
        with self._lock:
            return self._make(recipe)
