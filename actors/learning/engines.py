"""The spectrogram engines of one run: one for each recipe, which all threads share.

Owns that an engine is made once, whichever of several threads asks for it first (on a GPU its weights take hundreds of megabytes
there, and more on the host while they are made), and what to do when the device's memory runs out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from threading import Condition, Lock
from typing import Final, TypeVar

import torch

from actors.learning.errors import GpuOutOfMemoryError
from actors.signals.engine import SpectrogramEngine
from actors.signals.recipe import Recipe

#: Recordings of as many rates may follow each other without an engine being made anew.
_ENGINES_KEPT: Final = 4

Made = TypeVar("Made")


class Engines:
    """Engines for one network on one device.

    Threads may share it. Their frames are on the device together as long as its memory does; once it did not, one at a time.
    """

    def __init__(self, *, image_size: int, device: str | torch.device) -> None:
        self._device = device
        self._make = lru_cache(_ENGINES_KEPT)(partial(SpectrogramEngine, image_size=image_size, device=device))
        self._making = Lock()
        self._turns = _Turns()

    def use(self, recipe: Recipe, work: Callable[[SpectrogramEngine], Made]) -> Made:
        """Do something to a frame with the engine of its recipe; it may be begun a second time.

        Raises:
            GpuOutOfMemoryError: The frame alone does not fit into the device's memory.
        """
        try:
            return self._try(recipe, work)
        except torch.OutOfMemoryError:
            self._turns.narrow()
        torch.cuda.empty_cache()
        try:
            return self._try(recipe, work)
        except torch.OutOfMemoryError as error:
            problem = f"a frame of {recipe.frame_samples} samples does not fit into the memory of {self._device}"
            raise GpuOutOfMemoryError(problem, "Give the task more GPU memory, or run it on cpu.") from error

    def _try(self, recipe: Recipe, work: Callable[[SpectrogramEngine], Made]) -> Made:
        with self._turns.take():
            with self._making:
                engine = self._make(recipe)
            return work(engine)


class _Turns:
    """Lets all threads in at once, and after ``narrow`` one at a time."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = 0
        self._is_narrow = False

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_narrow and self._inside))
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def narrow(self) -> None:
        """Let no second one in from now on."""
        with self._changed:
            self._is_narrow = True
