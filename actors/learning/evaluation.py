"""Measures how well a trained network does, on files as they are and with noise down to given ratios.

Owns the course of one evaluation: opening files, measuring their ratios, passes over all frames, one for each ratio, and
what is counted. Frames are streamed: in memory are those that threads work on, a batch of pictures, and a few numbers for
each file. What it needs from outside arrives as plain functions. It knows nothing of tasks, leases or Ray.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.files.atomic import make_folder
from actors.files.errors import DatasetError, WorkError
from actors.learning.chosen_recipe import ChosenRecipe, choose_recipe
from actors.learning.classify_config import ClassifyConfig, contradictions_with_card, load_classify_config
from actors.learning.engines import Engines
from actors.learning.errors import UnreadablePictureError
from actors.learning.evaluation_books import Progress, Report, StoppedError, Tally
from actors.learning.evaluation_files import EvaluatedFile, Evaluation, Score, write_evaluation
from actors.learning.evaluation_plan import EvaluationOutcome, EvaluationPlan, choose_ratios
from actors.learning.evaluation_sources import (
    Input,
    PictureSource,
    RecordingSource,
    Source,
    input_threads,
    run_ahead,
)
from actors.learning.labelled_files import LabelledFile, LabelledFiles, scan_labelled_files
from actors.learning.predictor import PartedForward, Predictor, load_predictor
from actors.signals.errors import SignalError, SnrError
from actors.signals.frames import RecordingFrames
from actors.signals.noise import SeededNoise
from actors.signals.recipe import Recipe
from actors.signals.recording import Recording, open_recording

Publish = Callable[[Path, str], None]
Found = TypeVar("Found")


class AllFilesUnusableError(DatasetError):
    """Not one file of the data could be used."""

    code = "all_files_unusable"


def run_evaluation(plan: EvaluationPlan, *, report: Report, should_stop: Callable[[], bool], publish: Publish) -> EvaluationOutcome:
    """Measure the network and publish the figures.

    Args:
        plan: What to measure with what.
        report: Takes log lines, from the calling thread. The last line is the caller's.
        should_stop: Asked after each frame; True ends the run without publishing.
        publish: Moves a staged file to its final place, given as a name in the output folder.

    Raises:
        ConfigError: The configuration cannot be used.
        WeightsError: The weights cannot be used.
        DatasetError: The data are no class folders of the model's classes, or noise is to be added to pictures.
        RecipeMissingError: Nobody tells how pictures are made of recordings.
        AllFilesUnusableError: Not one file could be used.
        GpuOutOfMemoryError: A single frame does not fit into the device's memory.
        OutputError: A file cannot be written.
    """
    config = load_classify_config(plan.cfg_path, roots=plan.roots)
    data = scan_labelled_files(plan.data_path, config.class_names, roots=plan.roots)
    ratios = (None, *choose_ratios(plan.snr_db, data))
    predictor = load_predictor(config, plan.weight_path, device=plan.device, threads=plan.threads, roots=plan.roots)
    progress = Progress(report, should_stop, passes=len(ratios))
    for warning in (*config.warnings, *contradictions_with_card(config, plan.weight_path, roots=plan.roots)):
        progress.tell("WARNING", f"{plan.cfg_path.name}: {warning}")
    run = _Run(plan, config, progress)
    try:
        run.open(data)
        scores = run.measure(predictor, ratios)
        progress.check_stop()
    except StoppedError:
        progress.tell("INFO", f"stopped after {progress.passes_done} of {len(ratios)} ratios")
        return EvaluationOutcome("stopped", progress.passes_done, len(ratios), progress.step)
    evaluation = run.conclude(data, scores)
    _publish(plan, evaluation, publish)
    return EvaluationOutcome("completed", len(ratios), len(ratios), progress.step, evaluation)


class _Run:
    """One evaluation under way."""

    def __init__(self, plan: EvaluationPlan, config: ClassifyConfig, progress: Progress) -> None:
        self._plan, self._config, self._progress = plan, config, progress
        self._sources: list[Source] = []
        self._engines = Engines(image_size=config.image_size, device=plan.device)
        #: In the order of the files; more than one where it names no rate and recordings have several.
        self._recipes: dict[Recipe, None] = {}
        #: Files that could not even be opened, by their names.
        self._errors: dict[str, str] = {}

    def open(self, data: LabelledFiles) -> None:
        """Look at every file's head; what cannot be read is noted and left out."""
        if data.kind == "pictures":
            self._sources += [PictureSource(each, self._config.image_size, self._plan.roots) for each in data.files]
        else:
            self._sources += self._open_recordings(data)
        self._require_some()

    def measure(self, predictor: Predictor, ratios: Sequence[float | None]) -> list[Score]:
        """Go over all frames once for each ratio."""
        forward = PartedForward(predictor, self._plan.batch_size, warn=partial(self._progress.tell, "WARNING"))
        frames = sum(source.frames for source in self._sources)
        told = f"evaluating {self._config.model} with {frames} frames of {len(self._sources)} files on {self._plan.device}"
        self._progress.tell("INFO", told)
        scores = []
        with _closing(input_threads(self._sources, self._plan.threads)) as pool:
            if len(ratios) > 1:
                self._measure_ratios(pool)
            for ratio in ratios:
                score = self._pass_over(ratio, forward, pool)
                scores.append(score)
                self._progress.end_pass(score)
        return scores

    def conclude(self, data: LabelledFiles, scores: Sequence[Score]) -> Evaluation:
        """Put together what was found."""
        sources = {source.labelled.file: source for source in self._sources}
        is_of_recordings = data.kind == "recordings"
        return Evaluation(
            model=self._config.model,
            classes=self._config.class_names,
            kind=data.kind,
            files=tuple(self._evaluated(each.file, each.label, sources.get(each.file)) for each in data.files),
            scores=tuple(scores),
            recipes=tuple(recipe.to_dict() for recipe in self._recipes),
            seed=self._plan.seed,
            band_hz=self._plan.band_hz if is_of_recordings else None,
        )

    def _evaluated(self, file: str, label: int, source: Source | None) -> EvaluatedFile:
        snr = source.snr if isinstance(source, RecordingSource) else None
        return EvaluatedFile(
            file=file,
            class_name=self._config.class_names[label],
            frames=0 if source is None or source.error else source.frames,
            snr_db=None if snr is None else round(snr.snr_db, 3),
            snr_error=source.snr_error if isinstance(source, RecordingSource) else None,
            error=self._errors.get(file) if source is None else source.error,
        )

    def _open_recordings(self, data: LabelledFiles) -> Iterator[RecordingSource]:
        """Open all recordings, each with its frames; what the user should know of single ones goes into the log."""
        plan = self._plan
        chosen = choose_recipe(plan.recipe, self._config, plan.weight_path, roots=plan.roots)
        for warning in chosen.warnings:
            self._progress.tell("WARNING", warning)
        for labelled in data.files:
            self._progress.check_stop()
            recording = self._unless_bad(labelled, partial(self._open_recording, labelled.path))
            if recording is None:
                continue
            frames = self._unless_bad(labelled, partial(_lay_out, recording, chosen))
            if frames is not None:
                self._recipes[frames.recipe] = None
                for remark in frames.remarks(labelled.file):
                    self._progress.remark(remark)
                yield RecordingSource(labelled, frames, self._engines)

    def _unless_bad(self, labelled: LabelledFile, work: Callable[[], Found]) -> Found | None:
        """Do something with a file; None where it cannot be used, which is noted."""
        try:
            return work()
        except SignalError as error:
            self._errors[labelled.file] = error.message
            self._progress.fail(error)
            return None

    def _open_recording(self, path: Path) -> Recording:
        plan = self._plan
        return open_recording(
            path,
            sample_rate=plan.sample_rate,
            center_frequency=plan.center_frequency,
            datatype=plan.datatype,
            roots=plan.roots,
        )

    def _measure_ratios(self, pool: ThreadPoolExecutor) -> None:
        """Measure each recording's own ratio, before noise can be added to it."""
        recordings = [source for source in self._sources if isinstance(source, RecordingSource)]
        jobs = (partial(_value_or_error, partial(source.measure_snr, self._plan.band_hz)) for source in recordings)
        self._progress.tell("INFO", f"measuring the signal-to-noise ratios of {len(recordings)} recordings")
        for source, future in zip(recordings, run_ahead(pool, jobs, 2 * self._plan.threads), strict=True):
            self._progress.check_stop()
            outcome = future.result()
            if isinstance(outcome, WorkError):
                self._give_up(source, outcome)
            elif source.snr_error:
                self._progress.remark(f"{source.labelled.file}: {source.snr_error}; it is evaluated as it is only")
        self._require_some()

    def _pass_over(self, snr_db: float | None, forward: PartedForward, pool: ThreadPoolExecutor) -> Score:
        """Predict every frame with the noise that a ratio takes."""
        usable = [source for source in self._sources if source.error is None]
        chosen = list(self._with_noise(usable, snr_db))
        self._progress.begin_pass(sum(source.frames for source, _ in chosen))
        tally = Tally(len(self._config.class_names))
        batch: list[tuple[Source, Input]] = []
        for source, made in self._make_inputs(chosen, pool):
            self._progress.check_stop()
            if isinstance(made, WorkError):
                self._give_up(source, made)
            else:
                batch.append((source, made))
            if len(batch) == self._plan.batch_size:
                self._predict(batch, forward, tally)
        self._predict(batch, forward, tally)
        self._require_some()
        return tally.score(snr_db, left_out=len(usable) - len(chosen))

    def _with_noise(self, sources: Iterable[Source], snr_db: float | None) -> Iterator[tuple[Source, SeededNoise | None]]:
        """Give the sources that a ratio can be reached with, and their noise."""
        for source in sources:
            if snr_db is None:
                yield source, None
            elif isinstance(source, RecordingSource):
                try:
                    yield source, source.noise_for(snr_db, self._plan.seed)
                except SnrError:
                    continue  # it is noisier already, and counted by the caller

    def _make_inputs(
        self, chosen: Iterable[tuple[Source, SeededNoise | None]], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[Source, Input | WorkError]]:
        """Make inputs in threads, in order; of a file that failed, no further ones are begun."""

        def jobs() -> Iterator[Callable[[], tuple[Source, Input | WorkError]]]:
            for source, noise in chosen:
                for index in range(source.frames):
                    if source.error is None:
                        yield partial(_make_input, source, index, noise)

        for future in run_ahead(pool, jobs(), 2 * self._plan.threads):
            yield future.result()

    def _predict(self, batch: list[tuple[Source, Input]], forward: PartedForward, tally: Tally) -> None:
        """Predict a batch, count the answers, and empty it."""
        if not batch:
            return
        inputs = [made for _, made in batch]
        for (source, _), row in zip(batch, forward(_stack(inputs)), strict=True):
            tally.add(source, row)
        self._progress.advance(len(batch))
        batch.clear()

    def _give_up(self, source: Source, error: WorkError) -> None:
        """Note that a file cannot be used; its frames count nowhere from this pass on."""
        if source.error is None:
            source.error = error.message
            self._progress.fail(error)

    def _require_some(self) -> None:
        """Fail where no file is left.

        Raises:
            AllFilesUnusableError: So it is.
        """
        if not any(source.error is None for source in self._sources):
            total = len(self._sources) + len(self._errors)
            problem = f"none of the {total} files could be used; the first: {self._progress.first_failure}"
            raise AllFilesUnusableError(problem, "Check the files, and what is told of them.")


def _lay_out(recording: Recording, chosen: ChosenRecipe) -> RecordingFrames:
    """Lay out a recording's frames, at its own rate where the recipe names none."""
    return RecordingFrames(recording, chosen.at(recording.sample_rate))


def _make_input(source: Source, index: int, noise: SeededNoise | None) -> tuple[Source, Input | WorkError]:
    """Make an input, giving a failure of the file as a value: it is that file's, not the run's."""
    try:
        return source, source.make_input(index, noise)
    except (SignalError, UnreadablePictureError) as error:
        return source, error


def _value_or_error(work: Callable[[], None]) -> WorkError | None:
    try:
        work()
    except SignalError as error:
        return error
    return None


def _stack(inputs: Sequence[Input]) -> NDArray[np.uint8] | Tensor:
    """Make a batch of inputs of one kind."""
    tensors = [made for made in inputs if isinstance(made, Tensor)]
    return torch.stack(tensors) if tensors else np.stack([made for made in inputs if not isinstance(made, Tensor)])


@contextmanager
def _closing(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """End a pool's threads without the work that waits."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _publish(plan: EvaluationPlan, evaluation: Evaluation, publish: Publish) -> None:
    """Write the files and hand them over."""
    make_folder(plan.staging_dir)
    for path in write_evaluation(plan.staging_dir, evaluation):
        publish(path, path.name)
