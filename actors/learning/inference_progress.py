"""Tells the watcher of an inference how far it is, without flooding the log.

Owns how often and how much is told. It knows nothing of pictures, recordings or networks.
"""

import time
from typing import Final, Literal

from actors.learning.inference_plan import InferenceOutcome, InferenceRecord, Report
from actors.learning.plan import Stage

#: Seconds between two reports of progress; watchers need no more, and every report is stored.
REPORT_INTERVAL_S: Final = 1.0
#: Unreadable files named one by one in the log; the prediction files name them all. Other remarks on files: as many again.
MAX_NAMED_FAILURES: Final = 20


class Progress:
    """Counts what is done and what failed, and reports it.

    Invariant: ``done`` and ``failures`` only grow, and no record tells 100 percent but the one of ``complete``.
    """

    def __init__(self, report: Report, *, total: int, unit: str) -> None:
        self.done = 0
        self.failures = 0
        self.first_failure = ""
        self.total = total
        self.unit = unit
        self._report = report
        self._named = 0
        self._remarks = 0
        self._reported_at = time.monotonic()

    def note(self, message: str) -> None:
        """Report something at once."""
        self._send("INFO", message)

    def warn(self, message: str) -> None:
        """Report something that the user should look at."""
        self._send("WARNING", message)

    def remark(self, message: str) -> None:
        """Report something about one file, unless many were remarked upon."""
        self._remarks += 1
        if self._remarks <= MAX_NAMED_FAILURES:
            self.note(message)
        elif self._remarks == MAX_NAMED_FAILURES + 1:
            self.note("further files of which something could be said are not named")

    def fail(self, message: str) -> None:
        """Count a picture or frame without an answer, and name it unless too many were named."""
        self.failures += 1
        self.first_failure = self.first_failure or message
        self._named += 1
        if self._named <= MAX_NAMED_FAILURES:
            self.warn(message)
        elif self._named == MAX_NAMED_FAILURES + 1:
            self.warn(f"further unreadable {self.unit} are named in the prediction files only")

    def fail_silently(self, count: int) -> None:
        """Count frames that have no answer for a reason that was told before."""
        self.failures += count

    def advance(self, count: int) -> None:
        """Count what was gone through, and report it unless that was done a moment ago."""
        self.done += count
        if time.monotonic() - self._reported_at >= REPORT_INTERVAL_S:
            self.note(f"{self.done} of {self.total} {self.unit} done")

    def complete(self) -> None:
        """Report the end of a run whose files are published."""
        unreadable = f", {self.failures} of them unreadable" if self.failures else ""
        message = f"{self.total} {self.unit} done{unreadable}"
        self._report(InferenceRecord("INFO", message, Stage.COMPLETED, self.total, 100))

    def outcome(self, status: Literal["completed", "stopped"]) -> InferenceOutcome:
        """Tell how the run ended."""
        return InferenceOutcome(status, self.total, self.done, self.failures, self.unit)

    def _send(self, level: Literal["INFO", "WARNING"], message: str) -> None:
        """Send a record; 100 percent is kept for the end."""
        self._reported_at = time.monotonic()
        progress = min(99, 100 * self.done // self.total)
        self._report(InferenceRecord(level, message, None, self.done, progress))
