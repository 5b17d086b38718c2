"""Makes pictures of recordings: a picture of each frame, the recipe that made them, and where each comes from.

Owns which frame becomes which file. It must not import torch: whoever runs it passes in what draws a frame.

Class folders of recordings become ``train``, ``valid`` and, where ``val_ratio`` is given, ``test``, as a split of the finished pictures
with the same seed would divide them: by recording, never by frame, and pieces of one long recording together. Where recordings lie
directly in the input, or it is one file, there are no classes to learn and nothing is divided.

A recording that cannot be read, or holds no frame where the recipe refuses short ones, does not end the task and is not left out in
silence: it is a warning in the log, counted in ``failed`` and a row of the manifest with its reason. So is a frame whose samples cannot
be read. A day's work on a thousand recordings should not be lost to a broken one. If not one recording can be used, nothing is written
and the task fails with the first reason.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.preprocessing.course import Course
from actors.preprocessing.errors import PictureFailedError
from actors.preprocessing.file_runs import MAX_NAMED_FAILURES, FileRun, UnfinishedFile
from actors.preprocessing.frame_manifest import MANIFEST_CSV_NAME, ManifestRow, manifest_text
from actors.preprocessing.partition import Ratios, count_images
from actors.preprocessing.picture_names import group_of, picture_name, picture_stems
from actors.preprocessing.pixels import Picture, write_picture
from actors.preprocessing.plan import Outcome, Record, SpectrogramPlan, Surroundings, check_ratios
from actors.preprocessing.recording_survey import Survey, list_recordings, open_recordings
from actors.preprocessing.run_folder import RunFolder
from actors.preprocessing.sources import printable, refuse_output_within
from actors.signals.errors import SignalError
from actors.signals.frames import RecordingFrames, settle_recipe
from actors.signals.recipe import Recipe
from actors.signals.recipe_file import RECIPE_FILE_NAME, PictureRecipe, recipe_file_text

#: Turns the samples of one frame into a picture: uint8 of shape (image_size, image_size, 3). Several threads call it at once.
Draw = Callable[[NDArray[np.complex64]], NDArray[np.uint8]]
#: Makes that, given the recipe and the side in pixels.
DrawingFor = Callable[[Recipe, int], Draw]

#: What the frames in work may take together; where frames are so long that few fit, fewer threads work.
_MEMORY_BYTES: Final = 2 << 30
_SAMPLE_BYTES: Final = 8
#: Copies of a frame's samples that exist at once: as read, as complex numbers, resampled, padded.
_COPIES: Final = 3


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Where a picture comes from."""

    recording: str
    index: int
    #: Of a split; "" where there is none.
    part: str


def run_spectrogram(plan: SpectrogramPlan, surroundings: Surroundings, *, drawing_for: DrawingFor) -> Outcome:
    """Draw every frame of the recordings.

    Raises:
        ConfigError: The ratios leave nothing for a part, or the output lies within the input.
        NoRecordingsError, DatasetError: The input cannot be listed or holds no recordings.
        SampleRateError: The recipe has no sample rate, and two recordings differ in theirs.
        RecipeError: The recipe cannot be used at the recordings' rate, or gives too many pictures.
        OutputTakenError: The output folder holds something else.
        AllFilesFailedError: Not one recording can be used, or not one frame could be drawn.
        OutputError: A file cannot be written.
    """
    check_ratios(plan.train_ratio, plan.val_ratio)
    if plan.input_path.is_dir():
        refuse_output_within(plan.input_path, plan.output_path, source_field="input_path")
    tree = list_recordings(plan.input_path, roots=plan.roots)
    surroundings.report(Record("INFO", f"reading the headers of {len(tree.names)} recordings", 0, 0))
    survey = open_recordings(tree, plan.hints, roots=plan.roots, should_stop=surroundings.should_stop)
    if len(survey.opened) + len(survey.failures) < len(tree.names):
        return Outcome("stopped", {}, 0, 0)
    survey.require_some(survey.opened)
    recipe = settle_recipe(plan.recipe, survey.opened.values())
    survey.lay_out(recipe)
    cv2.setNumThreads(1)
    drawing = _Drawing(plan, survey, recipe, drawing_for(recipe, plan.image_size))
    return drawing.course().run(surroundings, threads=drawing.threads)


class _Drawing:
    """One run over the recordings of a survey."""

    def __init__(self, plan: SpectrogramPlan, survey: Survey, recipe: Recipe, draw: Draw) -> None:
        self._plan, self._survey, self._recipe, self._draw = plan, survey, recipe, draw
        self._has_classes = survey.tree.has_classes
        self._ratios = Ratios(plan.train_ratio, plan.val_ratio, plan.seed)
        self._stems = picture_stems(survey.tree.names)
        self._place_of = {name: place for place, name in enumerate(survey.frames, 1)}

    @property
    def threads(self) -> int:
        """Threads whose frames fit into memory together."""
        samples = max(_samples_of_a_frame(frames) for frames in self._survey.frames.values())
        return max(1, min(self._plan.threads, _MEMORY_BYTES // (_COPIES * _SAMPLE_BYTES * samples)))

    def course(self) -> Course:
        """Lay out the task."""
        usable = len(self._survey.frames)
        return Course(
            folder=RunFolder(self._plan.output_path, "spectrogram", self._parameters(), self._survey.sources()),
            outputs={name: {name: None} for name in self._pictures},
            warnings=tuple(self._warnings()),
            make=self._make,
            stats=self._stats,
            notes={"failed_recordings": {name: error.message for name, error in self._survey.failures.items()}},
            subject=f"pictures of {usable} recordings",
            locate=lambda name: f"recording {self._place_of[self._pictures[name].recording]} of {usable}",
            documents={
                RECIPE_FILE_NAME: lambda _run: recipe_file_text(PictureRecipe(self._recipe, self._plan.image_size)),
                MANIFEST_CSV_NAME: lambda run: manifest_text(self._rows(run)),
            },
        )

    @cached_property
    def _part_of(self) -> Mapping[str, str]:
        """The part of each recording that has frames; empty where nothing is divided."""
        if not self._has_classes:
            return {}
        sizes: dict[str, Counter[str]] = {}
        for name, frames in self._survey.frames.items():
            sizes.setdefault(_class_of(name), Counter())[group_of(self._stems[name])] += len(frames)
        parts = {class_name: self._ratios.parts_of(class_name, groups) for class_name, groups in sizes.items()}
        return {name: parts[_class_of(name)][group_of(self._stems[name])] for name in self._survey.frames}

    @cached_property
    def _pictures(self) -> Mapping[str, FrameSource]:
        """Where each picture comes from, by its path in the output folder."""
        return {
            self._file(name, index): FrameSource(name, index, self._part_of.get(name, ""))
            for name, frames in self._survey.frames.items()
            for index in range(len(frames))
        }

    def _file(self, name: str, index: int) -> str:
        """Name a recording's picture."""
        file = picture_name(self._stems[name], index)
        return f"{self._part_of[name]}/{file}" if self._has_classes else file

    def _make(self, file: UnfinishedFile, staged: Sequence[Path]) -> None:
        """Draw one frame."""
        source = self._pictures[file.source]
        try:
            samples = self._survey.frames[source.recording].read(source.index)
        except SignalError as error:
            raise PictureFailedError(error.message, error.hint) from error
        write_picture(Picture(self._draw(samples), None, "PNG"), staged[0])

    def _stats(self, run: FileRun) -> dict[str, Any]:
        """Count recordings, what is in its place, and recordings that gave less than they should."""
        failed = {*self._survey.failures, *(self._pictures[name].recording for name in run.failures)}
        counts = {"recordings": len(self._survey.tree.names), "pictures": len(run.finished), "failed": len(failed)}
        if not self._has_classes:
            return {**counts, "classes": []}
        parts = count_images(self._pictures[name].part for name in run.finished)
        return {**counts, **parts, "classes": sorted({printable(_class_of(name)) for name in self._survey.frames})}

    def _rows(self, run: FileRun) -> Iterator[ManifestRow]:
        """List every picture, and what there is none of."""
        for name in self._survey.tree.names:
            class_name = _class_of(name) if self._has_classes else ""
            if failure := self._survey.failures.get(name):
                yield ManifestRow(class_name=class_name, recording=name, error=failure.message)
                continue
            frames = self._survey.frames[name]
            for index, place in enumerate(frames):
                file = self._file(name, index)
                yield ManifestRow(
                    file="" if file in run.failures else file,
                    class_name=class_name,
                    part=self._part_of.get(name, ""),
                    recording=name,
                    place=place,
                    sample_rate=frames.recording.sample_rate,
                    error=run.failures.get(file, ""),
                )

    def _warnings(self) -> Iterator[str]:
        """Say what the user should know before the work begins."""
        survey = self._survey
        failures = [f"{printable(name)} failed: {error}" for name, error in survey.failures.items()]
        yield from failures[:MAX_NAMED_FAILURES]
        if len(failures) > MAX_NAMED_FAILURES:
            yield f"{len(failures)} recordings cannot be used; {MAX_NAMED_FAILURES} are named above, all in {MANIFEST_CSV_NAME}"
        told = [f"{printable(name)}: {each}" for name in survey.frames for each in survey.opened[name].warnings]
        yield from told[:MAX_NAMED_FAILURES]
        if survey.tree.ignored_folders:
            yield "recordings lie directly in the input folder: its folders are not taken for classes, and nothing is divided"
        yield from self._layout_warnings()
        if self._has_classes:
            yield from self._class_warnings()

    def _layout_warnings(self) -> Iterator[str]:
        """Say what is not drawn as it was recorded."""
        frames = self._survey.frames.values()
        rates = Counter(each.recording.sample_rate for each in frames if each.resampling.is_needed)
        for rate, count in sorted(rates.items()):
            yield f"{count} recordings are resampled from {rate:.12g} to {self._recipe.sample_rate:.12g} samples per second"
        if short := sum(each.short_captures for each in frames):
            yield f"{short} captures within recordings are shorter than a frame and left out; the recipe refuses short ones"

    def _class_warnings(self) -> Iterator[str]:
        """Say which classes have no recording, or none in a part."""
        parts_of: dict[str, dict[str, str]] = {_class_of(name): {} for name in self._survey.tree.names}
        for name, part in self._part_of.items():
            parts_of[_class_of(name)][name] = part
        for class_name, parts in parts_of.items():
            empty = self._ratios.empty_parts(parts)
            if not parts:
                yield f"class {printable(class_name)}: not one of its recordings can be used"
            elif empty:
                groups = len({group_of(self._stems[name]) for name in parts})
                told = f"class {printable(class_name)} has {groups} recordings that can be told apart"
                yield f"{told}: nothing of it is in {' and '.join(empty)}"

    def _parameters(self) -> dict[str, Any]:
        """Give what decides the result."""
        plan = self._plan
        return {
            "input_path": str(plan.input_path),
            "recipe": self._recipe.to_dict(),
            "image_size": plan.image_size,
            "train_ratio": plan.train_ratio,
            "val_ratio": plan.val_ratio,
            "seed": plan.seed,
            "sample_rate": plan.hints.sample_rate,
            "center_frequency": plan.hints.center_frequency,
            "format": plan.hints.datatype,
        }


def _class_of(name: str) -> str:
    """Give the first folder of a recording's path."""
    return name.partition("/")[0]


def _samples_of_a_frame(frames: RecordingFrames) -> int:
    """Tell how many samples a frame is made of, at the higher of the two rates."""
    resampling = frames.resampling
    return max(frames.recipe.frame_samples, frames.recipe.frame_samples * resampling.down // resampling.up)
