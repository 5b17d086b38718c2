"""Cuts recordings of any size into a recipe's frames, of which one at a time is read.

Owns the rate of frames where nobody chose one, where frames lie, what happens at a recording's end, and that a frame read alone
equals the same frame of the whole recording resampled at once. It must not import torch.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from actors.signals.contents import Capture
from actors.signals.errors import RecipeError, RecordingTooShortError, SampleRateError
from actors.signals.recipe import RATE_TOLERANCE, Recipe
from actors.signals.recording import Recording
from actors.signals.resample import plan_resampling, resample_part

Samples = NDArray[np.complex64]
#: Frames of one task, of each of which about a kilobyte is remembered; more would be a frame_step_s of a few samples by mistake.
MOST_FRAMES: Final = 1_000_000
_SAMPLE_BYTES: Final = 8
#: Resampling holds a frame's samples before, during and after.
_RESAMPLED_COPIES: Final = 4
#: Takes the place of the first sample in its recording, and the samples, which it may overwrite; returns as many.
Change = Callable[[int, Samples], Samples]


@dataclass(frozen=True, slots=True)
class FramePlace:
    """Where a frame lies in its recording, in the recording's own samples."""

    first: int
    #: Samples of the recording; behind them, zeros fill the frame.
    count: int
    start_s: float
    duration_s: float
    #: Hz; None where nobody tells.
    center_frequency: float | None


class RecordingFrames(Sequence[FramePlace]):
    """The frames of one recording by a recipe. Nothing is in memory but what ``read`` returns; threads may share it.

    A frame lies within one capture: across a change of frequency or a gap there is no spectrum.
    """

    def __init__(self, recording: Recording, recipe: Recipe) -> None:
        """Lay out the frames.

        Raises:
            ResamplingError: The recording's rate is not the recipe's and cannot or may not be brought to it.
            RecordingTooShortError: No capture holds a frame, and the recipe refuses to pad.
        """
        self.recording, self.recipe = recording, recipe
        self.resampling = plan_resampling(recording.sample_rate, recipe)
        #: The captures that hold frames, and where frames start in each, at the recipe's rate.
        self._captures: list[tuple[Capture, range]] = []
        #: For each of them, how many frames there are up to its last; there may be thousands of captures.
        self._ends: list[int] = []
        self.short_captures = 0
        for capture in recording.captures:
            self._add(capture)
        if not self._captures:
            longest = max(self.resampling.output_length(capture.count) for capture in recording.captures)
            raise RecordingTooShortError(
                f"{recording.path} has {longest} samples in one piece, a frame {recipe.frame_samples} "
                f"({recipe.frame_duration_s:g} s at {recipe.sample_rate:g} S/s)",
                'Use a longer recording, a recipe with a shorter frame_duration_s, or short="pad".',
            )

    def _add(self, capture: Capture) -> None:
        try:
            starts = self.recipe.frame_starts(self.resampling.output_length(capture.count))
        except RecordingTooShortError:
            self.short_captures += 1
        else:
            self._captures.append((capture, starts))
            self._ends.append(len(starts) + (self._ends[-1] if self._ends else 0))

    def __len__(self) -> int:
        """Count the frames."""
        return self._ends[-1]

    @overload
    def __getitem__(self, index: int) -> FramePlace: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FramePlace]: ...
    def __getitem__(self, index: int | slice) -> FramePlace | Sequence[FramePlace]:
        """Tell where a frame lies."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        capture, start = self._locate(index)
        up, down = self.resampling.up, self.resampling.down
        first = start * down // up
        count = min(-(-self.recipe.frame_samples * down // up), capture.count - first)
        rate = self.recording.sample_rate
        return FramePlace(capture.first + first, count, (capture.first + first) / rate, count / rate, capture.center_frequency)

    @property
    def reading_bytes(self) -> int:
        """What reading a frame holds in memory at most."""
        own = self.recipe.frame_samples * _SAMPLE_BYTES
        return own + _RESAMPLED_COPIES * own * self.resampling.down // self.resampling.up if self.resampling.is_needed else own

    def __iter__(self) -> Iterator[FramePlace]:
        """Go over the places in order."""
        return (self[index] for index in range(len(self)))

    def remarks(self, name: str) -> Iterator[str]:
        """Tell what was done to the recording that the user may not expect, under the name that they know it by."""
        yield from self.recording.warnings
        if self.resampling.is_needed:
            rates = f"from {self.resampling.source_rate:g} to the recipe's {self.recipe.sample_rate:g} samples per second"
            yield f"{name}: brought {rates}"
        if self.short_captures:
            yield f"{name}: {self.short_captures} captures are shorter than a frame and are left out"

    def read(self, index: int, *, change: Change | None = None) -> Samples:
        """Read a frame: ``recipe.frame_samples`` samples at the recipe's rate.

        Args:
            index: Which frame.
            change: Done to samples as they come from the recording, before any resampling.

        Raises:
            UnreadableRecordingError: The file is gone, or was cut off meanwhile.
            BadSamplesError: One of its samples is NaN, infinite, or larger than any receiver gives.
        """
        capture, start = self._locate(index)
        wanted = self.recipe.frame_samples

        def read(first: int, count: int) -> Samples:
            samples = self.recording.read(capture.first + first, count)
            return samples if change is None else change(capture.first + first, samples)

        there = min(wanted, self.resampling.output_length(capture.count) - start)
        samples = resample_part(read, capture.count, self.resampling, first=start, count=there)
        return np.pad(samples, (0, wanted - there)) if there < wanted else samples

    def _locate(self, index: int) -> tuple[Capture, int]:
        """Find a frame's capture, and its start there at the recipe's rate."""
        wanted = index if index >= 0 else index + len(self)
        if not 0 <= wanted < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        number = bisect_right(self._ends, wanted)
        capture, starts = self._captures[number]
        return capture, starts[wanted - self._ends[number]]


def settle_recipe(choices: Mapping[str, Any], recordings: Collection[Recording]) -> Recipe:
    """Complete a recipe; one without a sample rate takes that of the recordings.

    Args:
        choices: As in ``Recipe.of``.
        recordings: At least one.

    Raises:
        SampleRateError: The recipe has no rate, and two recordings differ in theirs; the message names them.
        RecipeError: As ``Recipe.of``.
    """
    if choices.get("sample_rate") is not None:
        return Recipe.of(choices)
    slowest, fastest = (choose(recordings, key=lambda each: each.sample_rate) for choose in (min, max))
    if not math.isclose(slowest.sample_rate, fastest.sample_rate, rel_tol=RATE_TOLERANCE):
        raise SampleRateError(
            f"{slowest.path} has {slowest.sample_rate:.12g} samples per second, {fastest.path} has {fastest.sample_rate:.12g}, "
            "and the recipe has no sample_rate",
            "Give recipe.sample_rate: recordings of other rates are then brought to it.",
        )
    return Recipe.of(choices, sample_rate=slowest.sample_rate)


def require_few_frames(recordings: Collection[RecordingFrames], most: int = MOST_FRAMES) -> None:
    """Refuse more frames than one task should go over.

    Raises:
        RecipeError: There are more; the message tells how many.
    """
    frames = sum(map(len, recordings))
    if frames > most:
        step = min(each.recipe.frame_step_s for each in recordings)
        raise RecipeError(
            f"{len(recordings)} recordings have {frames} frames, more than the {most} of one task",
            f"Choose a longer frame_step_s than {step:g} s, or fewer recordings.",
        )
