"""The books of an evaluation: what was answered, how far it is, and what failed.

Owns the counting and the lines of the log. It computes no prediction and opens no file.
"""

import time
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from actors.files.errors import WorkError
from actors.learning.evaluation_files import Score
from actors.learning.evaluation_plan import EvaluationRecord
from actors.learning.evaluation_sources import Source
from actors.learning.plan import Stage

#: Seconds between two reports of progress; watchers need no more, and every report is stored.
REPORT_INTERVAL_S: Final = 1.0
#: Unusable files named one by one in the log; a table names them all.
MAX_NAMED_FAILURES: Final = 20

Report = Callable[[EvaluationRecord], None]


class StoppedError(Exception):
    """Somebody asked for the end; ``run_evaluation`` lets it go no further."""


class Tally:
    """Counts answers by file, so that those of a file that fails later can be left out.

    Invariant: each source has as many answers counted as rows were added for it.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._counts: dict[Source, NDArray[np.int64]] = {}
        self._sums: dict[Source, NDArray[np.float64]] = {}

    def add(self, source: Source, probabilities: NDArray[np.float32]) -> None:
        """Count the answer for a frame."""
        if source not in self._counts:
            self._counts[source] = np.zeros(self._classes, np.int64)
            self._sums[source] = np.zeros(self._classes)
        self._counts[source][int(probabilities.argmax())] += 1
        self._sums[source] += probabilities

    def score(self, snr_db: float | None, *, left_out: int) -> Score:
        """Work out the figures over the files that could be used to their end."""
        confusion = np.zeros((self._classes, self._classes), np.int64)
        usable = [source for source in self._counts if source.error is None]
        for source in usable:
            confusion[source.labelled.label] += self._counts[source]
        right = sum(int(self._sums[source].argmax()) == source.labelled.label for source in usable)
        return Score.of(snr_db, confusion.tolist(), recordings=len(usable), right_recordings=right, left_out=left_out)


class Progress:
    """Tells the watcher how far the run is, counts what failed, and asks whether to go on."""

    def __init__(self, report: Report, should_stop: Callable[[], bool], *, passes: int) -> None:
        self.first_failure = ""
        self.passes_done = 0
        #: Frames done, over all passes.
        self.step = 0
        self._report, self._should_stop, self._passes = report, should_stop, passes
        self._failures = self._remarks = 0
        self._pass_total, self._pass_done = 1, 0
        self._reported_at = time.monotonic()

    def check_stop(self) -> None:
        """Leave by an exception where the end was asked for."""
        if self._should_stop():
            raise StoppedError

    def tell(self, level: Literal["INFO", "WARNING"], message: str) -> None:
        """Report something at once."""
        self._send(EvaluationRecord(level, message, None, self.step, self._percent()))

    def fail(self, error: WorkError) -> None:
        """Count a file that cannot be used, and name it unless too many were named."""
        self._failures += 1
        self.first_failure = self.first_failure or error.message
        if self._failures <= MAX_NAMED_FAILURES:
            self.tell("WARNING", error.message)
        elif self._failures == MAX_NAMED_FAILURES + 1:
            self.tell("WARNING", "further files that cannot be used are named in the table of files only")

    def remark(self, message: str) -> None:
        """Report something about one file, unless many were remarked upon."""
        self._remarks += 1
        if self._remarks <= MAX_NAMED_FAILURES:
            self.tell("WARNING", message)
        elif self._remarks == MAX_NAMED_FAILURES + 1:
            self.tell("WARNING", "further files of which something could be said are not named here")

    def begin_pass(self, frames: int) -> None:
        """Begin to count the frames of a ratio."""
        self._pass_total, self._pass_done = max(frames, 1), 0

    def advance(self, frames: int) -> None:
        """Report how many frames are done, unless that was done a moment ago."""
        self.step += frames
        self._pass_done += frames
        if time.monotonic() - self._reported_at >= REPORT_INTERVAL_S:
            self.tell("INFO", f"ratio {self.passes_done + 1} of {self._passes}: {self._pass_done} of {self._pass_total} frames")

    def end_pass(self, score: Score) -> None:
        """Report the figures of a ratio."""
        self.passes_done += 1
        self._pass_done = 0
        metrics = score.metrics if score.snr_db is None else {"snr_db": score.snr_db, **score.metrics}
        self._send(EvaluationRecord("INFO", _told(score), Stage.VALIDATION, self.step, self._percent(), metrics))

    def _percent(self) -> int:
        """100 is kept for the end."""
        return min(99, int(100 * (self.passes_done + self._pass_done / self._pass_total) / self._passes))

    def _send(self, record: EvaluationRecord) -> None:
        self._reported_at = time.monotonic()
        self._report(record)


def _told(score: Score) -> str:
    """Tell the figures of a ratio on one line."""
    where = "as recorded" if score.snr_db is None else f"at {score.snr_db:g} dB"
    left_out = f"; {score.left_out} left out, noisier or not measurable" if score.left_out else ""
    if score.accuracy is None or score.macro_f1 is None:
        return f"{where}: no recording{left_out}"
    figures = f"accuracy {score.accuracy:.2f} %, macro F1 {score.macro_f1:.3f}"
    return f"{where}: {figures} over {score.frames} frames of {score.recordings} files{left_out}"
