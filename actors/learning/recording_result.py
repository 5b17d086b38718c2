"""What is found in one recording, gathered frame by frame, and the files that are made of it.

Owns the summary over frames, the annotations and the annotated spectrogram of a recording. Memory does not grow with the recording
but for a few numbers a frame.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.files.atomic import make_folder, output_error
from actors.files.errors import writable
from actors.learning.prediction_files import FileSummary, Prediction
from actors.learning.predictor import Predictor, in_percent
from actors.signals.frames import FramePlace, RecordingFrames
from actors.signals.overview import Overview
from actors.signals.rendering import Axes, Segment, render_png
from actors.signals.sigmf_annotations import Finding, describe_findings, relative_link

#: Annotations of one recording: programs that show them become slow, so that beyond it frames of one class are joined.
MOST_ANNOTATIONS: Final = 20_000
#: Pixels for each row of the overview.
_ROW_PIXELS: Final = 2


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was found in one frame."""

    place: FramePlace
    class_name: str
    confidence: float


class RecordingResult:
    """The findings of one recording so far.

    Invariant: ``add`` and ``miss`` are called once for each frame, in their order, from one thread.
    """

    def __init__(self, file: str, frames: RecordingFrames) -> None:
        self.file = file
        self._frames = frames
        self._answers: list[_Answer] = []
        self._probabilities: NDArray[np.float64] | float = 0.0
        self._overview = Overview(frames.recording.duration_s)
        self._first_error: str | None = None

    def add(
        self, index: int, probabilities: NDArray[np.float32], top: Sequence[tuple[str, float]], decibels: NDArray[np.float32]
    ) -> Prediction:
        """Take the answer for a frame, ranked in percent, and its levels; returns its entry of the prediction files."""
        place = self._frames[index]
        self._answers.append(_Answer(place, *top[0]))
        self._probabilities = self._probabilities + probabilities.astype(np.float64)
        # The whole frame, with what was filled up; the overview ends with the recording.
        self._overview.add(decibels, place.start_s, self._frames.recipe.frame_duration_s)
        return frame_prediction(self.file, index, place, top=tuple(top))

    def miss(self, index: int, error: str) -> Prediction:
        """Note that a frame has no answer; returns its entry of the prediction files."""
        self._first_error = self._first_error or error
        return frame_prediction(self.file, index, self._frames[index], error=error)

    def summary(self, predictor: Predictor) -> FileSummary:
        """Tell the class of the greatest mean probability, and how many frames had which class."""
        error = self._first_error
        missed = len(self._frames) - len(self._answers)
        if missed and self._answers:
            error = f"{missed} of {len(self._frames)} frames have no answer; the first: {error}"
        top: tuple[tuple[str, float], ...] = ()
        if self._answers:
            mean = np.asarray(self._probabilities / len(self._answers), dtype=np.float32)
            top = in_percent(predictor.top(mean[None])[0])
        return FileSummary(
            file=self.file,
            class_name=top[0][0] if top else None,
            confidence=top[0][1] if top else None,
            top=top,
            frames=len(self._answers),
            seconds=round(self._frames.recording.duration_s, 9),
            frames_per_class=tuple(Counter(answer.class_name for answer in self._answers).most_common()),
            error=error,
        )

    def write_annotations(self, staging: Path, output: Path, name: str) -> list[str]:
        """Write SigMF metadata and a link to the samples; returns their paths within the output folder.

        Args:
            staging: The folder that they are written to.
            output: The folder that they will lie in, which the link's way to the samples starts from.
            name: Their path within both, without an ending.

        Raises:
            RecordingFormatError: SigMF cannot describe the samples.
            UnreadableRecordingError: The recording is gone.
            OutputError: A file cannot be written.
        """
        recording, recipe = self._frames.recording, self._frames.recipe
        description = f"Classes of frames of {recipe.frame_duration_s:g} s, found by a network from {writable(recording.path.name)}"
        files = describe_findings(recording, Path(name).name, self._findings(), description=description)
        meta, data = (str(Path(name).with_name(each)) for each in (files.meta_name, files.data_name))
        make_folder((staging / meta).parent)
        try:
            (staging / meta).write_text(files.meta_text(), encoding="utf-8")
            (staging / data).unlink(missing_ok=True)
            (staging / data).symlink_to(relative_link(files.data_path, (output / data).parent))
        except OSError as error:
            raise output_error(staging / meta, error) from error
        return [data, meta]

    def draw(self, path: Path, summary: FileSummary) -> None:
        """Draw the whole recording with the classes along its time.

        Raises:
            OutputError: The picture cannot be written.
        """
        recording = self._frames.recording
        found = "no answer" if summary.class_name is None else f"{summary.class_name} {summary.confidence:.2f} %"
        axes = Axes(
            start_s=0.0,
            duration_s=recording.duration_s,
            centre_hz=recording.center_frequency or 0.0,
            sample_rate=self._frames.recipe.sample_rate,
            title=f"{self.file}: {found} ({summary.frames} frames)",
        )
        decibels = np.repeat(self._overview.decibels(), _ROW_PIXELS, axis=0)
        make_folder(path.parent)
        try:
            path.write_bytes(render_png(decibels, axes, segments=self._segments()))
        except OSError as error:
            raise output_error(path, error) from error

    def _findings(self) -> list[Finding]:
        """Tell of each frame, or of each run of frames with one class where there are too many frames."""
        is_long = len(self._answers) > MOST_ANNOTATIONS
        groups = self._runs() if is_long else [[answer] for answer in self._answers]
        return [self._finding(group) for group in groups]

    def _finding(self, group: Sequence[_Answer]) -> Finding:
        first, last = group[0].place, group[-1].place
        # What is looked at is the recipe's band, of which a slower recording fills only a part.
        half = min(self._frames.recording.sample_rate, self._frames.recipe.sample_rate) / 2
        centre = first.center_frequency or 0.0
        return Finding(
            first=first.first,
            count=last.first + last.count - first.first,
            lower_frequency=centre - half,
            upper_frequency=centre + half,
            label=group[0].class_name,
            confidence=round(sum(answer.confidence for answer in group) / len(group), 4),
        )

    def _runs(self) -> list[list[_Answer]]:
        """Group neighbouring frames of one class and one centre."""
        runs: list[list[_Answer]] = []
        for answer in self._answers:
            last = runs[-1][-1] if runs else None
            if last and (last.class_name, last.place.center_frequency) == (answer.class_name, answer.place.center_frequency):
                runs[-1].append(answer)
            else:
                runs.append([answer])
        return runs

    def _segments(self) -> list[Segment]:
        """Tell from when to when which class was found; where frames overlap, the later one's begins."""
        runs = self._runs()
        starts = [run[0].place.start_s for run in runs[1:]] + [float("inf")]
        ends = [run[-1].place.start_s + run[-1].place.duration_s for run in runs]
        return [
            Segment(run[0].place.start_s, min(end, following), run[0].class_name)
            for run, end, following in zip(runs, ends, starts, strict=True)
        ]


def frame_prediction(
    file: str,
    index: int,
    place: FramePlace,
    *,
    top: tuple[tuple[str, float], ...] = (),
    error: str | None = None,
) -> Prediction:
    """Make the entry of a frame.

    Args:
        file: how its recording is named.
        index: which frame of it.
        place: where the frame lies.
        top: the best classes with their confidences in percent, best first; none where ``error`` tells why.
        error: why there is no answer.
    """
    return Prediction(
        file=file,
        class_name=top[0][0] if top else None,
        confidence=top[0][1] if top else None,
        top=top,
        segment=index,
        error=error,
        start_s=round(place.start_s, 9),
        duration_s=round(place.duration_s, 9),
    )
