"""Pictures of whole recordings, put together from the frames that an order goes over anyway.

Owns how many and how large they may be: an answer carries them. Frames come from several threads, in any order.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.core.errors import PredictionInputError
from actors.online.contents import Unit
from actors.online.orders import SpectrogramPicture
from actors.signals.frames import RecordingFrames
from actors.signals.overview import Overview, pool_rows
from actors.signals.rendering import render_plain_png

#: Recordings of one order; each picture may take half a megabyte of the answer.
MOST_RECORDINGS: Final = 8
MOST_WIDTH: Final = 1200
MOST_HEIGHT: Final = 400


class RecordingPictures:
    """The overviews of an order's recordings, in their order. Threads may add frames at the same time."""

    def __init__(self, units: Sequence[Unit]) -> None:
        """Begin a picture for each recording that can be read.

        Raises:
            PredictionInputError: There are too many.
        """
        recordings = {id(unit.frames): (unit.content.file, unit.frames) for unit in units if unit.frames is not None}
        if len(recordings) > MOST_RECORDINGS:
            told = f"{len(recordings)} recordings in one request; with spectrogram=true it may have {MOST_RECORDINGS}"
            raise PredictionInputError(f"{told}: send fewer at a time, or leave spectrogram away")
        self._recordings = recordings
        self._overviews = {key: Overview(frames.recording.duration_s, width=MOST_WIDTH) for key, (_, frames) in recordings.items()}
        self._lock = Lock()

    def add(self, frames: RecordingFrames, index: int, decibels: NDArray[np.float32]) -> None:
        """Take the levels of a frame: (height, columns), the highest frequency on top."""
        pooled = pool_rows(decibels, MOST_HEIGHT)
        with self._lock:
            self._overviews[id(frames)].add(pooled, frames[index].start_s, frames.recipe.frame_duration_s)

    def draw(self) -> tuple[SpectrogramPicture, ...]:
        """Draw them all. Blocking: some ten milliseconds each."""
        return tuple(self._draw(file, frames, self._overviews[key]) for key, (file, frames) in self._recordings.items())

    def _draw(self, file: str, frames: RecordingFrames, overview: Overview) -> SpectrogramPicture:
        decibels = overview.decibels()
        decibels = np.repeat(decibels, max(1, MOST_HEIGHT // len(decibels)), axis=0)
        return SpectrogramPicture(
            file=file,
            png=render_plain_png(decibels),
            width=decibels.shape[1],
            height=decibels.shape[0],
            duration_s=frames.recording.duration_s,
            center_frequency=frames.recording.center_frequency,
            sample_rate=frames.recipe.sample_rate,
        )
