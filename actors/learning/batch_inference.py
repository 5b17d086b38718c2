"""Predicts all pictures of a source and writes down what came out.

Owns the course of one inference: reading ahead, the forward passes, annotated copies, prediction files, progress. What
it needs from outside arrives as plain functions: how to report, whether to stop, and how a finished file gets its final
place. It knows nothing of tasks, leases or Ray.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actors.files.atomic import output_error
from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import DatasetError, OutputError
from actors.learning.annotate import annotate_picture, annotated_names
from actors.learning.classify_config import contradictions_with_card, load_classify_config
from actors.learning.errors import UnreadablePictureError
from actors.learning.pictures import decode_picture, find_pictures
from actors.learning.plan import Stage
from actors.learning.prediction_files import Prediction, failed_prediction, write_predictions
from actors.learning.predictor import PartedForward, Predictor, Ranking, load_predictor

#: Seconds between two reports of progress; watchers need no more, and every report is stored.
REPORT_INTERVAL_S = 1.0
#: Unreadable pictures named one by one in the log; the prediction files name them all.
MAX_NAMED_FAILURES = 20

Pixels = NDArray[np.uint8]


class AllPicturesUnreadableError(DatasetError):
    """Not one picture of a source could be decoded."""

    code = "all_pictures_unreadable"


@dataclass(frozen=True, slots=True)
class InferencePlan:
    """Everything one inference needs to know."""

    cfg_path: Path
    weight_path: Path
    #: A picture, or a folder of them.
    source_path: Path
    #: Where ``publish`` puts files; pictures that lie there are never taken as input.
    output_dir: Path
    #: Where files are written first: of this attempt alone, on the file system of ``output_dir``.
    staging_dir: Path
    device: str
    threads: int
    batch_size: int = 16
    annotate: bool = True
    #: Where everything that is read must lie, links followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class InferenceRecord:
    """One line of an inference's progress."""

    level: Literal["INFO", "WARNING"]
    message: str
    stage: Stage | None
    #: Pictures done.
    step: int
    #: Percent, 0 to 100.
    progress: int


@dataclass(frozen=True, slots=True)
class InferenceOutcome:
    """How an inference ended; one that was stopped has published nothing."""

    status: Literal["completed", "stopped"]
    #: Pictures found.
    total: int
    #: Pictures with an entry in the prediction files.
    done: int
    #: Of those, the unreadable ones.
    failed: int


Report = Callable[[InferenceRecord], None]
Publish = Callable[[Path, str], None]


def run_inference(plan: InferencePlan, *, report: Report, should_stop: Callable[[], bool], publish: Publish) -> InferenceOutcome:
    """Predict every picture of the source, then publish predictions and annotated copies.

    Args:
        plan: What to run on what.
        report: Takes log lines, from the calling thread.
        should_stop: Asked before each batch; True ends the run without publishing.
        publish: Moves a staged file to its final place, given as a path within the output folder.

    Raises:
        ConfigError: The configuration cannot be used.
        WeightsError: The weights cannot be used.
        DatasetError: The source holds no pictures.
        AllPicturesUnreadableError: It holds no readable one; the prediction files are published.
        GpuOutOfMemoryError: A single picture does not fit into the device's memory.
        OutputError: A file cannot be written, or an annotated copy would overwrite a picture of the source.
    """
    config = load_classify_config(plan.cfg_path, roots=plan.roots)
    sources = _list_sources(plan)
    predictor = load_predictor(config, plan.weight_path, device=plan.device, threads=plan.threads, roots=plan.roots)
    progress = _Progress(report, total=len(sources))
    for warning in (*config.warnings, *contradictions_with_card(config, plan.weight_path, roots=plan.roots)):
        progress.warn(f"{plan.cfg_path.name}: {warning}")
    _make_folder(plan.staging_dir)
    progress.note(f"predicting {len(sources)} pictures with {config.model} on {plan.device}")
    run = _Run(plan, sources, predictor, progress)
    if not run.predict_all(should_stop) or should_stop():
        progress.note(f"stopped after {len(run.predictions)} of {len(sources)} pictures")
        return InferenceOutcome("stopped", len(sources), len(run.predictions), progress.failures)
    run.publish_files(publish)
    if progress.failures == len(sources):
        problem = f"none of the {len(sources)} pictures could be decoded; the first: {progress.first_failure}"
        raise AllPicturesUnreadableError(problem, "Check that the files are whole pictures.")
    progress.complete()
    return InferenceOutcome("completed", len(sources), len(sources), progress.failures)


@dataclass(frozen=True, slots=True)
class _Source:
    """A picture to predict."""

    path: Path
    #: Its path within the source, as the prediction files name it.
    file: str
    #: The path of its annotated copy within the output folder.
    copy: PurePosixPath


def _list_sources(plan: InferencePlan) -> tuple[_Source, ...]:
    """Find the pictures and settle what each is called; refuse results that would land on a picture."""
    root, output = plan.source_path.resolve(), plan.output_dir.resolve()
    exclude = [folder for folder in (output, plan.staging_dir.resolve()) if folder != root]
    pictures = find_pictures(plan.source_path, exclude=exclude)
    base = plan.source_path.parent if plan.source_path.is_file() else plan.source_path
    files = [PurePosixPath(picture.relative_to(base).as_posix()) for picture in pictures]
    copies = annotated_names(files)
    if plan.annotate:
        _refuse_overwriting({base.resolve() / file for file in files}, {output / copy for copy in copies.values()})
    return tuple(
        _Source(path=picture, file=_as_text(file), copy=copies[file]) for picture, file in zip(pictures, files, strict=True)
    )


def _refuse_overwriting(pictures: set[Path], copies: set[Path]) -> None:
    """Fail where an annotated copy would replace the picture that it was made from, or another."""
    overwritten = sorted(pictures & copies)
    if overwritten:
        problem = f"the annotated copy would overwrite the picture {overwritten[0]}"
        raise OutputError(problem, "Choose a save_path outside the folder of the pictures.")


def _as_text(file: PurePosixPath) -> str:
    """Give a file's name as text that UTF-8 can hold; names on disk may be any bytes."""
    return str(file).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Run:
    """One inference under way.

    Invariant: ``predictions`` holds one entry per picture of the batches done, in the order of the sources.
    """

    def __init__(self, plan: InferencePlan, sources: Sequence[_Source], predictor: Predictor, progress: "_Progress") -> None:
        self.predictions: list[Prediction] = []
        self._plan = plan
        self._sources = sources
        self._predictor = predictor
        self._forward = PartedForward(predictor, plan.batch_size, warn=progress.warn)
        self._progress = progress

    def predict_all(self, should_stop: Callable[[], bool]) -> bool:
        """Predict batch after batch; return False where that was stopped before the last."""
        copies: list[Future[None]] = []
        with ThreadPoolExecutor(max_workers=self._plan.threads, thread_name_prefix="pictures") as pool:
            try:
                for batch, decoded in self._read_ahead(pool):
                    if should_stop():
                        return False
                    answers = self._answer(batch, decoded)
                    _wait(copies)
                    copies = self._draw_copies(pool, batch, answers)
                    self.predictions.extend(answers)
                    self._progress.advance(len(self.predictions))
                _wait(copies)
            finally:
                pool.shutdown(cancel_futures=True)
        return True

    def publish_files(self, publish: Publish) -> None:
        """Write the prediction files and hand over all that is staged; predictions.json, the last, marks the end."""
        json_path, csv_path = write_predictions(self._plan.staging_dir, self.predictions)
        for source in self._sources:
            staged = self._plan.staging_dir / source.copy
            if staged.exists():
                publish(staged, str(source.copy))
        publish(csv_path, csv_path.name)
        publish(json_path, json_path.name)

    def _read_ahead(self, pool: ThreadPoolExecutor) -> Iterator[tuple[Sequence[_Source], list["_Decoded"]]]:
        """Yield batches of decoded pictures while the threads decode the batch after."""
        size = self._plan.batch_size
        batches = [self._sources[start : start + size] for start in range(0, len(self._sources), size)]
        ahead = self._submit(pool, batches[0])
        for batch, following in zip(batches, [*batches[1:], ()], strict=True):
            # The threads take work in order: what comes next is at hand before the copies of this batch are drawn.
            current, ahead = ahead, self._submit(pool, following)
            yield batch, [future.result() for future in current]

    def _submit(self, pool: ThreadPoolExecutor, batch: Sequence[_Source]) -> list["Future[_Decoded]"]:
        """Start decoding a batch."""
        return [pool.submit(_decode, source.path, self._predictor.image_size, self._plan.roots) for source in batch]

    def _answer(self, batch: Sequence[_Source], decoded: Sequence["_Decoded"]) -> list[Prediction]:
        """Predict the readable pictures of a batch and note the others as failed."""
        readable = [item for item in decoded if not isinstance(item, UnreadablePictureError)]
        rankings = iter(self._predictor.top(self._forward(np.stack(readable))) if readable else [])
        answers = []
        for source, item in zip(batch, decoded, strict=True):
            if isinstance(item, UnreadablePictureError):
                self._progress.fail(item)
                answers.append(failed_prediction(source.file, item.message))
            else:
                answers.append(_to_prediction(source.file, next(rankings)))
        return answers

    def _draw_copies(self, pool: ThreadPoolExecutor, batch: Sequence[_Source], answers: Sequence[Prediction]) -> list[Future[None]]:
        """Start drawing the annotated copies of a batch."""
        if not self._plan.annotate:
            return []
        return [
            pool.submit(_draw_copy, source.path, self._plan.staging_dir / source.copy, answer, self._plan.roots)
            for source, answer in zip(batch, answers, strict=True)
        ]


class _Progress:
    """Tells the watcher how far the run is, and counts what failed."""

    def __init__(self, report: Report, *, total: int) -> None:
        self.failures = 0
        self.first_failure = ""
        self._report = report
        self._total = total
        self._done = 0
        self._reported_at = time.monotonic()

    def note(self, message: str) -> None:
        """Report something at once."""
        self._send("INFO", message)

    def warn(self, message: str) -> None:
        """Report something that the user should look at."""
        self._send("WARNING", message)

    def fail(self, error: UnreadablePictureError) -> None:
        """Count an unreadable picture, and name it unless too many were named."""
        self.failures += 1
        self.first_failure = self.first_failure or error.message
        if self.failures <= MAX_NAMED_FAILURES:
            self.warn(error.message)
        elif self.failures == MAX_NAMED_FAILURES + 1:
            self.warn("further unreadable pictures are named in the prediction files only")

    def advance(self, done: int) -> None:
        """Report how many pictures are done, unless that was done a moment ago."""
        self._done = done
        if time.monotonic() - self._reported_at >= REPORT_INTERVAL_S:
            self.note(f"{done} of {self._total} pictures done")

    def complete(self) -> None:
        """Report the end of a run whose files are published."""
        unreadable = f", {self.failures} of them unreadable" if self.failures else ""
        message = f"{self._total} pictures done{unreadable}"
        self._report(InferenceRecord("INFO", message, Stage.COMPLETED, self._total, 100))

    def _send(self, level: Literal["INFO", "WARNING"], message: str) -> None:
        """Send a record; 100 percent is kept for the end."""
        self._reported_at = time.monotonic()
        progress = min(99, 100 * self._done // self._total)
        self._report(InferenceRecord(level, message, None, self._done, progress))


_Decoded = Pixels | UnreadablePictureError


def _decode(path: Path, image_size: int, roots: DataRoots) -> _Decoded:
    """Decode a picture, giving the failure as a value: it is that picture's, not the run's."""
    try:
        return decode_picture(path, image_size, roots=roots)
    except UnreadablePictureError as error:
        return error


def _to_prediction(file: str, ranking: Ranking) -> Prediction:
    """Put a ranking into percent; the fourth decimal is a ten-thousandth of a percent."""
    top = tuple((name, round(100.0 * probability, 4)) for name, probability in ranking)
    return Prediction(file=file, class_name=top[0][0], confidence=top[0][1], top=top)


def _draw_copy(source: Path, target: Path, prediction: Prediction, roots: DataRoots) -> None:
    """Draw one annotated copy; a picture without an answer gets none."""
    if prediction.class_name is None or prediction.confidence is None:
        return
    _make_folder(target.parent)
    # A picture can vanish after it was decoded; its answer stands, and so does the run.
    with contextlib.suppress(UnreadablePictureError):
        annotate_picture(source, target, prediction.class_name, prediction.confidence, roots=roots)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def _wait(futures: Sequence[Future[None]]) -> None:
    """Wait for work in the threads and let its first failure out."""
    for future in futures:
        future.result()
