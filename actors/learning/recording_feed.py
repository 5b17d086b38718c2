"""Recordings on their way through the network: frames are read and made into pictures ahead of it, in threads.

Owns the reading ahead and its bounds: a thread holds one frame of samples, and only small network inputs wait. Each thread
computes alone, since torch's own threads meet after every small step of a spectrogram and one that is late holds up all.
"""

import contextlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from actors.learning.chosen_recipe import ChosenRecipe
from actors.learning.feed import Batch, Probabilities
from actors.learning.frame_renderer import FramePicture, FrameRenderer, join_inputs
from actors.learning.inference_plan import InferencePlan
from actors.learning.inference_progress import Progress
from actors.learning.inference_sources import as_text, paths_within
from actors.learning.prediction_files import FileSummary, Prediction, failed_prediction
from actors.learning.predictor import Predictor, Ranking, in_percent
from actors.learning.recording_result import RecordingResult
from actors.signals.errors import BadSamplesError, RecordingFormatError, SignalError
from actors.signals.frames import RecordingFrames, require_few_frames
from actors.signals.recording import open_recording

#: Bytes of samples that all threads together may hold: fewer threads read longer frames.
_SAMPLES_IN_MEMORY: Final = 640 << 20
#: Bytes of a result's name without its ending; file systems take 255 with it.
_LONGEST_NAME: Final = 200


@dataclass(slots=True)
class _Job:
    """One recording under way."""

    #: Its path within the source, as the prediction files name it.
    file: str
    #: What its results are called within the output folder, without an ending.
    name: str
    #: Why it cannot be used at all, or cannot be read on; frames after that are passed over.
    error: SignalError | None = None
    result: RecordingResult | None = None
    frames: RecordingFrames | None = None
    #: Set once nothing more is awaited of it.
    summary: FileSummary | None = None
    #: What was made of it, as paths within the output folder.
    written: list[str] = field(default_factory=list)

    @property
    def units(self) -> int:
        """Its frames; one where there are none, for the entry that says why."""
        return 1 if self.frames is None else len(self.frames)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A frame that is being made; ``index`` is None for a recording that has none."""

    job: _Job
    index: int | None
    made: "Future[FramePicture | SignalError]"


class RecordingFeed:
    """The recordings of a source.

    Invariant: a job's frames are settled in their order, and its files are written once the last one is.
    """

    def __init__(self, plan: InferencePlan, paths: Sequence[Path], predictor: Predictor, recipe: ChosenRecipe) -> None:
        """Look at every recording's head.

        Raises:
            RecipeError: There are more frames than one task should go over.
        """
        #: What the user should know of single files.
        self.remarks: list[str] = []
        self._plan = plan
        self._predictor = predictor
        self._recipe = recipe
        files = paths_within(plan.source_path, paths)
        names = result_names(files)
        self._jobs = [self._open(path, _Job(as_text(file), names[file])) for path, file in zip(paths, files, strict=True)]
        require_few_frames([job.frames for job in self._jobs if job.frames])
        self._renderer = FrameRenderer(image_size=predictor.image_size, device=predictor.device)
        self._writing: deque[Future[str | None]] = deque()

    @property
    def units(self) -> int:
        """Frames, and one for each recording without any."""
        return sum(job.units for job in self._jobs)

    def targets(self) -> set[PurePosixPath]:
        """Name every file that may be made."""
        endings = (".png", ".sigmf-meta", ".sigmf-data")
        return {
            PurePosixPath(job.name + ending)
            for job in self._jobs
            if job.frames
            for ending in (*endings, job.frames.recording.data_path.suffix)
        }

    def data_paths(self) -> set[Path]:
        """Name the files that samples are read from."""
        return {job.frames.recording.data_path.resolve() for job in self._jobs if job.frames}

    @contextlib.contextmanager
    def batches(self, progress: Progress) -> Iterator[Iterator[Batch]]:
        """Make frames ahead of the network in threads, which write each recording's files too."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        workers = self._workers()
        with ThreadPoolExecutor(workers, "frames", initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                yield self._batches(pool, workers, progress)
            finally:
                pool.shutdown(cancel_futures=True)
                torch.set_num_threads(threads)

    def staged(self) -> Iterator[str]:
        """Name what was written, the links to samples before the metadata that need them."""
        return (name for job in self._jobs for name in job.written)

    def summaries(self) -> list[FileSummary]:
        """Tell what was found in each recording."""
        return [job.summary for job in self._jobs if job.summary]

    def _open(self, path: Path, job: _Job) -> _Job:
        """Find out what a recording holds and lay out its frames; note why where that cannot be done."""
        plan = self._plan
        try:
            recording = open_recording(
                path,
                sample_rate=plan.sample_rate,
                center_frequency=plan.center_frequency,
                datatype=plan.datatype,
                roots=plan.roots,
            )
            frames = RecordingFrames(recording, self._recipe.at(recording.sample_rate))
        except SignalError as error:
            job.error = error
            return job
        job.frames, job.result = frames, RecordingResult(job.file, frames)
        self.remarks += frames.remarks(job.file)
        return job

    def _workers(self) -> int:
        """Choose how many threads read at once."""
        longest = max((job.frames.reading_bytes for job in self._jobs if job.frames), default=1)
        return max(1, min(self._plan.threads, _SAMPLES_IN_MEMORY // longest))

    def _work(self) -> Iterator[tuple[_Job, int | None]]:
        """Go over all frames; those behind a place where a recording cannot be read on are left out."""
        for job in self._jobs:
            if job.frames is None:
                yield job, None
                continue
            for index in range(job.units):
                if job.error:
                    break
                yield job, index

    def _batches(self, pool: ThreadPoolExecutor, workers: int, progress: Progress) -> Iterator[Batch]:
        """Yield what is ready, but at least a frame for each thread: a stop is asked for before each batch."""
        size, work = self._plan.batch_size, self._work()
        ahead: deque[_Ahead] = deque()
        while True:
            for job, index in islice(work, max(0, size + 2 * workers - len(ahead))):
                ahead.append(_Ahead(job, index, pool.submit(self._make, job, index)))
            if not ahead:
                break
            group = [ahead.popleft()]
            while ahead and len(group) < size and (len(group) < workers or ahead[0].made.done()):
                group.append(ahead.popleft())
            yield self._batch(pool, group, progress)
        self._hear_of_writing(progress, is_last=True)

    def _make(self, job: _Job, index: int | None) -> FramePicture | SignalError:
        """Read a frame and make its picture, giving the failure as a value: it is that recording's, not the run's."""
        if job.frames is None or index is None or job.error:
            return job.error or RecordingFormatError(f"{job.file} has no frames")
        try:
            samples = job.frames.read(index)
        except SignalError as error:
            return error
        return self._renderer.with_decibels(job.frames.recipe, samples)

    def _batch(self, pool: ThreadPoolExecutor, group: Sequence[_Ahead], progress: Progress) -> Batch:
        """Put together what the network takes."""
        made = [each.made.result() for each in group]
        pictures = [each for each in made if isinstance(each, FramePicture)]
        inputs = join_inputs([each.inputs for each in pictures]) if pictures else None
        return Batch(inputs, len(group), partial(self._settle, pool, progress, group, made))

    def _settle(
        self,
        pool: ThreadPoolExecutor,
        progress: Progress,
        group: Sequence[_Ahead],
        made: Sequence[FramePicture | SignalError],
        probabilities: Probabilities | None,
    ) -> list[Prediction]:
        """Make the entries of a batch, and have the files of recordings written that end in it."""
        rows = iter(() if probabilities is None else zip(probabilities, self._predictor.top(probabilities), strict=True))
        entries = []
        for each, item in zip(group, made, strict=True):
            answer = next(rows) if isinstance(item, FramePicture) else None
            if each.job.summary:  # Broken off, with frames already under way.
                continue
            entries.append(self._enter(each.job, each.index, item, answer, progress))
            if each.job.error or each.index is None or each.index == each.job.units - 1:
                self._end(each.job, pool)
        self._hear_of_writing(progress)
        return entries

    def _enter(
        self,
        job: _Job,
        index: int | None,
        item: FramePicture | SignalError,
        answer: tuple[NDArray[np.float32], Ranking] | None,
        progress: Progress,
    ) -> Prediction:
        """Make the entry of one frame, or of a recording that cannot be used."""
        if isinstance(item, FramePicture) and answer and job.result and index is not None:
            return job.result.add(index, answer[0], in_percent(answer[1]), item.decibels)
        assert isinstance(item, SignalError)  # noqa: S101 - a picture always has an answer
        progress.fail(item.message)
        if job.result is None or index is None:
            return failed_prediction(job.file, item.message)
        if not isinstance(item, BadSamplesError):
            job.error = item
            progress.fail_silently(job.units - index - 1)
        return job.result.miss(index, item.message)

    def _end(self, job: _Job, pool: ThreadPoolExecutor) -> None:
        """Sum up a recording of which nothing more comes, and start writing its files."""
        result, job.result = job.result, None
        if result is None:
            job.summary = FileSummary(job.file, None, None, error=job.error.message if job.error else None)
            return
        job.summary = result.summary(self._predictor)
        if job.summary.frames:
            self._writing.append(pool.submit(self._write, job, result, job.summary))

    def _write(self, job: _Job, result: RecordingResult, summary: FileSummary) -> str | None:
        """Write the files of one recording; returns what is missing of them and why."""
        plan = self._plan
        if plan.annotate:
            result.draw(plan.staging_dir / f"{job.name}.png", summary)
            job.written.append(f"{job.name}.png")
        try:
            job.written += result.write_annotations(plan.staging_dir, plan.output_dir, job.name)
        except SignalError as error:
            return f"{job.file}: no SigMF annotations: {error}"
        return None

    def _hear_of_writing(self, progress: Progress, *, is_last: bool = False) -> None:
        """Let failures of writing out, as far as they are known; at the end wait for all."""
        while self._writing and (is_last or self._writing[0].done()):
            remark = self._writing.popleft().result()
            if remark:
                progress.remark(remark)


def result_names(files: Sequence[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Choose what each recording's results are called, without an ending, so that no two share a name.

    That is the recording's name without its ending, or with it where recordings of one folder differ in nothing else. A name that
    would be too long with the results' endings is cut.
    """
    shared = Counter(file.with_suffix("") for file in files)
    names: dict[PurePosixPath, str] = {}
    taken: set[str] = set()
    for file in files:
        wanted = _short(file if shared[file.with_suffix("")] > 1 else file.with_suffix(""))
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        names[file] = name
        taken.add(name)
    return names


def _short(file: PurePosixPath) -> str:
    """Give a path as UTF-8 can hold it, with a name that leaves room for an ending."""
    whole = PurePosixPath(as_text(file))
    return str(whole.with_name(whole.name.encode()[:_LONGEST_NAME].decode(errors="ignore")))
