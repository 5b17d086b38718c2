"""Pictures on their way through the network: decoded ahead of it, copied with their answers behind it.

Owns how pictures are named in the results and where their annotated copies go. It knows nothing of networks.
"""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from actors.files.atomic import make_folder
from actors.files.data_roots import DataRoots
from actors.learning.annotate import annotate_picture, annotated_names
from actors.learning.errors import UnreadablePictureError
from actors.learning.feed import Batch, Probabilities, wait_for
from actors.learning.inference_plan import InferencePlan
from actors.learning.inference_progress import Progress
from actors.learning.inference_sources import as_text, paths_within
from actors.learning.pictures import decode_picture
from actors.learning.prediction_files import FileSummary, Prediction, failed_prediction, summary_of_picture
from actors.learning.predictor import Predictor, in_percent

_Decoded = NDArray[np.uint8] | UnreadablePictureError


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture to predict."""

    path: Path
    #: Its path within the source, as the prediction files name it.
    file: str
    #: The path of its annotated copy within the output folder.
    copy: PurePosixPath


class PictureFeed:
    """The pictures of a source.

    Invariant: ``answers`` holds one entry per picture of the batches settled, in the order of the pictures.
    """

    def __init__(self, plan: InferencePlan, paths: Sequence[Path], predictor: Predictor) -> None:
        self.answers: list[Prediction] = []
        self._plan = plan
        self._predictor = predictor
        files = paths_within(plan.source_path, paths)
        copies = annotated_names(files)
        self._pictures = tuple(_Picture(path, as_text(file), copies[file]) for path, file in zip(paths, files, strict=True))
        self._drawing: list[Future[None]] = []

    @property
    def units(self) -> int:
        """Pictures."""
        return len(self._pictures)

    def targets(self) -> set[PurePosixPath]:
        """Name every file that may be made."""
        return {picture.copy for picture in self._pictures} if self._plan.annotate else set()

    @contextlib.contextmanager
    def batches(self, progress: Progress) -> Iterator[Iterator[Batch]]:
        """Decode ahead of the network in threads, which draw the copies too."""
        with ThreadPoolExecutor(max_workers=self._plan.threads, thread_name_prefix="pictures") as pool:
            try:
                yield self._batches(pool, progress)
            finally:
                pool.shutdown(cancel_futures=True)

    def staged(self) -> Iterator[str]:
        """Name the copies that were drawn."""
        return (str(picture.copy) for picture in self._pictures if (self._plan.staging_dir / picture.copy).exists())

    def summaries(self) -> list[FileSummary]:
        """Tell the answers, a file for each."""
        return [summary_of_picture(answer) for answer in self.answers]

    def _batches(self, pool: ThreadPoolExecutor, progress: Progress) -> Iterator[Batch]:
        """Yield batches of decoded pictures while the threads decode the batch after."""
        size = self._plan.batch_size
        groups = [self._pictures[start : start + size] for start in range(0, len(self._pictures), size)]
        ahead = self._submit(pool, groups[0])
        for group, following in zip(groups, [*groups[1:], ()], strict=True):
            # The threads take work in order: what comes next is at hand before the copies of this batch are drawn.
            current, ahead = ahead, self._submit(pool, following)
            decoded = [future.result() for future in current]
            readable = [item for item in decoded if not isinstance(item, UnreadablePictureError)]
            settle = partial(self._settle, pool, progress, group, decoded)
            yield Batch(np.stack(readable) if readable else None, len(group), settle)
        wait_for(self._drawing)

    def _submit(self, pool: ThreadPoolExecutor, pictures: Sequence[_Picture]) -> list["Future[_Decoded]"]:
        """Start decoding a batch."""
        return [pool.submit(_decode, picture.path, self._predictor.image_size, self._plan.roots) for picture in pictures]

    def _settle(
        self,
        pool: ThreadPoolExecutor,
        progress: Progress,
        pictures: Sequence[_Picture],
        decoded: Sequence[_Decoded],
        probabilities: Probabilities | None,
    ) -> list[Prediction]:
        """Make the entries of a batch, those of unreadable pictures too, and start drawing its copies."""
        rankings = iter([] if probabilities is None else self._predictor.top(probabilities))
        answers = []
        for picture, item in zip(pictures, decoded, strict=True):
            if isinstance(item, UnreadablePictureError):
                progress.fail(item.message)
                answers.append(failed_prediction(picture.file, item.message))
            else:
                top = in_percent(next(rankings))
                answers.append(Prediction(file=picture.file, class_name=top[0][0], confidence=top[0][1], top=top))
        wait_for(self._drawing)
        self._drawing = self._draw_copies(pool, pictures, answers)
        self.answers.extend(answers)
        return answers

    def _draw_copies(
        self, pool: ThreadPoolExecutor, pictures: Sequence[_Picture], answers: Sequence[Prediction]
    ) -> list[Future[None]]:
        """Start drawing the annotated copies of a batch."""
        if not self._plan.annotate:
            return []
        staging, roots = self._plan.staging_dir, self._plan.roots
        return [
            pool.submit(_draw_copy, picture.path, staging / picture.copy, answer, roots)
            for picture, answer in zip(pictures, answers, strict=True)
        ]


def _decode(path: Path, image_size: int, roots: DataRoots) -> _Decoded:
    """Decode a picture, giving the failure as a value: it is that picture's, not the run's."""
    try:
        return decode_picture(path, image_size, roots=roots)
    except UnreadablePictureError as error:
        return error


def _draw_copy(source: Path, target: Path, prediction: Prediction, roots: DataRoots) -> None:
    """Draw one annotated copy; a picture without an answer gets none."""
    if prediction.class_name is None or prediction.confidence is None:
        return
    make_folder(target.parent)
    # A picture can vanish after it was decoded; its answer stands, and so does the run.
    with contextlib.suppress(UnreadablePictureError):
        annotate_picture(source, target, prediction.class_name, prediction.confidence, roots=roots)
