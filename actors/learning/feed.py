"""What an inference goes over, whatever its kind: batches of network inputs that know what becomes of their answers."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.learning.inference_progress import Progress
from actors.learning.prediction_files import FileSummary, Prediction
from actors.learning.predictor import Inputs

Probabilities = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some pictures or frames, ready for the network."""

    #: Those that can be predicted; None where none can.
    inputs: Inputs | None
    #: How many are gone through with it.
    size: int
    #: Takes the answers to ``inputs``, in their order, and makes the entries of the prediction files.
    settle: Callable[[Probabilities | None], list[Prediction]]


class Feed(Protocol):
    """Files of one kind. What it makes of them lies in the staging folder once its batches are used up."""

    @property
    def units(self) -> int:
        """Pictures or frames, all told."""

    def targets(self) -> set[PurePosixPath]:
        """Name every file that may be made, by its path within the output folder."""

    def batches(self, progress: Progress) -> AbstractContextManager[Iterator[Batch]]:
        """Read ahead of the network in threads, which end with the context; failures are counted as batches are settled."""

    def staged(self) -> Iterator[str]:
        """Name what was made, as paths that hold in the staging folder and in the output folder alike."""

    def summaries(self) -> list[FileSummary]:
        """Tell what was found in each file, in the order of the files."""


def wait_for(futures: Sequence[Future[None]]) -> None:
    """Wait for work in the threads and let its first failure out."""
    for future in futures:
        future.result()
