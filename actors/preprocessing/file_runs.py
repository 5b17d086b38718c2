"""Works through the files of a task on several threads.

Owns the order of things: threads write into the staging folder, the calling thread alone publishes, reports and asks
whether to stop. A file that fails is noted and never ends the run. Threads and not processes, since OpenCV, Pillow and
numpy let go of the interpreter's lock while they work.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event
from typing import Final, Literal

from actors.files.errors import WorkError
from actors.learning.errors import UnreadablePictureError
from actors.preprocessing.errors import AllFilesFailedError, PictureFailedError
from actors.preprocessing.plan import Record, Surroundings
from actors.preprocessing.run_folder import publish
from actors.preprocessing.sources import printable

#: Seconds between two reports of progress; watchers need no more, and every report is stored.
REPORT_INTERVAL_S: Final = 1.0
#: Failed files named one by one in the log.
MAX_NAMED_FAILURES: Final = 20
#: Seconds until a wish to stop is noticed while threads are at work.
_STOP_POLL_S: Final = 0.2
#: Batches handed out ahead for each thread, so that none waits for the calling thread to publish.
_AHEAD: Final = 2
_MOST_NAME_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class UnfinishedFile:
    """One source file and the files to make of it that are not there yet."""

    source: str
    outputs: tuple[str, ...]


#: Makes the outputs of a file under the given staged names, which stand in the order of ``outputs``; runs on any thread.
#: It raises UnreadablePictureError or PictureFailedError where only this file is at fault.
Make = Callable[[UnfinishedFile, Sequence[Path]], None]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What came of some files: staged outputs with their final names, and why the others failed."""

    finished: list[str]
    staged: list[tuple[Path, str]]
    failures: list[tuple[str, WorkError]]


@dataclass(slots=True)
class FileRun:
    """The progress of one run. Only the calling thread touches it."""

    surroundings: Surroundings
    folder: Path
    #: Files in all.
    total: int
    #: Those whose results are in place, by an earlier attempt or by this one.
    finished: set[str]
    #: The others that were dealt with, and why.
    failures: dict[str, str] = field(default_factory=dict)
    #: Says in a few words where the run has come to, given the source that was dealt with last.
    locate: Callable[[str], str] | None = None
    _told_at: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Files dealt with."""
        return len(self.finished) + len(self.failures)

    def work(self, files: Sequence[UnfinishedFile], make: Make, *, threads: int, batch_size: int) -> bool:
        """Work through the files; False if asked to stop before the end. What was finished by then is published.

        Args:
            files: The files to work on.
            make: What to do with each.
            threads: How many to work on at once.
            batch_size: Files handed to a thread at once: many where each is over quickly.

        Raises:
            OutputError: A file cannot be written.
            StaleTokenError: A newer attempt owns the output folder.
        """
        is_stopping = Event()
        serial = count()
        waiting: Iterator[Sequence[UnfinishedFile]] = (
            files[start : start + batch_size] for start in range(0, len(files), batch_size)
        )
        pending: deque[Future[_Batch]] = deque()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="preprocessing")

        def hand_out(batches: Iterator[Sequence[UnfinishedFile]], most: int) -> None:
            while len(pending) < most and (batch := next(batches, None)) is not None:
                staging = [[self._staged_path(next(serial)) for _ in file.outputs] for file in batch]
                pending.append(pool.submit(_make_batch, batch, staging, make, is_stopping))

        try:
            hand_out(waiting, threads * _AHEAD)
            while pending:
                if not self._wait_for(pending[0]):
                    is_stopping.set()
                    waiting = iter(())
                self._take(pending.popleft().result())
                hand_out(waiting, threads * _AHEAD)
        finally:
            is_stopping.set()
            pool.shutdown(cancel_futures=True)
        return self.done >= self.total

    def note(self, message: str) -> None:
        """Tell something."""
        self._tell("INFO", message)

    def warn(self, message: str) -> None:
        """Tell what the user should know."""
        self._tell("WARNING", message)

    def check_failures(self) -> None:
        """Refuse to call a run complete of which nothing came.

        Raises:
            AllFilesFailedError: Every single file failed.
        """
        if len(self.failures) == self.total:
            name, reason = next(iter(self.failures.items()))
            problem = f"none of the {self.total} pictures could be worked on; the first: {printable(name)}: {reason}"
            raise AllFilesFailedError(problem, "See the warnings in the log.")

    def finish(self, message: str) -> None:
        """Tell that all is done, and how many files failed beyond those that were named."""
        if len(self.failures) > MAX_NAMED_FAILURES:
            self.warn(f"{len(self.failures)} of {self.total} pictures failed; {MAX_NAMED_FAILURES} are named above")
        self.surroundings.report(Record("INFO", message, self.done, 100))

    def _staged_path(self, number: int) -> Path:
        """Name a staged file."""
        return self.surroundings.staging / f"{number}.part"

    def _wait_for(self, future: "Future[_Batch]") -> bool:
        """Wait until a batch is done, and tell whether the run may go on."""
        while not self.surroundings.should_stop():
            if wait([future], timeout=_STOP_POLL_S).done:
                return True
        return False

    def _take(self, batch: _Batch) -> None:
        """Publish what a batch made, and report."""
        if batch.staged:
            publish(self.surroundings.publish_all, batch.staged, self.folder)
        self.finished.update(batch.finished)
        for name, error in batch.failures:
            self.failures[name] = error.message
            if len(self.failures) <= MAX_NAMED_FAILURES:
                self.warn(f"{printable(name)} failed: {error}")
        if time.monotonic() - self._told_at >= REPORT_INTERVAL_S:
            last = [*batch.finished, *(name for name, _ in batch.failures)][-1:]
            where = "".join(f", {self.locate(name)}" for name in last) if self.locate else ""
            self.note(f"{self.done} of {self.total} pictures done{where}")

    def _tell(self, level: Literal["INFO", "WARNING"], message: str) -> None:
        """Report a record; the last percent belongs to the end."""
        self._told_at = time.monotonic()
        progress = min(99, 100 * self.done // max(1, self.total))
        self.surroundings.report(Record(level, message, self.done, progress))


def _check_names(outputs: Iterable[str]) -> None:
    """Refuse names that a suffix made longer than file systems take. Raises PictureFailedError."""
    for name in outputs:
        if len(os.fsencode(name.rpartition("/")[2])) > _MOST_NAME_BYTES:
            raise PictureFailedError(f"{printable(name)} is longer than a file name may be", "Shorten the picture's name.")


def _make_batch(files: Sequence[UnfinishedFile], staging: Sequence[Sequence[Path]], make: Make, is_stopping: Event) -> _Batch:
    """Make the outputs of some files, until told to stop."""
    finished: list[str] = []
    staged: list[tuple[Path, str]] = []
    failures: list[tuple[str, WorkError]] = []
    for file, paths in zip(files, staging, strict=True):
        if is_stopping.is_set():
            break
        try:
            _check_names(file.outputs)
            make(file, paths)
        except (UnreadablePictureError, PictureFailedError) as error:
            failures.append((file.source, error))
            for path in paths:
                path.unlink(missing_ok=True)
        else:
            finished.append(file.source)
            staged.extend(zip(paths, file.outputs, strict=True))
    return _Batch(finished, staged, failures)
