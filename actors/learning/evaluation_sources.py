"""What an evaluation measures a network with: recordings and pictures as sources of the network's inputs.

Owns how a frame becomes an input, with or without noise, and what is remembered of each file. It knows nothing of scores.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.files.data_roots import DataRoots
from actors.learning.engines import Engines
from actors.learning.labelled_files import LabelledFile
from actors.learning.pictures import decode_picture
from actors.signals.errors import SnrError
from actors.signals.frames import RecordingFrames
from actors.signals.noise import MEASURED_SAMPLES, SeededNoise, SnrEstimate, estimate_snr, noise_power_for

#: A picture's pixels of shape (side, side, 3), or values in 0..1 of shape (3, side, side) on the engine's device.
Input = NDArray[np.uint8] | Tensor
Done = TypeVar("Done")

#: Bytes of samples that the threads may hold together.
_SAMPLES_BUDGET: Final = 600_000_000


class Source(Protocol):
    """One file, some of whose frames are asked for by several threads."""

    labelled: LabelledFile
    #: Why the file could not be used; None as long as it can.
    error: str | None

    @property
    def frames(self) -> int:
        """Frames of the file."""

    @property
    def frame_bytes(self) -> int:
        """What a thread holds while it makes an input."""

    def make_input(self, index: int, noise: SeededNoise | None) -> Input:
        """Make the network's input of a frame."""


class PictureSource:
    """A picture: one frame, which no noise is added to."""

    def __init__(self, labelled: LabelledFile, image_size: int, roots: DataRoots) -> None:
        self.labelled = labelled
        self.error: str | None = None
        self._image_size, self._roots = image_size, roots

    @property
    def frames(self) -> int:
        """The picture itself."""
        return 1

    @property
    def frame_bytes(self) -> int:
        """What a thread holds of the picture in the end; while it decodes, more."""
        return 3 * self._image_size * self._image_size

    def make_input(self, index: int, noise: SeededNoise | None) -> Input:  # noqa: ARG002 - as of every source
        """Decode the picture.

        Raises:
            UnreadablePictureError: It cannot be decoded.
        """
        return decode_picture(self.labelled.path, self._image_size, roots=self._roots)


class RecordingSource:
    """The frames of a recording by a recipe, and its own ratio of signal to noise once that is measured."""

    def __init__(self, labelled: LabelledFile, frames: RecordingFrames, engines: Engines) -> None:
        self.labelled = labelled
        self.error: str | None = None
        self.snr: SnrEstimate | None = None
        self.snr_error: str | None = None
        self._frames, self._engines = frames, engines

    @property
    def frames(self) -> int:
        """Frames of the recording."""
        return len(self._frames)

    @property
    def frame_bytes(self) -> int:
        """What a thread holds while it makes an input."""
        return self._frames.reading_bytes

    def measure_snr(self, band_hz: float | None) -> None:
        """Estimate the ratio from the recording's longest capture, or note why that cannot be done.

        Raises:
            UnreadableRecordingError, BadSamplesError: As ``Recording.read``.
        """
        recording = self._frames.recording
        capture = max(recording.captures, key=lambda capture: capture.count)
        samples = recording.read(capture.first, min(capture.count, MEASURED_SAMPLES))
        try:
            self.snr = estimate_snr(samples, recording.sample_rate, band_hz=band_hz)
        except SnrError as error:
            self.snr_error = error.message

    def noise_for(self, snr_db: float, seed: int) -> SeededNoise:
        """Tell the noise that brings the recording down to a ratio; it depends on seed, file and ratio alone.

        Raises:
            SnrError: The recording is noisier already, or its own ratio is unknown.
        """
        if self.snr is None:
            raise SnrError(self.snr_error or "its ratio was not measured", "Give band_hz, or use another recording.")
        power = noise_power_for(self.snr, snr_db, self._frames.recording.sample_rate)
        return SeededNoise.of(power, seed, self.labelled.file, snr_db)

    def make_input(self, index: int, noise: SeededNoise | None) -> Input:
        """Read a frame, add noise and turn it into a picture.

        Raises:
            UnreadableRecordingError, BadSamplesError: As ``RecordingFrames.read``.
            GpuOutOfMemoryError: The frame does not fit into the device's memory.
        """
        samples = self._frames.read(index, change=None if noise is None else noise.add_to)
        return self._engines.use(self._frames.recipe, lambda engine: engine(samples[None])[0])


def input_threads(sources: Iterable[Source], threads: int) -> ThreadPoolExecutor:
    """Make the threads that inputs are made in: fewer where frames are so long that memory would not do."""
    largest = max((source.frame_bytes for source in sources), default=1)
    workers = max(1, min(threads, _SAMPLES_BUDGET // largest))
    # Torch's own threads would meet after every small step of the engine; here each frame has a thread of its own.
    return ThreadPoolExecutor(workers, thread_name_prefix="inputs", initializer=torch.set_num_threads, initargs=(1,))


def run_ahead(pool: ThreadPoolExecutor, jobs: Iterable[Callable[[], Done]], most: int) -> Iterator[Future[Done]]:
    """Run jobs in threads and give what becomes of them in their order; ``most`` are begun and not yet given out."""
    waiting: deque[Future[Done]] = deque()
    for job in jobs:
        waiting.append(pool.submit(job))
        if len(waiting) >= most:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()
